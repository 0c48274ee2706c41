"""What breaks: processes, connections, databases, clocks, ports. Every fault ends when the round does."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.faults.door import Door, Way
from deploy.local.faults.history import History
from deploy.local.faults.intruder import Intruder
from deploy.local.faults.world import Place, World
from deploy.local.processes import Child

SWITCH = "IMP_FAULT_POINT"
AGENT_POINTS = (
    "agent.fetched", "agent.forgot", "agent.applied", "agent.recorded", "agent.reported",
    "agent.keys_read", "agent.keys_applied",
)  # fmt: skip
SERVER_POINTS = {
    "request.committed": "web",
    "agentd.dispatched": "agentd",
    "result.before_commit": "agentd",
    "result.committed": "agentd",
}
CLOCKS = (-86_400 * 40, -600, -5, 5, 600, 86_400 * 40)  # seconds


@dataclass
class Fault:
    name: str
    begin: Callable[[], object]
    end: Callable[[], object]
    order: int = 5  # databases heal before what needs them


class Nemesis:
    """To be used from the main thread: children die with the thread that started them."""

    def __init__(self, world: World, history: History, rng: random.Random) -> None:
        self._world, self._history, self._rng = world, history, rng

    def torment(self, seconds: float) -> int:
        """Rounds of faults that overlap, each healed before the next; how many faults there were."""
        deadline, count = time.monotonic() + seconds, 0
        while time.monotonic() < deadline:
            count += self._round(self._choose(self._rng.choice([1, 2, 2, 3])))
        # Alone, or another fault may keep the intruder out: once in every seed they must get in.
        return count + self._round([self._intrude()[1]])

    def _round(self, chosen: list[Fault]) -> int:
        for fault in chosen:
            self._history.note("nemesis", fault.name)
            fault.begin()
            time.sleep(self._rng.uniform(0.0, 0.5))
        time.sleep(self._rng.uniform(0.1, 2.5))
        for fault in sorted(chosen, key=lambda each: each.order):
            fault.end()
        self._history.note("nemesis", "healed")
        time.sleep(self._rng.uniform(0.1, 1.5))
        return len(chosen)

    def _choose(self, count: int) -> list[Fault]:
        """At most one fault for each victim: two would heal each other."""
        chosen: dict[str, Fault] = {}
        while len(chosen) < count:
            make = self._rng.choice(self._makers())
            victim, fault = make()
            chosen.setdefault(victim, fault)
        return list(chosen.values())

    def _makers(self) -> list[Callable[[], tuple[str, Fault]]]:
        return [
            self._kill_server, self._kill_agent, self._kill_agent, self._kill_envoy, self._kill_both,
            self._stop_server, self._stop_agent, self._stop_envoy, self._die_server, self._die_agent,
            self._die_agent, self._die_agent, self._partition_agent, self._partition_agent,
            self._partition_rest, self._redis, self._postgres, self._clock, self._take_port,
            self._take_port, self._take_port, self._hit_process, self._intrude, self._intrude,
        ]  # fmt: skip

    def _place(self) -> Place:
        return self._rng.choice(self._world.places)

    # --- Processes ---

    def _kill_server(self) -> tuple[str, Fault]:
        child = self._world.stack.child(self._rng.choice(["web", "agentd"]))
        return child.name, Fault(f"kill -9 {child.name}", lambda: kill(child), child.start)

    def _hit_process(self) -> tuple[str, Fault]:
        """One of the processes of agentd: killed, or stopped until it owns agents that are elsewhere."""
        parent = self._world.stack.child("agentd")
        workers = children_of(parent.pid or 0)
        if not workers:
            return self._kill_server()
        pid = self._rng.choice(workers)
        if self._rng.random() < 0.5:
            return parent.name, Fault(
                "kill -9 one agentd", lambda: tell(pid, signal.SIGKILL), lambda: None
            )
        return parent.name, Fault(
            "stop one agentd",
            lambda: tell(pid, signal.SIGSTOP),
            lambda: tell(pid, signal.SIGCONT),
        )

    def _kill_agent(self) -> tuple[str, Fault]:
        child = self._place().child
        return child.name, Fault(f"kill -9 {child.name}", lambda: kill(child), child.start)

    def _kill_envoy(self) -> tuple[str, Fault]:
        place = self._place()
        return place.name, Fault(
            f"kill -9 the Envoy of {place.name}",
            lambda: self._end_envoy(place),
            lambda: mend(place),
        )

    def _kill_both(self) -> tuple[str, Fault]:
        place = self._place()

        def begin() -> None:
            kill(place.child)
            self._end_envoy(place)

        def end() -> None:
            place.child.start()
            mend(place)

        return place.name, Fault(f"kill -9 {place.name} and its Envoy", begin, end)

    def _end_envoy(self, place: Place) -> None:
        place.harmed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._world.stack.envoy_pid(place.name), signal.SIGKILL)

    def _stop_server(self) -> tuple[str, Fault]:
        child = self._world.stack.child(self._rng.choice(["web", "agentd"]))
        return child.name, pause(child)

    def _stop_agent(self) -> tuple[str, Fault]:
        child = self._place().child
        return child.name, pause(child)

    def _stop_envoy(self) -> tuple[str, Fault]:
        place = self._place()
        pid = self._world.stack.envoy_pid(place.name)

        def begin() -> None:
            place.harmed = True
            tell(pid, signal.SIGSTOP)

        def end() -> None:
            tell(pid, signal.SIGCONT)
            mend(place)

        return place.name, Fault(f"stop the Envoy of {place.name}", begin, end)

    def _die_agent(self) -> tuple[str, Fault]:
        child = self._place().child
        return child.name, die_at(child, self._rng.choice(AGENT_POINTS))

    def _die_server(self) -> tuple[str, Fault]:
        point = self._rng.choice(sorted(SERVER_POINTS))
        child = self._world.stack.child(SERVER_POINTS[point])
        return child.name, die_at(child, point)

    def _intrude(self) -> tuple[str, Fault]:
        place = self._place()
        intruder = Intruder(self._world, self._history, place)

        def begin() -> None:
            kill(place.child)
            intruder.enter()

        def end() -> None:
            place.child.start()
            intruder.leave()

        return place.name, Fault(f"an intruder with the key of {place.name}", begin, end, order=8)

    # --- Connections ---

    def _partition_agent(self) -> tuple[str, Fault]:
        name = self._place().name
        return f"door {name}", self._shut(
            self._world.stack.stream_doors[name], f"agentd and {name}"
        )

    def _partition_rest(self) -> tuple[str, Fault]:
        return "rest", self._shut(self._world.stack.rest_door, "the agents and REST")

    def _shut(self, door: Door, between: str) -> Fault:
        way = self._rng.choice([Way.CUT, Way.STALLED])
        return Fault(
            f"{way.value} between {between}", lambda: door.set(way), lambda: door.set(Way.OPEN)
        )

    # --- Databases, clocks, ports ---

    def _redis(self) -> tuple[str, Fault]:
        valkey = self._world.stack.valkey
        if self._rng.random() < 0.5:
            return "redis", Fault("flush Redis", lambda: flush(valkey.socket), lambda: None)
        return "redis", Fault("Redis away", valkey.stop, valkey.start, order=1)

    def _postgres(self) -> tuple[str, Fault]:
        postgres = self._world.stack.postgres
        if self._rng.random() < 0.5:
            return "postgres", Fault(
                "kill -9 PostgreSQL", lambda: kill(postgres.child), postgres.start, order=0
            )
        return "postgres", Fault("PostgreSQL away", postgres.stop, postgres.start, order=0)

    def _clock(self) -> tuple[str, Fault]:
        place, seconds = self._place(), self._rng.choice(CLOCKS)
        file = self._world.stack.clock_of(place.name)
        return f"clock {place.name}", Fault(
            f"clock of {place.name} {seconds:+d} s",
            lambda: set_clock(file, seconds),
            lambda: set_clock(file, 0),
        )

    def _take_port(self) -> tuple[str, Fault]:
        """The port of the fragile publishes, from one agent of each cluster that does not use it."""
        held: list[socket.socket] = []
        places = [self._rng.choice(cluster.places) for cluster in self._world.clusters]

        def begin() -> None:
            taken = [place.name for place in places if self._hold(place.address, held)]
            self._history.note("nemesis", f"taken from {', '.join(taken) or 'nobody'}")

        def end() -> None:
            for each in held:
                each.close()

        return "port", Fault("take the fragile port", begin, end)

    def _hold(self, address: str, held: list[socket.socket]) -> bool:
        """Where Envoy listens nobody else can."""
        holder = socket.socket()
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.append(holder)
        try:
            holder.bind((address, self._world.fragile_port))
            holder.listen()
        except OSError:
            return False
        return True


def kill(child: Child) -> None:
    """kill -9, and nothing else: what it started goes on."""
    if child.process:
        child.process.kill()
        child.process.wait()


def pause(child: Child) -> Fault:
    def say(number: signal.Signals) -> None:
        if child.pid and child.is_running():
            tell(child.pid, number)

    return Fault(f"stop {child.name}", lambda: say(signal.SIGSTOP), lambda: say(signal.SIGCONT))


def die_at(child: Child, point: str) -> Fault:
    """Start it anew with the switch; whether it has died there or not, it is well after the round."""
    usual = dict(child.env)

    def begin() -> None:
        kill(child)
        child.env = {**usual, SWITCH: point}
        # It may die before it is ready: that is what it is for.
        ready, child.ready = child.ready, None
        child.start()
        child.ready = ready

    def end() -> None:
        kill(child)
        child.env = usual
        child.start()

    return Fault(f"{child.name} dies at {point}", begin, end)


def children_of(pid: int) -> list[int]:
    """Where the kernel tells; elsewhere none."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def mend(place: Place) -> None:
    place.mending = True


def tell(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def flush(path: object) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"FLUSHALL\r\n")
        client.recv(16)


def set_clock(file: object, seconds: int) -> None:
    # Replaced at once: an agent must never read half a number.
    path = str(file)
    with open(f"{path}.new", "w") as fresh:  # noqa: PTH123 - two names of one path
        fresh.write(str(seconds))
    os.replace(f"{path}.new", path)  # noqa: PTH105
