"""The REST side of the session that stands, for those who work while streams come and go."""

from __future__ import annotations

import asyncio

from agents.edge.control import Control


class Link:
    def __init__(self) -> None:
        self._control: Control | None = None
        self._up = asyncio.Event()
        self.broken = asyncio.Event()  # the REST token does not count: a new stream brings another

    async def control(self) -> Control:
        """Wait until there is a session."""
        while self._control is None:
            await self._up.wait()
        return self._control

    def put(self, control: Control) -> None:
        self.broken.clear()
        self._control = control
        self._up.set()

    async def drop(self) -> None:
        control, self._control = self._control, None
        self._up.clear()
        if control is not None:
            await control.aclose()
