"""The parts of a service in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from catalog.models import Policy, PolicyKind

register = template.Library()
SHOWN = 6  # values of one list


@register.filter
def seconds(milliseconds: int) -> str:
    """15000 → "15 s", 250 → "250 ms"."""
    if milliseconds < 1000:
        return _("%(number)s ms") % {"number": milliseconds}
    decimals = 0 if milliseconds % 1000 == 0 else 1
    return _("%(number)s s") % {"number": number_format(milliseconds / 1000, decimals)}


@register.filter
def told(policy: Policy) -> list[str]:
    """What a policy does, a sentence each. Values of headers may be secrets, so they are not told."""
    return WORDS[PolicyKind(policy.kind)](policy.config)


def _headers(config: Mapping[str, Any]) -> list[str]:
    known = {
        "request": _("Sets on requests: %(names)s"),
        "remove_request": _("Removes from requests: %(names)s"),
        "response": _("Sets on responses: %(names)s"),
        "remove_response": _("Removes from responses: %(names)s"),
    }
    return [
        words % {"names": _some(list(config[key]))}
        for key, words in known.items()
        if config.get(key)
    ]


def _cors(config: Mapping[str, Any]) -> list[str]:
    found = [_("Web pages of %(names)s may call") % {"names": _some(config["allow_origins"])}]
    if config.get("allow_credentials"):
        found.append(_("with cookies and credentials"))
    return found


def _ip(config: Mapping[str, Any]) -> list[str]:
    found = []
    if config.get("allow"):
        found.append(_("Only %(names)s may call") % {"names": _some(config["allow"])})
    if config.get("deny"):
        found.append(_("%(names)s may not call") % {"names": _some(config["deny"])})
    return found


def _size(config: Mapping[str, Any]) -> list[str]:
    size = config["max_bytes"]
    unit, name = next(
        (unit, name)
        for unit, name in ((1024**2, "MiB"), (1024, "KiB"), (1, "B"))
        if size % unit == 0
    )
    return [_("Bodies of at most %(size)s %(unit)s") % {"size": size // unit, "unit": name}]


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    shown = ", ".join(names[:SHOWN])
    return f"{shown} +{more}" if more > 0 else shown


WORDS: dict[PolicyKind, Callable[[Mapping[str, Any]], list[str]]] = {
    PolicyKind.HEADERS: _headers,
    PolicyKind.CORS: _cors,
    PolicyKind.IP: _ip,
    PolicyKind.REQUEST_SIZE: _size,
}
