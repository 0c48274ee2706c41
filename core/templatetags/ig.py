"""Template tags of the portal's look; built in, so that no template has to load them."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html

register = template.Library()


@register.simple_tag
def icon(name: str, extra: str = ""):
    """{% icon "server-2" %}: a symbol of the sprite; add new names to static/ui/icons.txt."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true"><use href="{}#{}"/></svg>',
        extra,
        static("vendor/icons/sprite.svg"),
        name,
    )
