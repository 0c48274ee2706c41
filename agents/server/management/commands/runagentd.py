"""Serve the agents. SIGTERM and SIGINT drain: agents move on one by one, then the process ends."""

from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from agents.server.options import Options, from_settings
from agents.server.server import AgentServer, PortInUse


class Command(BaseCommand):
    help = "Run the gRPC server that agents connect to."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--listen", help="host:port; by default AGENTD_LISTEN")

    def handle(self, *args: Any, listen: str | None, **options: Any) -> None:
        try:
            asyncio.run(serve(from_settings(listen)))
        except (ImproperlyConfigured, PortInUse) as error:
            raise CommandError(str(error)) from None


async def serve(options: Options) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = AgentServer(options)
    await server.start()
    await stop.wait()
    await server.stop()
