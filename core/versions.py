"""So that two editors do not overwrite each other: ETag and If-Match in the API, a hidden field in forms.

A service takes the version that its caller read and calls `check` under its lock. No version: no check.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from core.errors import Stale


def of(moment: datetime) -> str:
    """A row's version, by when it was last written."""
    return f"{moment.timestamp():.6f}"


def check(moment: datetime, version: str) -> None:
    if version and version != of(moment):
        raise Stale(
            _("Somebody else changed this meanwhile. Look at their change, then save again.")
        )


def headers(moment: datetime) -> dict[str, str]:
    return {"ETag": f'"{of(moment)}"'}


def asked(request: Any) -> str:
    """The version in If-Match; "" for none, and for "*", which fits any."""
    value = request.headers.get("If-Match", "").strip().removeprefix("W/").strip('"')
    return "" if value == "*" else value
