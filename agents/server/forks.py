"""A process that goes on from what its parent has loaded, so that several start as fast as one.

Loading takes a second of a core, and after a crash of everything the whole fleet waits for it. grpc does not
survive a fork, so the parent must not have loaded it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)
PARENTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # what the parent has handlers for


class Forked:
    """A child, with as much of asyncio.subprocess.Process as a Slot needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._over = asyncio.Event()
        self._handle = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._handle, self._reap)

    async def wait(self) -> int:
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._handle)
        os.close(self._handle)
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self._over.set()


def possible() -> bool:
    return hasattr(os, "pidfd_open") and "grpc" not in sys.modules and threading.active_count() == 1


def fork(work: Callable[[], object], *, keep: int) -> Forked:
    """Run `work` in a child, which has nothing of its parent's open but the descriptor `keep`."""
    # A signal that came before the child has let go of the parent's handlers would reach the parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS)
    try:
        pid = os.fork()
        if not pid:
            _live(work, keep)
        return Forked(pid)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS)


def _live(work: Callable[[], object], keep: int) -> None:
    """Never returns: the parent's frames are below us, and must not unwind a second time."""
    code = 1
    try:
        _let_go(keep)
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        log.exception("This process broke.")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _let_go(keep: int) -> None:
    """Of the parent's loop, signals and descriptors."""
    asyncio._set_running_loop(None)
    signal.set_wakeup_fd(-1)
    for each in PARENTS:
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDWR)
    open_here = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    # Not closed: objects of the parent that still hold a number must not close what took it over.
    for number in open_here - {1, 2, keep, nothing}:
        os.dup2(nothing, number, inheritable=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS)
