"""Checks of single values that every form and body shares. Each names the field it is about."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from core.errors import InvalidInput

Item = TypeVar("Item")
MAX_TEXT = 10_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def line(value: str, *, field: str, limit: int, required: bool = True) -> str:
    """One line of text, in Unicode's composed form, so that equal names compare equal."""
    value = text(value, field=field, limit=limit)
    if required and not value:
        raise InvalidInput(_("This field is required."), field=field)
    if CONTROL.search(value):
        raise InvalidInput(_("Line breaks and control characters are not allowed."), field=field)
    return value


def prose(value: str, *, field: str, limit: int = MAX_TEXT) -> str:
    value = text(value, field=field, limit=limit)
    if CONTROL_BUT_LINES.search(value):
        raise InvalidInput(_("Control characters are not allowed."), field=field)
    return value


def number(value: int, *, field: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(
            _("Enter a whole number from %(low)d to %(high)d.") % {"low": low, "high": high},
            field=field,
        )
    return value


def choice(value: str, *, field: str, known: Collection[str]) -> str:
    if value not in known:
        raise InvalidInput(_("Choose one of %(known)s.") % {"known": ", ".join(known)}, field=field)
    return value


def listing(values: Iterable[Item], *, field: str, limit: int) -> list[Item]:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise InvalidInput(_("Enter a list."), field=field)
    found = list(values)
    if len(found) > limit:
        raise InvalidInput(
            _("At most %(limit)d; these are %(count)d.") % {"limit": limit, "count": len(found)},
            field=field,
        )
    return found


def given(values: Mapping[str, Any], name: str, at: str = "") -> Any:
    """A value that has no default."""
    if values.get(name) is None:
        raise InvalidInput(_("This field is required."), field=f"{at}{name}")
    return values[name]


def url(value: str, *, field: str) -> str:
    """A link that browsers may follow: http or https, or nothing."""
    value = line(value, field=field, limit=500, required=False)
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in value
    except ValueError:
        good = False
    if value and not good:
        raise InvalidInput(_("Enter a link that starts with https:// or http://."), field=field)
    return value


def text(value: str, *, field: str, limit: int) -> str:
    if not isinstance(value, str):
        raise InvalidInput(_("Enter text."), field=field)
    value = unicodedata.normalize("NFC", value.strip())
    if len(value) > limit:
        raise InvalidInput(
            _("At most %(limit)d characters; this has %(length)d.")
            % {"limit": limit, "length": len(value)},
            field=field,
        )
    return value
