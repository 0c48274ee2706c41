"""Services run in a few threads of our own: the loop never waits for the database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import close_old_connections

P = ParamSpec("P")
Result = TypeVar("Result")


class Database:
    """Never more connections than threads, and none held between two calls."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="agentd-db")

    async def run(self, service: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        # sync_to_async, so that a notification from inside uses this loop's connection to Redis.
        call = sync_to_async(_released, thread_sensitive=False, executor=self._threads)
        return await call(service, *args, **kwargs)

    def close(self) -> None:
        self._threads.shutdown(wait=True)


def _released(service: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """What request_started and request_finished do for the web."""
    close_old_connections()
    try:
        return service(*args, **kwargs)
    finally:
        close_old_connections()
