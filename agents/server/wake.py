"""Listens for wakes on the channel layer. Redis may be away, or hang, at any time: the sweep covers for it.

A subscription that died without a word looks like one on which nothing happens. So each process also sends
itself an echo, and starts over when that does not come back.
"""

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
ECHO_SECONDS = 10.0  # between two echoes
ANSWER_SECONDS = 5.0  # until Redis has taken what we ask of it
ECHO = "echo"


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


async def listen_forever(
    on_wake: Callable[[UUID], None], *, longest_pause: float, echo: float = ECHO_SECONDS
) -> None:
    """Subscribe, and again with back-off whenever that fails. A lost connection the layer renews itself."""
    layer_log = logging.getLogger("channels_redis.pubsub")
    if not any(isinstance(each, Sparing) for each in layer_log.filters):
        layer_log.addFilter(Sparing())
    pause = 0.5

    def subscribed() -> None:
        nonlocal pause
        pause = 0.5
        log.info("Listening for wakes.")

    while True:
        try:
            await _listen(on_wake, subscribed, echo)
        except Exception as error:  # noqa: BLE001 - whatever it is, agents must not wait for a person
            why = str(error) or type(error).__name__
            log.warning("No wakes from Redis (%s); the sweep covers. Trying again.", why)
        await asyncio.sleep(jitter.uniform(0, pause))
        pause = min(pause * 2, longest_pause)


async def _listen(
    on_wake: Callable[[UUID], None], subscribed: Callable[[], None], echo: float
) -> None:
    """Until the subscription fails, or an echo does not come back."""
    layer: Any = get_channel_layer()
    async with asyncio.timeout(ANSWER_SECONDS):
        await layer.flush()  # a try that failed half-way leaves nothing behind
        channel = await layer.new_channel()
        await layer.group_add(WAKE_GROUP, channel)
    subscribed()
    heard = asyncio.Event()
    reader = asyncio.create_task(_read(layer, channel, on_wake, heard))
    try:
        while True:
            heard.clear()
            async with asyncio.timeout(ANSWER_SECONDS):
                await layer.send(channel, {"type": ECHO})
            await asyncio.wait([reader], timeout=echo)
            if reader.done():
                reader.result()
            if not heard.is_set():
                raise TimeoutError(f"no echo in {echo:.0f} s")
    finally:
        reader.cancel()
        await asyncio.wait([reader], timeout=1)  # it unsubscribes, which may hang as well


async def _read(
    layer: Any, channel: str, on_wake: Callable[[UUID], None], heard: asyncio.Event
) -> None:
    while True:
        message = await layer.receive(channel)
        heard.set()
        if message.get("type") != ECHO:
            _deliver(message, on_wake)


def _deliver(message: dict[str, Any], on_wake: Callable[[UUID], None]) -> None:
    try:
        on_wake(UUID(message["cluster_id"]))
    except (KeyError, ValueError):
        log.warning("A wake names no cluster: %s", message)
