"""Serve the agents. SIGTERM and SIGINT drain: agents move on one by one, then the process ends."""

from __future__ import annotations

import argparse
import asyncio
import signal
from argparse import ArgumentParser
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from agents.server.listening import PortInUse, require_free, reserve
from agents.server.options import Options, from_settings
from agents.server.processes import Lifeline, supervise
from core import memory

# Whatever a process needs and does not load grpc: loaded once by the parent of several.
SHARED = (
    "agents.server.admission",
    "agents.server.wake",
    "agents.wire.agent_pb2",
    "publishing.services.reports",
    "publishing.services.verdicts",
    "redis.asyncio",
)
# Thousands of streams are no garbage: looking took a quarter of Python's time in a reconnect storm.
FULL_COLLECTION = 50


class Command(BaseCommand):
    help = "Run the gRPC server that agents connect to."
    # They load every view of the portal: a third of the time until agents can come back after a crash.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--listen", help="host:port; by default AGENTD_LISTEN")
        parser.add_argument(
            "--processes", type=int, help="that share the port; by default AGENTD_PROCESSES"
        )
        parser.add_argument("--lifeline", type=int, help=argparse.SUPPRESS)

    def handle(
        self, *args: Any, listen: str | None, processes: int | None, lifeline: int | None, **_: Any
    ) -> None:
        try:
            options = from_settings(listen)
            count = settings.AGENTD_PROCESSES if processes is None else processes
            if count < 1:
                raise ImproperlyConfigured("agentd needs at least one process.")
            if lifeline is not None:
                run(options, lifeline)
            elif count == 1:
                require_free(options.listen)
                asyncio.run(serve(options))
            else:
                with reserve(options.listen):
                    load_shared()
                    asyncio.run(supervise(options.listen, count, first=partial(run, options)))
        except (ImproperlyConfigured, PortInUse) as error:
            raise CommandError(str(error)) from None


def load_shared() -> None:
    for name in SHARED:
        import_module(name)
    memory.settle(oldest=FULL_COLLECTION)


def run(options: Options, lifeline: int) -> None:
    asyncio.run(serve(options, Lifeline(lifeline)))


async def serve(options: Options, lifeline: Lifeline | None = None) -> None:
    # Not above: a parent that has loaded grpc cannot fork.
    from agents.server.server import GRACE_SECONDS, AgentServer

    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = AgentServer(options)
    await server.start()
    memory.settle(oldest=FULL_COLLECTION)
    if lifeline:
        lifeline.ready()
        lifeline.watch(
            lambda: loop.call_soon_threadsafe(stop.set),
            grace=options.timings.drain + 2 * GRACE_SECONDS,
        )
    await stop.wait()
    await server.stop()
