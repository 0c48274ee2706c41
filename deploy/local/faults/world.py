"""Three clusters of two agents and six publishes each, of two providers, and one that nobody touches."""

from __future__ import annotations

import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from deploy.local import ports
from deploy.local.faults.door import Door, Doors
from deploy.local.faults.people import HOSTS, PROVIDER, RIVAL, Side, enter
from deploy.local.processes import Child
from deploy.local.smoke.portal import Gateway, wait_until
from deploy.local.stack import Ports, Stack

CLUSTERS, AGENTS, PUBLISHES = 3, 2, 6
KEYED = 3  # of the publishes of a cluster; the others are public
OF_THE_RIVAL = {2, 3}  # one keyed, one public
FRAGILE = PUBLISHES - 1  # on a port of its own, which may be taken
# On a port that each cluster's last agent can never have: it fails everywhere.
DOOMED = PUBLISHES - 2
STEADY = "/steady"
PLAN_RATE = 100_000  # calls a minute: never reached here


class FaultStack(Stack):
    """Agents reach the control plane through a door each, and its REST through one for all."""

    def __init__(self, home: Any, *, say: Any) -> None:
        super().__init__(home, Ports.free(), durable=True, say=say)
        # kill -9 of PostgreSQL loses nothing that was written; only the machine must not crash.
        self.postgres.child.argv += ["-c", "fsync=off"]
        self.agentd_processes = 1
        self._doors = Doors()
        self.rest_door = self._doors.make(self.ports.web)
        self.stream_doors: dict[str, Door] = {}

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PUBLIC_URL": f"http://127.0.0.1:{self.rest_door.port}"}

    def agents_server(self, name: str) -> str:
        door = self.stream_doors.setdefault(name, self._doors.make(self.ports.agentd))
        return f"127.0.0.1:{door.port}"

    def clock_of(self, agent: str) -> Any:
        """The file that says by how many seconds the agent's clock is wrong."""
        return self.home / "agents" / f"{agent}.clock"

    def serve_agents(self, processes: int) -> None:
        """agentd anew in so many processes, the old one killed; nothing happens if it runs so already."""
        self.agentd_processes = processes
        child = self.child("agentd")
        alone = child.argv[: child.argv.index("runagentd") + 1]
        argv = [*alone, "--processes", str(processes)] if processes > 1 else alone
        if argv == child.argv:
            return
        pid = child.pid
        if pid:
            os.killpg(pid, signal.SIGKILL)
        if child.process:
            child.process.wait()
        child.argv = argv
        child.start()


@dataclass
class Publish:
    id: str
    service: str
    path: str
    port: int
    owner: str
    place: str  # how the history names it
    plan: str = ""  # of a keyed one

    @property
    def host(self) -> str:
        return HOSTS[self.owner]


@dataclass
class Place:
    """One agent with its gateway."""

    name: str
    address: str
    child: Child
    harmed: bool = False  # its Envoy is dead or stopped, or has not answered since
    mending: bool = False  # the harm is over; the next 200 ends it


@dataclass
class Cluster:
    id: str
    places: list[Place] = field(default_factory=list)
    publishes: list[Publish] = field(default_factory=list)
    trespass: str = ""  # a publish of the rival in the provider's host: it may never go out
    steady_key: str = ""
    steady_subscription: str = ""


