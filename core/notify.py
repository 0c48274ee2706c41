"""After a commit: tell open pages and agent servers to look again.

Lost messages cost seconds, never data: pages and agentd read again by themselves.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import os
import threading
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer
from django.db import transaction

logger = logging.getLogger(__name__)
WAKE_GROUP = "agentd"
LAST_WORDS_SECONDS = 1.0
SEND_SECONDS = 5.0


def on_commit(group: str, event: str = "pulse", **payload: Any) -> None:
    """Send `event` to every socket in `group` once the transaction is committed."""
    # robust: a lost broadcast must not turn a committed write into a 500.
    transaction.on_commit(lambda: _courier().send(group, {"type": event, **payload}), robust=True)


def wake(cluster_id: UUID) -> None:
    """Tell every agentd process that this cluster's desired state or access version moved."""
    on_commit(WAKE_GROUP, "wake", cluster_id=str(cluster_id))


class Courier:
    """One thread with one event loop and one connection sends for the whole process.

    Services are synchronous: a loop for each message, as async_to_sync makes one, cost a verdict with
    300 agents 47 ms. Nobody waits for a message, so a slow Redis cannot slow a request either.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._waiting: set[str] = set()
        threading.Thread(target=self._loop.run_forever, name="courier", daemon=True).start()

    def send(self, group: str, message: dict[str, Any]) -> None:
        """A message that already waits to be sent stands for this one too."""
        self._loop.call_soon_threadsafe(self._take, group, message)

    def flush(self) -> None:
        """Give what is waiting a moment to leave: a command may end right after its commit."""
        done = asyncio.run_coroutine_threadsafe(self._drained(), self._loop)
        try:
            done.result(LAST_WORDS_SECONDS)
        except TimeoutError:
            logger.warning("ended before every notice was sent")

    def _take(self, group: str, message: dict[str, Any]) -> None:
        key = json.dumps([group, message], sort_keys=True)
        if key not in self._waiting:
            self._waiting.add(key)
            self._loop.create_task(self._send(key, group, message))

    async def _send(self, key: str, group: str, message: dict[str, Any]) -> None:
        self._waiting.discard(key)
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await get_channel_layer().group_send(group, message)
        except Exception:
            # Whatever the layer's client raises: the thread must live, and the sweep covers.
            logger.warning("a notice to %s was lost", group, exc_info=True)

    async def _drained(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)


_lock = threading.Lock()
_one: Courier | None = None


def _courier() -> Courier:
    """This process's. A fork has none of its parent's threads, so it starts its own."""
    global _one
    with _lock:
        if _one is None or _one.pid != os.getpid():
            _one = Courier()
            atexit.register(_one.flush)
        return _one
