"""Puts the server together, starts it, and ends it without hurting its agents."""

from __future__ import annotations

import asyncio
import logging
import os
import socket

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from agents.server import wake
from agents.server.database import Database
from agents.server.hub import Hub
from agents.server.options import CHANNEL_OPTIONS, Options
from agents.server.servicer import AgentServicer

log = logging.getLogger(__name__)
# After the last stream was told goodbye, for its answer and for the database.
GRACE_SECONDS = 5


class AgentServer:
    """One process's server. It holds nothing that another process would need."""

    def __init__(self, options: Options) -> None:
        options.check()
        self._options = options
        # Reports have threads of their own: a thousand of them must not delay a look or a heartbeat.
        reporting = max(1, options.threads // 2)
        self._reports = Database(reporting)
        self._database = Database(max(1, options.threads - reporting))
        self.hub = Hub(self._database, options.timings)
        self._health = health.aio.HealthServicer()
        self._rounds: list[asyncio.Task[None]] = []
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        server = grpc.aio.server(options=CHANNEL_OPTIONS)
        owner = f"{socket.gethostname()}/{os.getpid()}"
        servicer = AgentServicer(self.hub, self._database, self._reports, self._options, owner)
        server.add_generic_rpc_handlers((servicer.handler(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self.port = self._bind(server)
        await server.start()
        self._server = server
        timings = self._options.timings
        wakes = wake.listen_forever(
            self.hub.wake, longest_pause=timings.wake_retry, echo=timings.echo
        )
        self._rounds = [
            asyncio.create_task(self.hub.sweep_forever()),
            asyncio.create_task(self.hub.lapse_forever()),
            asyncio.create_task(self.hub.flush_forever()),
            asyncio.create_task(self.hub.cut_forever()),
            asyncio.create_task(wakes),
        ]
        how = "TLS" if self._options.secure else "plaintext on loopback"
        log.info("agentd listens on %s (%s).", self._options.listen, how)

    async def stop(self) -> None:
        """Health first, then streams one by one, then what they left to write."""
        if self._server is None:
            return
        await self._health.enter_graceful_shutdown()
        spread = self._options.timings.drain
        # Closes the listener at once, and waits for the streams that the drain ends.
        closing = asyncio.create_task(self._server.stop(spread + GRACE_SECONDS))
        await self.hub.drain(spread)
        await closing
        for task in self._rounds:
            await put_down(task)
        await self.hub.settle()
        self._reports.close()
        self._database.close()
        log.info("agentd stopped.")

    def _bind(self, server: grpc.aio.Server) -> int:
        options = self._options
        if not options.secure:
            return server.add_insecure_port(options.listen)
        pair = (options.private_key, options.certificate)
        return server.add_secure_port(options.listen, grpc.ssl_server_credentials([pair]))


async def put_down(task: asyncio.Task[None]) -> None:
    """Cancel until it is over: connecting to Redis swallows a cancellation that comes at the wrong moment."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)
