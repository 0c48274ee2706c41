"""Listens for wakes on the channel layer. Redis may be away at any time: the sweep covers for it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

from channels.layers import get_channel_layer

from core.notify import WAKE_GROUP

log = logging.getLogger(__name__)


async def listen_forever(on_wake: Callable[[UUID], None], *, longest_pause: float) -> None:
    """Subscribe, and again with back-off whenever that fails."""
    pause = 0.5
    while True:
        try:
            layer: Any = get_channel_layer()
            channel = await layer.new_channel()
            await layer.group_add(WAKE_GROUP, channel)
            log.info("Listening for wakes.")
            pause = 0.5
            while True:
                _deliver(await layer.receive(channel), on_wake)
        except Exception as error:  # noqa: BLE001 - whatever it is, agents must not wait for a person
            log.warning("No wakes from Redis (%s); the sweep covers. Trying again.", error)
        await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
        pause = min(pause * 2, longest_pause)


def _deliver(message: dict[str, Any], on_wake: Callable[[UUID], None]) -> None:
    try:
        on_wake(UUID(message["cluster_id"]))
    except (KeyError, ValueError):
        log.warning("A wake names no cluster: %s", message)
