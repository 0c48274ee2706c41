"""A group of child processes: started in order, watched, stopped in reverse order, never left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

LEASH = Path(__file__).with_name("leash.py")
LINES_SHOWN = 15
RESTARTS_ALLOWED = 5
STEADY_SECONDS = 60


class ChildFailed(RuntimeError):
    """A child that did not start or would not stay up, with the end of its log."""


@dataclass
class Child:
    """One process. `ready` says whether it serves; without it, running is enough."""

    name: str
    argv: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: str = ""
    ready: Callable[[], bool] | None = None
    stop_signal: int = signal.SIGTERM
    start_seconds: float = 30
    stop_seconds: float = 10
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it and wait until it serves. Call from the main thread: the leash is tied to the caller."""
        leash = [
            sys.executable,
            "-S",
            "-E",
            str(LEASH),
            str(int(self.stop_signal)),
            str(os.getpid()),
            self.user,
        ]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
            self.process = subprocess.Popen(
                [*leash, *self.argv],
                env={**_inherited(), **self.env},
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """Ask, wait, then kill whatever is left of its group. Stopping twice is no error."""
        if self.process is None:
            return
        if self.is_running():
            self.process.send_signal(self.stop_signal)
            self._wait(self.stop_seconds)
        self._kill_group()
        self.process.wait()
        self.process = None

    def last_lines(self) -> str:
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
        return "\n".join(f"  {self.name} | {line}" for line in lines)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while True:
            if not self.is_running():
                code = self.process.returncode if self.process else None
                raise ChildFailed(f"{self.name} exited with {code}.\n{self.last_lines()}")
            if self.ready is None or self.ready():
                return
            if time.monotonic() > deadline:
                self.stop()
                raise ChildFailed(
                    f"{self.name} was not ready after {self.start_seconds:.0f} s.\n{self.last_lines()}"
                )
            time.sleep(0.05)

    def _wait(self, seconds: float) -> None:
        try:
            self.process and self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            print(
                f"{self.name} did not stop within {seconds:.0f} s and is killed.", file=sys.stderr
            )

    def _kill_group(self) -> None:
        """Workers that the child forked are in its group; the child's exit does not end them."""
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # the usual case: nothing is left
        except PermissionError:
            return  # macOS answers so for a group of zombies


class Group:
    """Children that live and die together. Use as a context manager: leaving it stops them all."""

    def __init__(self, say: Callable[[str], None] = print):
        self._say = say
        self._children: list[Child] = []
        self._restarts: dict[str, list[float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def start(self, child: Child) -> Child:
        """Start a child after those already in the group."""
        self._children.append(child)
        child.start()
        return child

    def adopt(self, child: Child) -> Child:
        """Take over a child that somebody else started."""
        self._children.append(child)
        return child

    def stop(self) -> None:
        """Stop all, last one first; a failure to stop one does not spare the others."""
        failures = []
        with uninterrupted():
            while self._children:
                try:
                    self._children.pop().stop()
                except OSError as error:
                    failures.append(error)
        if failures:
            raise failures[0]

    def watch(self) -> None:
        """Start again whoever died; give up on one that keeps dying."""
        for child in self._children:
            if not child.is_running():
                self._restart(child)

    def _restart(self, child: Child) -> None:
        now = time.monotonic()
        recent = [at for at in self._restarts.get(child.name, []) if now - at < STEADY_SECONDS]
        if len(recent) >= RESTARTS_ALLOWED:
            raise ChildFailed(f"{child.name} keeps exiting.\n{child.last_lines()}")
        self._restarts[child.name] = [*recent, now]
        code = child.process.returncode if child.process else None
        self._say(f"{child.name} exited with {code}; starting it again (log: {child.log})")
        try:
            child.start()
        except ChildFailed as error:
            # Counted above; the next round tries again.
            self._say(str(error))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave half of the children running; stopping is bounded in time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_on_signals() -> None:
    """Make SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that `with` and `finally` run."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def _inherited() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
