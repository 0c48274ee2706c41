"""For pages of lower contexts, which may load a tag library but never import from here."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django import template

from publishing.models import ProductPublish
from publishing.services import revisions

register = template.Library()


@register.simple_tag
def unpublished(publishes: Iterable[ProductPublish]) -> set[UUID]:
    """{% unpublished publishes as waiting %}: the ids of those defined otherwise by now than what is live."""
    return revisions.unpublished(list(publishes))


@register.simple_tag
def has_changes(publish: ProductPublish) -> bool:
    """{% has_changes publish as waiting %}: of one."""
    return bool(revisions.unpublished([publish]))
