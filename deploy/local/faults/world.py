"""Three clusters of two agents and six publishes each, through doors, and one publish nobody touches."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from deploy.local import ports
from deploy.local.faults.door import Door, Doors
from deploy.local.processes import Child
from deploy.local.smoke.portal import Gateway, wait_until
from deploy.local.smoke.scene import HOST, Scene
from deploy.local.stack import Ports, Stack

CLUSTERS, AGENTS, PUBLISHES = 3, 2, 6
KEYED = 3  # of the publishes of a cluster; the others are public
FRAGILE = PUBLISHES - 1  # on a port of its own, which may be taken
DOOMED = (
    PUBLISHES - 2
)  # on a port that each cluster's last agent can never have: it fails everywhere
STEADY = "/steady"
PLAN_RATE = 100_000  # calls a minute: never reached here


class FaultStack(Stack):
    """Agents reach the control plane through a door each, and its REST through one for all."""

    def __init__(self, home: Any, *, say: Any) -> None:
        super().__init__(home, Ports.free(), durable=False, say=say)
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


@dataclass
class Publish:
    id: str
    service: str
    path: str
    port: int
    plan: str = ""  # of a keyed one


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


class World:
    def __init__(self, stack: FaultStack) -> None:
        self.stack = stack
        logins = json.loads(
            stack.manage("seed_demo", "--stage", "accounts", "--json").splitlines()[-1]
        )
        self.logins = logins["logins"]
        self.scene = Scene.enter(stack, self.logins)
        self.fragile_port, self.doomed_port = ports.free(2)
        self._holders: list[socket.socket] = []
        self.clusters: list[Cluster] = []
        self.keys: dict[str, str] = {}  # credential id -> its secret
        self.key_paths: dict[str, str] = {}  # credential id -> the path it is for
        self.key_clusters: dict[str, Cluster] = {}

    @property
    def places(self) -> list[Place]:
        return [place for cluster in self.clusters for place in cluster.places]

    def build(self) -> None:
        scene, port = self.scene, self.stack.ports.gateway
        for number in range(CLUSTERS):
            gateway = scene.make_gateway(f"gateway {number}", port)
            others = {
                FRAGILE: (self._own_gateway(number, self.fragile_port), self.fragile_port),
                DOOMED: (self._own_gateway(number, self.doomed_port), self.doomed_port),
            }
            cluster = self._join(number)
            self._hold(cluster.places[-1].address)
            for index in range(PUBLISHES):
                on, its_port = others.get(index, (gateway, port))
                cluster.publishes.append(self._publish(number, index, on, its_port, cluster))
            self._create(f"steady-{number}", STEADY, "none", gateway, cluster)
            self.clusters.append(cluster)
        # These are left to the driver: where Envoy listens already, no port can be taken.
        left = tuple(f"p{index}" for index in (FRAGILE, DOOMED))
        first = [name for name in scene.publishes if not name.endswith(left)]
        for name in first:
            scene.send(name, "publish")
        for name in first:
            scene.arrival(name, "PUBLISHED")
        self._hand_out_keys()

    def _join(self, number: int) -> Cluster:
        scene, stack = self.scene, self.stack
        cluster_id, token = scene.new_cluster(f"faults-{number}")
        cluster = Cluster(cluster_id)
        for index in range(AGENTS):
            name, address = f"agent-{number}-{index}", f"127.0.0.{11 + number * AGENTS + index}"
            stack.clock_of(name).write_text("0")
            stack.extra_environment[name] = {"IMP_FAULT_CLOCK": str(stack.clock_of(name))}
            token = token if index == 0 else scene.new_token(cluster_id)
            child = stack.start_agent(token, name, bind=address)
            cluster.places.append(Place(name, address, child))
        wait_until(lambda: scene.live_agents(cluster_id) == AGENTS, "the agents being live")
        return cluster

    def _own_gateway(self, number: int, port: int) -> str:
        return self.scene.make_gateway(f"gateway {number} on {port}", port)

    def _hold(self, address: str) -> None:
        """Bound, without SO_REUSEADDR, and not listening: callers are refused, and so is Envoy."""
        holder = socket.socket()
        holder.bind((address, self.doomed_port))
        self._holders.append(holder)

    def _publish(self, number: int, index: int, on: str, port: int, cluster: Cluster) -> Publish:
        name, path = f"c{number}-p{index}", f"/c{number}/p{index}"
        mode = "api-key" if index < KEYED else "none"
        service = self._create(name, path, mode, on, cluster)
        return Publish(self.scene.publishes[name], service, path, port)

    def _create(self, name: str, path: str, mode: str, on: str, cluster: Cluster) -> str:
        product = self.scene.define(name, path, ["GET"])
        self.scene.create(name, product, mode, gateway=on, cluster=cluster.id)
        row = self.scene.provider.get(f"/api/v1/provider/products/{product}")
        return str(row["api_services"][0])

    def _hand_out_keys(self) -> None:
        for number, cluster in enumerate(self.clusters):
            for index, publish in enumerate(cluster.publishes[:KEYED]):
                publish.plan = self.scene.add_plan(f"c{number}-p{index}", "Basic", PLAN_RATE)
                secret = self.scene.subscribe(publish.plan, f"app {publish.path}")
                self.keep_key(self.scene.keys[secret]["id"], secret, publish, cluster)

    def keep_key(self, key_id: str, secret: str, publish: Publish, cluster: Cluster) -> None:
        self.key_paths[key_id], self.key_clusters[key_id] = publish.path, cluster
        self.keys[key_id] = secret

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Straight from the database, past all of the product's code."""
        with psycopg.connect(self.stack.postgres.url, row_factory=dict_row) as connection:
            return connection.execute(query, values).fetchall()

    def gateway(self, place: Place, port: int = 0) -> Gateway:
        return Gateway(f"http://{place.address}:{port or self.stack.ports.gateway}", HOST)
