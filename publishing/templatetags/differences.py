"""A comparison of two bundles as lines of a diff that people can read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django import template
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from publishing.differences import Change, Comparison, Difference, Field

register = template.Library()

SECTIONS = {
    "host": gettext_lazy("Hostname"),
    "listeners": gettext_lazy("Listeners"),
    "auth": gettext_lazy("Authentication"),
    "routes": gettext_lazy("Routes"),
    "upstreams": gettext_lazy("API services"),
    "backends": gettext_lazy("Backends"),
}
FIELDS = {
    "timeout_ms": gettext_lazy("timeout"),
    "retries": gettext_lazy("retries"),
    "rewrite": gettext_lazy("rewrite to"),
    "methods": gettext_lazy("methods"),
    "path": gettext_lazy("path"),
    "match": gettext_lazy("match"),
    "weight": gettext_lazy("weight"),
    "protocol": gettext_lazy("protocol"),
    "port": gettext_lazy("port"),
    "host": gettext_lazy("host"),
    "name": gettext_lazy("name"),
    "tls": gettext_lazy("TLS"),
    "health_check_path": gettext_lazy("health check path"),
    "mode": gettext_lazy("mode"),
    "service": gettext_lazy("API service"),
}
# Said by an item's name already, or by nobody's wish.
IN_NAME = {
    "routes": {"methods", "path", "id"},
    "backends": {"host", "port", "id"},
    "upstreams": {"name", "id"},
    "listeners": {"port"},
}
# Said only where they are not what one expects.
USUAL = {"match": "prefix", "weight": 1}
UNSAID = frozenset(("schema",))  # the bundle's own format
SHOWN = 400  # lines


@dataclass(frozen=True, slots=True)
class Line:
    tone: str  # add | del | at
    sign: str
    text: str


@register.filter
def lines(comparison: Comparison) -> list[Line]:
    """A heading per section, then what comes (+) and goes (-)."""
    found: list[Line] = []
    told = [each for each in comparison.differences if each.section not in UNSAID]
    for section, items in groupby(told, key=lambda each: each.section):
        group = list(items)
        found.append(Line("at", "", _heading(section, group)))
        for each in group:
            found += _lines(each)
    if len(found) > SHOWN:
        rest = len(found) - SHOWN
        more = ngettext("%(count)d more line", "%(count)d more lines", rest) % {"count": rest}
        found = [*found[:SHOWN], Line("at", "", more)]
    return found


@register.filter
def in_short(comparison: Comparison) -> str:
    """ "2 added, 1 changed": for a row of a list."""
    counts = [
        (comparison.added, _("%(count)d added")),
        (comparison.changed, _("%(count)d changed")),
        (comparison.removed, _("%(count)d removed")),
    ]
    return ", ".join(words % {"count": count} for count, words in counts if count)


@register.filter
def routes_only(comparison: Comparison) -> dict[str, int]:
    """How many routes come, go and change."""
    routes = [each.change for each in comparison.differences if each.section == "routes"]
    counts = {change.value: routes.count(change) for change in Change}
    return counts | {"total": len(routes)}


@register.filter
def auth_changes(comparison: Comparison) -> bool:
    """Whether callers must prove themselves in another way: the change that breaks them all."""
    return any(
        each.section == "auth" and each.change is Change.CHANGED for each in comparison.differences
    )


def _heading(section: str, items: list[Difference]) -> str:
    title = str(SECTIONS.get(section, section.replace("_", " ")))
    if not any(item.name for item in items):
        return title
    told = in_short(Comparison(tuple(items)))
    return f"{title} · {told}"


def _lines(each: Difference) -> Iterator[Line]:
    if each.change is Change.CHANGED:
        yield from _changed(each)
        return
    tone, sign = ("add", "+") if each.change is Change.ADDED else ("del", "-")
    side = "after" if each.change is Change.ADDED else "before"
    yield Line(tone, sign, "  ".join(filter(None, [_who(each), *_facts(each, side)])))


def _changed(each: Difference) -> Iterator[Line]:
    """The item once, with what it loses and what it gains."""
    who = _who(each)
    lost = [field for field in each.fields if field.before is not None]
    gained = [field for field in each.fields if field.after is not None]
    if lost or not gained:
        yield Line("del", "-", "  ".join(filter(None, [who, *_told(lost, "before")])))
    if gained or not lost:
        yield Line("add", "+", "  ".join(filter(None, [who, *_told(gained, "after")])))


def _who(each: Difference) -> str:
    if each.section == "routes" and each.of:
        return f"{each.name} → {each.of}"
    return f"{each.name} ({each.of})" if each.of else each.name


def _facts(each: Difference, side: str) -> list[str]:
    known = IN_NAME.get(each.section, set())
    fields = [
        field
        for field in each.fields
        if field.name not in known and getattr(field, side) != USUAL.get(field.name)
    ]
    return _told(fields, side)


def _told(fields: Iterable[Field], side: str) -> list[str]:
    return [_fact(field.name, getattr(field, side)) for field in fields]


def _fact(name: str, value: Any) -> str:
    words = _words(name, value)
    return f"{FIELDS.get(name, name)} {words}".strip() if name else words


def _words(name: str, value: Any) -> str:
    if name == "timeout_ms" and isinstance(value, int):
        return f"{value / 1000:g} s"
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)
