"""agentd with thousands of simulated agents over TLS: connect, idle, wake, kill -9, churn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from benchmarks import bulk, footprint
from benchmarks.figures import Result
from benchmarks.fleets import Fleets, reached
from benchmarks.place import BenchStack, has_processes, started
from deploy.local import paths
from deploy.local.stack import wait_for

CLUSTERS = 10
REPORT_SECONDS = 6  # a simulated agent says that it followed a hint
ALL = 0.99
BARE = "a server that does nothing else"


@dataclass(frozen=True, slots=True)
class Case:
    agents: int
    processes: int
    wakes: int = 10
    idle_seconds: float = 30
    churn: tuple[int, int] = (0, 0)  # cycles, agents

    @property
    def name(self) -> str:
        return f"{self.agents:,} agents / {self.processes} process{'es' * (self.processes > 1)}"


# One process takes 6,000 connections at most (agents/server/options.py), so 10,000 need several.
CASES = [
    Case(1_000, 1, churn=(100, 500)),
    Case(1_000, 4),
    Case(5_000, 1),
    Case(10_000, 4),
]
QUICK = [
    Case(200, 1, wakes=3, idle_seconds=5, churn=(5, 100)),
    Case(200, 4, wakes=3, idle_seconds=5),
]
IN_THE_LAB = {
    (1_000, 1): "lab skeleton: 70 KiB each",
    (10_000, 4): "lab skeleton: 7.8 s, 70 KiB each, wake p99 0.43–0.70 s, back in 9.1 s, idle 14 %",
}


def run(result: Result, *, quick: bool, only: str = "") -> None:
    cases = [case for case in (QUICK if quick else CASES) if only in case.name]
    with started(tls=True) as stack:
        bulk.people()
        cluster_ids = bulk.clusters(CLUSTERS)
        file = stack.home / "agents.jsonl"
        bulk.agents(cluster_ids, max(case.agents for case in cases), file)
        for case in cases:
            if case.processes > 1 and not has_processes():
                result.add(f"{case.name}: no `runagentd --processes` yet", None, "")
                continue
            print(f"  {case.name}", flush=True)
            _case(result, stack, case, cluster_ids, _first(file, case.agents))


def _first(file: Path, count: int) -> Path:
    part = file.with_suffix(f".{count}.jsonl")
    part.write_text("".join(file.read_text().splitlines(keepends=True)[:count]))
    return part


def _case(
    result: Result, stack: BenchStack, case: Case, cluster_ids: list[UUID], file: Path
) -> None:
    agentd = stack.serve_agents(case.processes)
    time.sleep(3)  # its own start is over
    before = footprint.anonymous_kib(footprint.tree_of(agentd.pid))
    with Fleets(file, f"127.0.0.1:{stack.ports.agentd}", ca=stack.ca) as fleets:
        _connect(result, fleets, case)
        time.sleep(REPORT_SECONDS)
        tree = footprint.tree_of(agentd.pid)
        _memory(result, case, footprint.anonymous_kib(tree) - before)
        result.raw[f"{case.name}: agentd MiB"] = round(footprint.rss_kib(tree) / 1024)
        _idle(result, stack, case)
        _wake_all(result, fleets, case, cluster_ids)
        _wake_one(result, fleets, case, cluster_ids)
        _kill(result, stack, fleets, case)
    if case.churn[0]:
        _churn(result, stack, case, file)
    _bare(result, stack, case, file)


def _bare(result: Result, stack: BenchStack, case: Case, file: Path) -> None:
    """The same agents against a server that only lets them in."""
    stack.child("agentd").stop()
    pair = [str(stack.home / "agentd.pem"), str(stack.home / "agentd.key")]
    port = str(stack.ports.agentd)
    command = [sys.executable, "-m", "benchmarks.fleet.bare", port, *pair]
    servers = [subprocess.Popen(command, cwd=paths.ROOT) for _ in range(case.processes)]
    try:
        time.sleep(4)  # their own start is over
        with Fleets(file, f"127.0.0.1:{port}", ca=stack.ca) as fleets:
            fleets.collect()
            began = time.monotonic()
            fleets.ask("connect")
            fleets.wait_up(case.agents, 120)
            took = reached(fleets.collect().moves, 0, round(case.agents * ALL), began)
            result.add(f"{case.name}: {ALL:.0%} connected to {BARE}", took, "s")
            time.sleep(REPORT_SECONDS)
            delays = []
            for _ in range(case.wakes):
                delays += _wake(fleets, lambda: _signal(servers), case.agents)
            name = f"{case.name}: wake of all by {BARE}"
            result.add_times(name, delays)
            result.raw.pop(name)
    finally:
        for server in servers:
            server.kill()
            server.wait()


def _signal(servers: list[subprocess.Popen[bytes]]) -> None:
    for server in servers:
        server.send_signal(signal.SIGUSR1)


def _connect(result: Result, fleets: Fleets, case: Case) -> None:
    fleets.collect()
    agentd_began = time.monotonic()
    fleets.ask("connect")
    fleets.wait_up(case.agents, 180)
    seen = fleets.collect()
    for share in (ALL, 1.0):
        took = reached(seen.moves, 0, round(case.agents * share), agentd_began)
        beside = IN_THE_LAB.get((case.agents, case.processes), "")
        result.add(f"{case.name}: {share:.0%} connected", took, "s", baseline=beside)
    result.raw[f"{case.name}: lost while connecting"] = dict(seen.lost)


def _memory(result: Result, case: Case, grown: int) -> None:
    result.add(f"{case.name}: memory of each agent", grown / case.agents, "KiB", target=100)


def _idle(result: Result, stack: BenchStack, case: Case) -> None:
    """Heartbeats only; the databases' share is counted apart."""
    time.sleep(5)
    for name in ("agentd", "postgres"):
        pids = footprint.tree_of(stack.child(name).pid)
        result.raw[f"{case.name}: {name} pids"] = len(pids)
    cpu = {name: stack.cpu_seconds(name) for name in ("agentd", "postgres")}
    time.sleep(case.idle_seconds)
    for name, used in cpu.items():
        share = (stack.cpu_seconds(name) - used) / case.idle_seconds * 100
        result.add(f"{case.name}: idle, {name}", share, "% of a core")


