"""A TCP port in front of another one, that can be shut: partitions without root."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from enum import Enum


class Way(Enum):
    OPEN = "open"
    CUT = "cut"  # connections are reset, new ones refused
    STALLED = "stalled"  # connections stand, and nothing passes


class Doors:
    """All doors of a run, served by one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="doors", daemon=True).start()

    def make(self, target: int) -> Door:
        door = Door(self._loop, target)
        asyncio.run_coroutine_threadsafe(door.listen(), self._loop).result(5)
        return door


class Door:
    def __init__(self, loop: asyncio.AbstractEventLoop, target: int) -> None:
        self.port = 0
        self._loop, self._target = loop, target
        self._passable = asyncio.Event()
        self._passable.set()
        self._way = Way.OPEN
        self._pairs: set[asyncio.StreamWriter] = set()

    async def listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    def set(self, way: Way) -> None:
        asyncio.run_coroutine_threadsafe(self._set(way), self._loop).result(5)

    async def _set(self, way: Way) -> None:
        self._way = way
        if way is Way.STALLED:
            self._passable.clear()
        else:
            self._passable.set()
        if way is Way.CUT:
            for writer in self._pairs:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._way is Way.CUT:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            inner_reader, inner = await asyncio.open_connection("127.0.0.1", self._target)
            self._pairs |= {writer, inner}
            await asyncio.gather(self._pass(reader, inner), self._pass(inner_reader, writer))
            self._pairs -= {writer, inner}
        writer.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self._passable.wait()
                sink.write(data)
                await sink.drain()
            await self._passable.wait()
        with contextlib.suppress(OSError, RuntimeError):
            if sink.can_write_eof():
                sink.write_eof()
        if self._way is Way.CUT:
            sink.transport.abort()
