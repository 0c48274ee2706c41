"""One answer for all who ask for the same at the same moment.

Each change makes every open page read its list anew, of everybody who watches it: it is made once for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.core.cache import caches
from django.db import connection
from django.http import HttpRequest
from django.utils.translation import get_language


def shared(request: HttpRequest, what: tuple[Any, ...], make: Callable[[], str]) -> str:
    """`make()`, or what it gave for the same `what`, address and language while nothing was committed since.

    Such an answer tells the same rows as a new one would, and what follows from the clock is a second old at
    most (CACHES["answers"]). `what` has to name all else that the answer depends on: above all, who asks.
    Made anew for `Cache-Control: no-cache`, and inside a transaction.
    """
    seen = None if "no-cache" in request.headers.get("Cache-Control", "") else _snapshot()
    if seen is None:
        return make()
    asked = (*what, request.get_full_path(), get_language())
    place = hashlib.sha256(repr(asked).encode()).hexdigest()
    then, answer = caches["answers"].get(place, (None, ""))
    if then != seen:
        answer = make()
        # Together with what was seen before it was made: a commit meanwhile is in it or not.
        caches["answers"].set(place, (seen, answer))
    return answer


def outdate() -> None:
    """For what becomes true because time passed: no answer from before is given again.

    Uses up a transaction's id, so that the next snapshot differs.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")


def _snapshot() -> str | None:
    """Which transactions are visible now: while it stays the same, so does every row.

    None inside a transaction, since it does not tell that one's own writes.
    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
    """
    if connection.in_atomic_block:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        return cursor.fetchone()[0]
