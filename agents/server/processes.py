"""Several agentd processes on one port: a parent that starts them, watches them and ends with them.

At the start each process is a fork, which has everything loaded (see forks); later ones are a new Python,
with new code. Parent and process share a socket pair, the lifeline: a byte on it says "I listen"; its end,
however it came, that the other is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from django.conf import settings

from agents.server import forks

log = logging.getLogger(__name__)
READY = b"r"
Work = Callable[[int], object]  # with the descriptor of its lifeline


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. Tests shorten them."""

    first_pause: float = 0.5  # before a process that died is started again; doubles
    longest_pause: float = 30.0
    stable: float = 60.0  # a process that stood so long starts over with the first pause
    ready: float = 60.0  # a restart one by one waits so long for the new process
    ending: float = 20.0  # a drain takes 15 at most


class Slot:
    """The place of one process: whichever runs there now."""

    def __init__(
        self, number: int, command: list[str], patience: Patience, first: Work | None = None
    ) -> None:
        self.number, self._command, self._patience = number, command, patience
        self._first = first  # what to fork, once
        self.process: asyncio.subprocess.Process | forks.Forked | None = None
        self.ready = asyncio.Event()
        self.stopping = False
        self._pause = patience.first_pause
        self._wanted = False  # the end of this process was asked for, so it is no failure

    async def keep(self) -> None:
        """Run it, and again whenever it ends, until the parent stops."""
        clock = asyncio.get_running_loop().time
        while not self.stopping:
            began = clock()
            code = await self._run()
            if self.stopping or self._wanted:
                self._wanted = False
                continue
            if clock() - began >= self._patience.stable:
                self._pause = self._patience.first_pause
            log.error(
                "agentd process %d ended with %s. It starts again in %.1f s.",
                self.number, code, self._pause,
            )  # fmt: skip
            await asyncio.sleep(self._pause)
            self._pause = min(self._pause * 2, self._patience.longest_pause)

    async def replace(self) -> None:
        """Drain this process and wait for the next one to listen."""
        self.ready.clear()
        self._wanted = self._runs()
        await self.end()
        try:
            await asyncio.wait_for(self.ready.wait(), self._patience.ready)
        except TimeoutError:
            log.warning("agentd process %d does not listen after its restart.", self.number)

    async def end(self) -> None:
        """SIGTERM drains; what does not end in time is killed: its agents come back elsewhere."""
        process = self.process
        if process is None or not self._runs():
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._patience.ending)
        except TimeoutError:
            log.warning("agentd process %d does not end, so it is killed.", self.number)
            process.kill()
            await process.wait()

    def _runs(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def _run(self) -> int:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            with theirs:
                self.process = await self._start(theirs.fileno())
            if self.stopping:  # asked while it started
                self.process.terminate()
            log.info("agentd process %d is %d.", self.number, self.process.pid)
            hearing = asyncio.create_task(self._hear(ours))
            code = await self.process.wait()
            await hearing
        return code

    async def _start(self, lifeline: int) -> asyncio.subprocess.Process | forks.Forked:
        first, self._first = self._first, None
        if first and forks.possible():
            return forks.fork(partial(first, lifeline), keep=lifeline)
        return await asyncio.create_subprocess_exec(
            *self._command,
            "--lifeline",
            str(lifeline),
            pass_fds=[lifeline],
            stdin=subprocess.DEVNULL,
        )

    async def _hear(self, lifeline: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):  # its end is told by its exit code
            while await loop.sock_recv(lifeline, 1):
                self.ready.set()


async def supervise(
    listen: str, count: int, patience: Patience | None = None, *, first: Work | None = None
) -> None:
    """SIGTERM and SIGINT drain all; SIGHUP drains and starts anew one process after the other.

    `first` is what a fork runs, instead of a new Python, when all of them start.
    """
    patience = patience or Patience()
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "runagentd"]
    slots = [
        Slot(number, [*command, "--listen", listen], patience, first)
        for number in range(1, count + 1)
    ]
    stop, renew, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, renew.set)
    keeping = [asyncio.create_task(slot.keep()) for slot in slots]
    renewing = asyncio.create_task(_renew_forever(slots, renew))
    log.info("%d agentd processes share %s.", count, listen)
    await stop.wait()
    renewing.cancel()
    for slot in slots:
        slot.stopping = True
    await asyncio.gather(*(slot.end() for slot in slots))
    for task in keeping:
        task.cancel()  # one may be waiting for its next start
    await asyncio.gather(*keeping, renewing, return_exceptions=True)
    log.info("agentd and its processes stopped.")


async def _renew_forever(slots: list[Slot], asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        for slot in slots:
            await slot.replace()
        log.info("Every agentd process was started anew.")


class Lifeline:
    """The process's end of it."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)

    def ready(self) -> None:
        try:
            self._socket.sendall(READY)
        except OSError:
            log.warning("The parent is gone.")

    def watch(self, on_end: Callable[[], object], *, grace: float) -> None:
        """Call `on_end` when the parent is gone; whatever happens then, no orphan is left after `grace`."""

        def wait() -> None:
            with suppress(OSError):  # reset: it went without reading what we said
                while self._socket.recv(1):
                    pass
            log.warning("The parent is gone, so this process drains.")
            on_end()
            threading.Event().wait(grace)
            os._exit(1)

        threading.Thread(target=wait, name="lifeline", daemon=True).start()
