"""So that two editors do not overwrite each other: ETag and If-Match in the API, a hidden field in forms.

A service takes the version that its caller read and calls `check` under its lock. No version: no check.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from core.errors import Stale


def of(state: datetime | Model) -> str:
    """A row's version: when it was last written, or its content where no moment is kept."""
    if isinstance(state, datetime):
        return f"{state.timestamp():.6f}"
    content = [
        (field.attname, getattr(state, field.attname)) for field in state._meta.concrete_fields
    ]
    return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


def check(state: datetime | Model, version: str) -> None:
    """Refuse to overwrite what the caller never saw."""
    if version and version != of(state):
        raise stale(of(state))


def stale(now: str = "") -> Stale:
    """`now` is the version there is; none when the row is gone."""
    words = _("Somebody else changed this meanwhile. Look at their change, then save again.")
    return Stale(words, details={"version": now})


def headers(state: datetime | Model) -> dict[str, str]:
    return {"ETag": f'"{of(state)}"'}


def asked(request: Any) -> str:
    """The version in If-Match; "" for none, and for "*", which fits any."""
    value = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    return "" if value == "*" else value