class World:
    def __init__(self, stack: FaultStack) -> None:
        self.stack = stack
        self.sides: dict[str, Side] = enter(stack)
        self.fragile_port, self.doomed_port = ports.free(2)
        self._holders: list[socket.socket] = []
        self._gateways: dict[tuple[str, str, int], Gateway] = {}
        self.clusters: list[Cluster] = []
        self.keys: dict[str, str] = {}  # credential id -> its secret
        self.key_publishes: dict[str, Publish] = {}  # credential id -> what it is for

    @property
    def places(self) -> list[Place]:
        return [place for cluster in self.clusters for place in cluster.places]

    @property
    def publishes(self) -> list[Publish]:
        return [publish for cluster in self.clusters for publish in cluster.publishes]

    def cluster_of(self, place: Place) -> Cluster:
        return next(each for each in self.clusters if place in each.places)

    def build(self) -> None:
        """The definitions are shared: each product goes to every cluster."""
        self._join()
        shared, fragile, doomed = self.stack.ports.gateway, self.fragile_port, self.doomed_port
        for index in range(PUBLISHES):
            owner = RIVAL if index in OF_THE_RIVAL else PROVIDER
            mode = "api-key" if index < KEYED else "none"
            port = {FRAGILE: fragile, DOOMED: doomed}.get(index, shared)
            service, created = self.sides[owner].offer(f"p{index}", mode, port, self._ids())
            for number, (cluster, pk) in enumerate(zip(self.clusters, created, strict=True)):
                place = f"c{number}/p{index}"
                cluster.publishes.append(Publish(pk, service, f"/p{index}", port, owner, place))
        _service, steady = self.sides[PROVIDER].offer("steady", "api-key", shared, self._ids())
        _service, trespass = self.sides[RIVAL].offer(
            "p0", "none", shared, self._ids(), host=HOSTS[PROVIDER], name="trespass"
        )
        for cluster, pk in zip(self.clusters, trespass, strict=True):
            cluster.trespass = pk
        self._publish(steady)
        self._hand_out_keys(steady)

    def _ids(self) -> list[str]:
        return [cluster.id for cluster in self.clusters]

    def _join(self) -> None:
        operator, stack, waiting = self.sides[PROVIDER].scene, self.stack, []
        for number in range(CLUSTERS):
            cluster_id, token = operator.new_cluster(f"faults-{number}")
            self.clusters.append(Cluster(cluster_id))
            for index in range(AGENTS):
                name, address = f"agent-{number}-{index}", f"127.0.0.{11 + number * AGENTS + index}"
                stack.clock_of(name).write_text("0")
                stack.extra_environment[name] = {"IMP_FAULT_CLOCK": str(stack.clock_of(name))}
                token = token if index == 0 else operator.new_token(cluster_id)
                waiting.append((self.clusters[-1], token, name, address))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda each: stack.join(each[1], each[2], each[3]), waiting))
        for cluster, token, name, address in waiting:
            child = stack.start_agent(token, name, bind=address)
            cluster.places.append(Place(name, address, child))
            if len(cluster.places) == AGENTS:
                self._hold(address)
        alive = "SELECT 1 FROM clusters_agent WHERE session_epoch > 0 AND disconnected_at IS NULL"
        wait_until(lambda: len(self.rows(alive)) == len(waiting), "the agents being live")

    def _hold(self, address: str) -> None:
        """Bound, without SO_REUSEADDR, and not listening: callers are refused, and so is Envoy."""
        holder = socket.socket()
        holder.bind((address, self.doomed_port))
        self._holders.append(holder)

    def _publish(self, steady: list[str]) -> None:
        """All but those on ports of their own: where Envoy listens already, no port can be taken."""
        for pk in steady:  # the provider's host is the provider's from now on
            self.sides[PROVIDER].publish(pk)
        for publish in self.publishes:
            if publish.port == self.stack.ports.gateway:
                self.sides[publish.owner].publish(publish.id)
        opened = "SELECT 1 FROM publishing_deployment WHERE finished_at IS NULL"
        wait_until(lambda: not self.rows(opened), "the first publishes being over", 40)
        ends = {row["status"] for row in self.rows("SELECT status FROM publishing_deployment")}
        assert ends == {"SUCCEEDED"}, ends

    def _hand_out_keys(self, steady: list[str]) -> None:
        consumer = self.sides[PROVIDER]
        consumer.open_application()
        for cluster, pk in zip(self.clusters, steady, strict=True):
            key = consumer.subscribe(consumer.add_plan(pk, PLAN_RATE))
            cluster.steady_key, cluster.steady_subscription = key["key"], key["subscription_id"]
            for publish in cluster.publishes[:KEYED]:
                publish.plan = self.sides[publish.owner].add_plan(publish.id, PLAN_RATE)
                self.keep_key(consumer.subscribe(publish.plan), publish)
        wait_until(
            lambda: all(
                self.steady(place).status(STEADY, cluster.steady_key) == 200
                for cluster in self.clusters
                for place in cluster.places
            ),
            "the steady keys opening",
        )

    def keep_key(self, key: dict[str, Any], publish: Publish) -> None:
        self.key_publishes[key["id"]] = publish
        self.keys[key["id"]] = key["key"]

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Straight from the database, past all of the product's code."""
        with psycopg.connect(self.stack.postgres.url, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def steady(self, place: Place) -> Gateway:
        return self.gateway(place, HOSTS[PROVIDER])

    def gateway(self, place: Place, host: str, port: int = 0) -> Gateway:
        """One client each, kept: a new one costs more than a hundred calls."""
        where = place.address, host, port or self.stack.ports.gateway
        if where not in self._gateways:
            self._gateways[where] = Gateway(f"http://{where[0]}:{where[2]}", host)
        return self._gateways[where]
