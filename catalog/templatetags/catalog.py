"""How services, products and gateways are summed up on pages."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from catalog.models import METHODS, ApiService, Product
from core.templatetags.ig import initials

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


@register.simple_tag
def logo(product: Product, *, large: bool = False) -> SafeString:
    """{% logo product large=True %}: the product's picture, or its initials while it has none."""
    size = " ig-logo-lg" if large else ""
    if not product.logo_id:
        words = '<span class="ig-ava ig-logo{}" aria-hidden="true">{}</span>'
        return format_html(words, size, initials(product.name))
    space = 'width="48" height="48"' if large else 'width="32" height="32" loading="lazy"'
    picture = '<img class="ig-logo{}" src="{}" alt="" {}>'
    return format_html(picture, size, product.logo_path, SafeString(space))
