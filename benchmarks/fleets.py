"""The parent's side of simulated agents: starts the processes, asks them, adds up what they saw."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from deploy.local import paths

PROCESSES = 2


@dataclass
class Seen:
    """Since the last look: hints (when, cluster), streams (when, +1 or -1), and why streams ended."""

    marks: list[tuple[float, int]] = field(default_factory=list)
    moves: list[tuple[float, int]] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)


class Fleets:
    def __init__(
        self, agents: Path, server: str, *, ca: Path | None = None, work: bool = False,
        processes: int = PROCESSES,
    ) -> None:  # fmt: skip
        options = ["--server", server, "--agents", str(agents)]
        options += ["--ca", str(ca)] if ca else []
        options += ["--work"] if work else []
        self._children = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.fleet", *options, "--share", f"{n}/{processes}"],
                cwd=paths.ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(processes)
        ]
        self.size = sum(self._hear(child)["agents"] for child in self._children)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            if child.stdin:
                child.stdin.close()
        for child in self._children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def ask(self, do: str, **values: Any) -> list[dict[str, Any]]:
        """The same of all, at once."""
        for child in self._children:
            assert child.stdin is not None
            child.stdin.write(json.dumps({"do": do, **values}) + "\n")
            child.stdin.flush()
        return [self._hear(child) for child in self._children]

    def up(self) -> int:
        return sum(answer["up"] for answer in self.ask("state"))

    def hinted(self) -> int:
        return sum(answer["marks"] for answer in self.ask("state"))

    def collect(self) -> Seen:
        seen = Seen()
        for answer in self.ask("collect"):
            seen.marks += [(at, cluster) for at, cluster in answer["marks"]]
            seen.moves += [(at, by) for at, by in answer["moves"]]
            seen.lost.update(dict(answer["lost"]))
        seen.marks.sort()
        seen.moves.sort()
        return seen

    def wait_up(self, count: int, seconds: float) -> bool:
        """Whether so many are connected in time."""
        deadline = time.monotonic() + seconds
        while self.up() < count:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.25)
        return True

    def _hear(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(f"A fleet ended with {child.wait()}.")
        return json.loads(line)


def reached(moves: list[tuple[float, int]], start: int, wanted: int, since: float) -> float | None:
    """Seconds from `since` until so many streams stood, of `start` that stood when the moves began."""
    up, when = start, None
    for at, by in moves:
        up += by
        if up >= wanted and when is None and at >= since:
            when = at - since
        elif up < wanted:
            when = None
    return when
