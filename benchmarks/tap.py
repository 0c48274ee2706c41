"""A TCP forwarder that counts: what an agent fetches over REST passes through it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self

CHUNK = 65536


class Tap:
    """In a thread of its own. `fetched` counts bytes towards the agents, `sent` those of their requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.target = 0
        self.fetched = self.sent = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, to = await asyncio.open_connection("127.0.0.1", self.target)
            await asyncio.gather(
                self._copy(reader, to, "sent"), self._copy(there, writer, "fetched")
            )

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counter: str
    ) -> None:
        with suppress(OSError):
            while part := await reader.read(CHUNK):
                setattr(self, counter, getattr(self, counter) + len(part))
                writer.write(part)
                await writer.drain()
        writer.close()
