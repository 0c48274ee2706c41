"""So that two editors do not overwrite each other: ETag and If-Match in the API, a hidden field in forms.

A service takes the version that its caller read and calls `check` under its lock. No version: no check.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
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


def seen(request: Any) -> str:
    """The version in a form's hidden field: the one that it was opened with. "" for none."""
    return request.POST.get("seen", "")


def conflict(
    request: Any,
    form: Any,
    row: Any,
    theirs: Callable[[], Any] | None = None,
    *,
    saves: bool = True,
) -> dict[str, Any]:
    """For components/theirs.html: the version that the next click means, and, if another was opened, what
    is stored now: `theirs`, or what a form `of` the row says otherwise. A new row, None, has neither.

    A request that saves nothing (it adds a line, or searches) keeps the version that was opened.
    """
    if row is None:
        return {}
    before, now = seen(request), of(getattr(row, "updated_at", row))
    if not saves:
        return {"seen": before or now}
    if before in {"", now}:
        return {"seen": now}
    return {"seen": now, "theirs": theirs() if theirs else differing(form, type(form).of(row))}


def differing(form: Any, stored: Any) -> list[tuple[str, str]]:
    """What is stored now and differs from what was typed: (label, value).

    `stored` is a form of the same class with what is stored as its initial values.
    """
    return [
        (str(field.label), _shown(field, stored[name].value()))
        for name, field in form.fields.items()
        if name in stored.initial and not _same(field, form[name].value(), stored[name].value())
    ]


def _same(field: Any, typed: Any, stored: Any) -> bool:
    try:
        return field.to_python(typed) == field.to_python(stored)
    except ValidationError:
        return False


def _shown(field: Any, value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict):
        return ", ".join(f"{key}={content}" for key, content in value.items())
    choices = {str(key): str(label) for key, label in getattr(field, "choices", ())}
    if isinstance(value, list):
        rows = (row.values() if isinstance(row, dict) else [row] for row in value)
        return ", ".join(
            " ".join(choices.get(str(each), str(each)) for each in row if each) for row in rows
        )
    return choices.get(str(value), "" if value is None else str(value))
