"""Listens for wakes on the channel layer. Redis may be away at any time: the sweep covers for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer

from agents.server.options import jitter
from core.notify import WAKE_GROUP

log = logging.getLogger(__name__)
QUIET_SECONDS = 60


class Sparing(logging.Filter):
    """While Redis is away the channel layer logs a traceback every second; one line a minute will do."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -QUIET_SECONDS * 1.0

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created - self._last < QUIET_SECONDS:
            return False
        self._last = record.created
        error = record.exc_info[1] if record.exc_info else None
        record.msg, record.args = "Redis is away (%s); the sweep covers for wakes.", (error,)
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
        return True


async def listen_forever(on_wake: Callable[[UUID], None], *, longest_pause: float) -> None:
    """Subscribe, and again with back-off whenever that fails. A lost connection the layer renews itself."""
    layer_log = logging.getLogger("channels_redis.pubsub")
    if not any(isinstance(each, Sparing) for each in layer_log.filters):
        layer_log.addFilter(Sparing())
    pause = 0.5
    while True:
        try:
            layer: Any = get_channel_layer()
            await layer.flush()  # a try that failed half-way leaves nothing behind
            channel = await layer.new_channel()
            await layer.group_add(WAKE_GROUP, channel)
            log.info("Listening for wakes.")
            pause = 0.5
            while True:
                _deliver(await layer.receive(channel), on_wake)
        except Exception as error:  # noqa: BLE001 - whatever it is, agents must not wait for a person
            log.warning("No wakes from Redis (%s); the sweep covers. Trying again.", error)
        await asyncio.sleep(jitter.uniform(0, pause))
        pause = min(pause * 2, longest_pause)


def _deliver(message: dict[str, Any], on_wake: Callable[[UUID], None]) -> None:
    try:
        on_wake(UUID(message["cluster_id"]))
    except (KeyError, ValueError):
        log.warning("A wake names no cluster: %s", message)
