"""One answer for all who ask for the same at the same moment.

Each change makes every open page read its list anew, of everybody who watches it: it is made once for them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import caches
from django.db import connection
from django.db.models import Func, TextField
from django.http import HttpRequest
from django.utils.translation import get_language

TURNS = [threading.Lock() for _number in range(64)]
PATIENCE = 1.0  # seconds


def shared(
    request: HttpRequest,
    what: tuple[Any, ...],
    make: Callable[[], str],
    *,
    asks_again: bool = True,
) -> str:
    """`make()`, or what it gave for the same `what`, address and language while nothing was committed since.

    Such an answer tells the same rows as a new one would, and what follows from the clock is seconds old at
    most (CACHES["answers"]). `what` has to name all else that the answer depends on: above all, who asks.
    Made anew for `Cache-Control: no-cache`, after a write, and inside a transaction.

    `asks_again`: `make` finds out for itself what the reader may see, as `visible_to` does. If that may have
    changed meanwhile, what it made is for this reader alone.
    """
    writes = connection.in_atomic_block or request.method not in {"GET", "HEAD"}
    if writes or "no-cache" in request.headers.get("Cache-Control", ""):
        return make()
    seen = _snapshot(request)
    asked = (*what, request.get_full_path(), get_language())
    place = hashlib.sha256(repr(asked).encode()).hexdigest()
    answer = _made(place, seen)
    if answer is None:
        with _turn(place):
            answer = _made(place, seen)
            if answer is None:
                answer = make()
                if not asks_again or seen == _now():
                    caches["answers"].set(place, (seen, answer))
    return answer


def outdate() -> None:
    """For what becomes true because time passed: no answer from before is given again.

    Uses up a transaction's id, so that the next snapshot differs.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")


def _made(place: str, seen: str) -> str | None:
    then, answer = caches["answers"].get(place, (None, None))
    return answer if then == seen else None


@contextmanager
def _turn(place: str) -> Iterator[None]:
    """One thread makes it, others of the process wait for it. Never for long: they can make it themselves."""
    lock = TURNS[hash(place) % len(TURNS)]
    held = lock.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if held:
            lock.release()


class Snapshot(Func):
    """Which transactions are visible: while it stays the same, so does every row.

    Inside a transaction it would not tell that one's own writes.
    https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
    """

    template = "pg_current_snapshot()::text"
    output_field = TextField()


def _snapshot(request: Any) -> str:
    """The one in which was read who asks, if anything was (request.snapshot). A later one would be wrong:
    whoever's membership ended in between would answer for those who have it still."""
    if not getattr(request, "snapshot", None):
        request.snapshot = _now()
    return request.snapshot


def _now() -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {Snapshot.template}")
        return cursor.fetchone()[0]
