"""Doing harm to the stack, and watching what its callers notice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deploy.local.processes import Child
from deploy.local.smoke.portal import Gateway, SmokeError, wait_until
from deploy.local.smoke.report import Report
from deploy.local.smoke.scene import HOST, Scene

ENDS = {"SUCCEEDED", "FAILED", "SUPERSEDED", "CANCELLED"}
PAUSE_SECONDS = 0.02


class Caller(threading.Thread):
    """Calls one route over and over and keeps every answer that was not wanted."""

    def __init__(self, gateway: Gateway, path: str, key: str | None):
        super().__init__(daemon=True)
        self._gateway, self._path, self._key = gateway, path, key
        self._over = threading.Event()
        self._began = time.monotonic()
        self.count = 0
        self.strange: list[tuple[float, int]] = []  # seconds since the beginning, status

    def run(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            status = self._gateway.status(self._path, self._key)
            self.count += 1
            if status != 200:
                self.strange.append((round(time.monotonic() - self._began, 2), status))

    def end(self) -> None:
        self._over.set()
        self.join()


@contextmanager
def calls_keep_working(
    scene: Scene, report: Report, while_: str, path: str, key: str | None = None
) -> Iterator[None]:
    """Every one of the calls made meanwhile answers 200."""
    caller = Caller(Gateway(scene.stack.gateway_url, HOST), path, key)
    caller.start()
    try:
        yield
    finally:
        caller.end()
    name = f"calls keep answering 200 while {while_}"
    report.check(name, caller.count > 0 and not caller.strange, caller.strange[:5])


def end_of(scene: Scene, name: str) -> dict[str, Any]:
    """The newest deployment once it is over, whatever became of it."""
    wait_until(lambda: scene.deployment(name)["status"] in ENDS, f"the end of {name}'s deployment")
    return scene.deployment(name)


def kill(*children: Child) -> None:
    """kill -9, and nothing else: what they started goes on."""
    for child in children:
        if child.process is None:
            raise SmokeError(f"{child.name} is not running")
        child.process.kill()
        child.process.wait()


def start(*children: Child) -> None:
    for child in children:
        child.start()


def send_signal(child: Child, number: signal.Signals) -> None:
    if child.pid is None:
        raise SmokeError(f"{child.name} is not running")
    os.kill(child.pid, number)
