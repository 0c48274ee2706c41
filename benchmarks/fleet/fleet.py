"""A share of all agents, and what was seen of them. Times are CLOCK_MONOTONIC: the same in all processes."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.fleet.agent import Agent, Identity
from benchmarks.fleet.loop import READ, Loop

CHURN_POLL = 0.01
CHURN_SECONDS = 30


class Fleet:
    def __init__(self, options: Namespace) -> None:
        host, _, port = options.server.rpartition(":")
        self.loop = Loop()
        self.server = (host, int(port))
        self.authority = options.server
        self.tls = _trusting(options.ca) if options.ca else None
        self.works = options.work
        self.lost: Counter[str] = Counter()
        self._marks: list[tuple[float, int]] = []
        self._moves: list[tuple[float, int]] = []
        share, of = map(int, options.share.split("/"))
        lines = Path(options.agents).read_text().splitlines()[share::of]
        self.agents = [
            # Many source addresses: each has its own ports.
            Agent(self, _identity(line), f"127.0.{share + 1}.{number % 64 + 1}")
            for number, line in enumerate(lines)
        ]
        self.loop.watch(sys.stdin.fileno(), READ, self._commanded)
        self._typed = b""

    def mark(self, cluster: int) -> None:
        self._marks.append((time.monotonic(), cluster))

    def moved(self, by: int) -> None:
        self._moves.append((time.monotonic(), by))

    def run(self) -> None:
        self._answer(agents=len(self.agents))
        self.loop.run()

    # --- what the parent may ask ---

    def _commanded(self, _events: int) -> None:
        typed = os.read(sys.stdin.fileno(), 65536)
        if not typed:
            self.loop.running = False
        self._typed += typed
        *lines, self._typed = self._typed.split(b"\n")
        for line in lines:
            command = json.loads(line)
            getattr(self, f"do_{command.pop('do')}")(**command)

    def do_connect(self) -> None:
        for agent in self.agents:
            agent.connect()
        self._answer()

    def do_state(self) -> None:
        up = sum(agent.is_up for agent in self.agents)
        self._answer(up=up, marks=len(self._marks), lost=self.lost.most_common(12))

    def do_collect(self) -> None:
        """What was seen since the last time."""
        self._answer(marks=self._marks, moves=self._moves, lost=self.lost.most_common(12))
        self._marks, self._moves = [], []
        self.lost.clear()

    def do_churn(self, cycles: int, count: int) -> None:
        """Connect so many at once, and vanish as soon as all are welcome; again and again."""
        self._cycle(cycles, self.agents[:count], started=False, began=time.monotonic(), short=0)

    def _cycle(
        self, left: int, agents: list[Agent], *, started: bool, began: float, short: int
    ) -> None:
        if not started:
            for agent in agents:
                agent.connect()
            began = time.monotonic()
        late = time.monotonic() - began > CHURN_SECONDS
        if not late and not all(agent.is_up for agent in agents):
            self._later(left, agents, True, began, short)
            return
        short += sum(not agent.is_up for agent in agents)
        for agent in agents:
            agent.abort()
        if left > 1:
            self._later(left - 1, agents, False, began, short)
        else:
            self._answer(short=short)

    def _later(
        self, left: int, agents: list[Agent], started: bool, began: float, short: int
    ) -> None:
        again = {"started": started, "began": began, "short": short}
        self.loop.after(CHURN_POLL, lambda: self._cycle(left, agents, **again))

    def do_leave(self) -> None:
        for agent in self.agents:
            agent.abort()
        self._answer()

    def _answer(self, **values: Any) -> None:
        print(json.dumps(values), flush=True)


def _identity(line: str) -> Identity:
    row = json.loads(line)
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(row["key"]))
    return Identity(row["id"], row["cluster"], key)


def _trusting(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2"])
    return context
