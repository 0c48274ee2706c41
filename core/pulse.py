"""Sockets carry a pulse, never content: the page re-reads itself over HTTP, with its permissions."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

INTERVAL = 0.25
NOT_FOUND = 4404
READ_ONLY = 4400


class PulseConsumer(AsyncWebsocketConsumer):
    """Sends "pulse" when its group is told of a change, four times a second at most."""

    async def group_for(self, user: Any, **kwargs: Any) -> str | None:
        """The group of what the URL names, or None if `user` may not see it."""
        raise NotImplementedError

    async def connect(self) -> None:
        self._late: asyncio.Task[None] | None = None
        self._last = -INTERVAL
        self._group: str | None = None
        user = self.scope["user"]
        if user.is_authenticated:
            self._group = await self.group_for(user, **self.scope["url_route"]["kwargs"])
        if self._group is None:
            await self.close(code=NOT_FOUND)
            return
        await self.channel_layer.group_add(self._group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self._late:
            self._late.cancel()
        if self._group:
            await self.channel_layer.group_discard(self._group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.close(code=READ_ONLY)

    async def pulse(self, event: dict[str, Any]) -> None:
        """The last change of a burst is always told: a late pulse stands for all it absorbed."""
        if self._late and not self._late.done():
            return
        wait = self._last + INTERVAL - asyncio.get_running_loop().time()
        if wait > 0:
            self._late = asyncio.create_task(self._send_later(wait))
        else:
            await self._send_now()

    async def _send_later(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._send_now()

    async def _send_now(self) -> None:
        self._last = asyncio.get_running_loop().time()
        await self.send(text_data="pulse")


class Nowhere(PulseConsumer):
    """A path that does not exist answers like one that nobody may see; Channels' router would crash."""

    async def group_for(self, user: Any, **kwargs: Any) -> None:
        return None