def _wake_all(result: Result, fleets: Fleets, case: Case, cluster_ids: list[UUID]) -> None:
    delays, missed = [], 0
    for _ in range(case.wakes):
        found = _wake(fleets, lambda: bulk.move_on(cluster_ids), case.agents)
        delays += found
        missed += case.agents - len(found)
    result.add_times(f"{case.name}: wake of all", delays, p99=1000)
    result.raw[f"{case.name}: hints not seen in 15 s"] = missed
    result.raw[f"{case.name}: connected after the wakes"] = fleets.up()
    # Every sample of ten thousand agents is too much to keep.
    result.raw[f"{case.name}: wake of all, n={len(delays)}"] = result.raw.pop(
        f"{case.name}: wake of all"
    )[:: max(1, len(delays) // 200)]


def _wake_one(result: Result, fleets: Fleets, case: Case, cluster_ids: list[UUID]) -> None:
    delays = []
    for number in range(case.wakes):
        cluster = cluster_ids[number % len(cluster_ids)]
        expected = case.agents // len(cluster_ids)
        delays += _wake(fleets, partial(bulk.move_on, [cluster]), expected)
    result.add_times(f"{case.name}: wake of one cluster", delays)
    result.raw.pop(f"{case.name}: wake of one cluster")


def _wake(fleets: Fleets, move: Callable[[], None], expected: int) -> list[float]:
    """From before the commit to each agent's hint, in seconds."""
    fleets.collect()
    began = time.monotonic()
    move()
    deadline = time.monotonic() + 15
    while fleets.hinted() < expected and time.monotonic() < deadline:
        time.sleep(0.25)
    first: list[float] = [at - began for at, _ in fleets.collect().marks]
    time.sleep(REPORT_SECONDS)  # the agents report; the next wake finds a quiet server
    return first[:expected]


def _kill(result: Result, stack: BenchStack, fleets: Fleets, case: Case) -> None:
    """kill -9 of every process of agentd; a new start two seconds later, as a supervisor does it."""
    agentd = stack.child("agentd")
    standing = fleets.up()
    fleets.collect()
    killed = time.monotonic()
    os.killpg(agentd.pid or 0, signal.SIGKILL)
    assert agentd.process is not None
    agentd.process.wait()
    time.sleep(max(0.0, killed + 2 - time.monotonic()))
    agentd.start()
    fleets.wait_up(case.agents, 120)
    seen = fleets.collect()
    for share in (ALL, 1.0):
        took = reached(seen.moves, standing, round(case.agents * share), killed + 1)
        back = None if took is None else took + 1
        target = 20 if share == ALL else None
        result.add(f"{case.name}: kill -9, {share:.0%} back", back, "s", target=target)
    result.raw[f"{case.name}: lost after kill"] = dict(seen.lost.most_common(8))


def _churn(result: Result, stack: BenchStack, case: Case, file: Path) -> None:
    """Agents that connect and vanish at once. What stays is what a call leaks."""
    cycles, count = case.churn
    agentd = stack.child("agentd")
    with Fleets(file, f"127.0.0.1:{stack.ports.agentd}", ca=stack.ca, processes=1) as fleets:
        memory = []
        steps = max(1, cycles // 10)
        for _ in range(cycles // steps):
            short = fleets.ask("churn", cycles=steps, count=count)[0]["short"]
            time.sleep(1)
            memory.append(round(footprint.rss_kib(footprint.tree_of(agentd.pid)) / 1024, 1))
            result.raw.setdefault(f"{case.name}: churn, not connected in 30 s", []).append(short)
    name = f"{case.name}: {cycles} × {count} connect and vanish"
    result.raw[f"{name}, MiB"] = memory
    result.add(f"{name}: memory after a tenth", memory[0], "MiB")
    result.add(f"{name}: memory at the end", memory[-1], "MiB", baseline="lab: 56 → 60, flat")
    wait_for(agentd.is_running, "agentd still running", 1)
