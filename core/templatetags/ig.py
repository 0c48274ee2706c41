"""Template tags of the portal's look; built in, so that no template has to load them."""

from __future__ import annotations

import html
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _

from core import durations

register = template.Library()
NEVER = gettext_lazy("never")


@register.simple_tag
@lru_cache(512)
def icon(name: str, extra: str = "") -> SafeString:
    """{% icon "server-2" %}: a symbol of the sprite; add new names to static/ui/icons.txt."""
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="{}#{}"/></svg>',
        f" {extra}" if extra else "",
        static("vendor/icons/sprite.svg"),
        name,
    )


@register.simple_tag
def status(tone: str, icon_name: str, label: str, *, plain: bool = False) -> SafeString:
    """{% status badge.tone badge.icon badge.label %}: a state in colour, symbol and words."""
    around = f"ig-st {tone}{' plain' if plain else ''}"
    symbol = icon(icon_name, "icon-spin" if tone == "busy" else "")
    return SafeString(f'<span class="{around}">{symbol}{conditional_escape(label)}</span>')


@register.simple_tag
def options(choices: Iterable[tuple[Any, Any]], chosen: Any = None) -> SafeString:
    """{% options clusters asked.cluster_id %}: of a select, from pairs of value and label.

    A tag and no loop in the template: such a list may have hundreds of them.
    """
    return SafeString(
        "".join(
            f'<option value="{_escaped(value)}"{" selected" if value == chosen else ""}>'
            f"{_escaped(label)}</option>"
            for value, label in choices
        )
    )


def _escaped(value: Any) -> str:
    """As conditional_escape, which takes twice as long."""
    text = str(value)
    return text if hasattr(text, "__html__") else html.escape(text)


@register.simple_tag
def since(moment: datetime | None) -> SafeString:
    """{% since cluster.first_active_at %}: "for 41 d". ui.js keeps it counting."""
    return _relative(moment, "since", missing="–")


@register.simple_tag
def ago(moment: datetime | None) -> SafeString:
    """{% ago agent.last_heartbeat_at %}: "4 s ago"; "never" without a moment."""
    return _relative(moment, "ago", missing=NEVER)


@register.simple_tag
def left(moment: datetime | None) -> SafeString:
    """{% left token.expires_at %}: "42 min", how long until then."""
    return _relative(moment, "left", missing="–")


def _relative(moment: datetime | None, form: str, *, missing: Any) -> SafeString:
    if moment is None:
        return format_html('<span class="ig-3">{}</span>', missing)
    local = timezone.localtime(moment)
    exact = local.isoformat(timespec="milliseconds")
    words = durations.words(moment - timezone.now(), form, get_language() or "en")
    # Nothing in it is anybody's text, and a list has fifty of them.
    return SafeString(
        f'<time datetime="{exact}" title="{exact[:10]} {exact[11:19]} {local.tzname()}"'
        f' data-ig-relative="{form}">{words}</time>'
    )


@register.simple_tag
def copy(target: str, label: str = "", *, compact: bool = False) -> SafeString:
    """{% copy "join-command" %}: a button that copies the text of the element with that id.

    `compact` shows only the icon; the label is then for screen readers.
    """
    context = {"target": target, "label": label or _("Copy"), "compact": compact}
    return SafeString(render_to_string("components/copy.html", context))


@register.simple_block_tag
def card(content: SafeString, title: str, id: str, count: Any = "") -> SafeString:  # noqa: A002
    """{% card title="Agents" id="agents" %}…{% endcard %}: the content brings its own .ig-card-b."""
    context = {"content": content, "title": title, "id": id, "count": count}
    return SafeString(render_to_string("components/card.html", context))


@register.simple_block_tag
def dialog(content: SafeString, title: str, id: str) -> SafeString:  # noqa: A002
    """{% dialog title="Delete?" id="delete-dialog" %}…{% enddialog %}, opened by data-ig-dialog."""
    context = {"content": content, "title": title, "id": id}
    return SafeString(render_to_string("components/dialog.html", context))


@register.filter
def cut(text: str, length: int) -> str:
    """As truncatechars, which goes through each letter of what is short enough, too."""
    return text if len(text) <= length else Truncator(text).chars(length)


@register.filter
def initials(name: object) -> str:
    """ "Platform Team" → "PT", "플랫폼팀" → "플랫"."""
    words = str(name).split()
    return (words[0][:1] + words[1][:1] if len(words) > 1 else str(name)[:2]).upper()


@register.filter
def control(field: Any) -> SafeString:
    """A bound field's widget with the theme's class, and tied to its hint and its error."""
    kind = getattr(field.field.widget, "input_type", "text")
    classes = {"select": "form-select", "checkbox": "form-check-input", "radio": "form-check-input"}
    attrs = {"class": classes.get(kind, "form-control")}
    notes = [f"{field.auto_id}_helptext"] if field.help_text else []
    if field.errors:
        notes.insert(0, f"{field.auto_id}_error")
        attrs["aria-invalid"] = "true"
    if notes:
        attrs["aria-describedby"] = " ".join(notes)
    return field.as_widget(attrs=attrs)
