"""How services, products and gateways are summed up on pages."""

from __future__ import annotations

from django import template

from catalog.models import METHODS, ApiService

register = template.Library()


@register.filter
def fingerprint(digest: str) -> str:
    """As openssl and browsers write it: AB:CD:…"""
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)).upper()


@register.filter
def methods(service: ApiService) -> str:
    """Of all its routes together, in the usual order. Reads what was prefetched."""
    used = {name for route in service.routes.all() for name in route.methods}
    return ", ".join(name for name in METHODS if name in used)
