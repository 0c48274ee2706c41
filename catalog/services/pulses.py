"""Telling open pages that a definition changed: what is live of it may be something else by now."""

from __future__ import annotations

from catalog.models import ApiService, Gateway, Product
from core import notify

# Publishing is above this context: its rows are reached through the reverse relation.
WAYS = {ApiService: "products__publishes", Product: "publishes", Gateway: "publishes"}


def announce(definition: ApiService | Product | Gateway) -> None:
    """Have the pages of what is published of it, and the lists of its organization, read themselves anew."""
    way = WAYS[type(definition)]
    rows = type(definition)._default_manager.filter(
        pk=definition.pk, **{f"{way}__status": "PUBLISHED"}
    )
    notify.on_commit(f"publishes.org.{definition.organization_id}")
    for pk in rows.values_list(way, flat=True):
        notify.on_commit(f"publish.{pk}")
