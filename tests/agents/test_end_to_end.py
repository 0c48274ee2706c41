"""The agent against the real thing: agentd in a process of its own, the portal's REST, and a real Envoy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.db import connection

from catalog.services import policies as catalog_policies
from clusters.models import Agent, Cluster
from clusters.services import agents as agent_services
from clusters.services import tokens
from deploy.local import ports
from publishing import services as publishing
from publishing.models import AgentPublish, Deployment, ProductPublish
from publishing.states import Progress, Status
from subscriptions.services import applications, credentials, plans, subscriptions
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import (
    ApiServiceFactory,
    BackendFactory,
    GatewayFactory,
    ProductFactory,
    RouteFactory,
)
from tests.factories.clusters import ClusterFactory
from tests.factories.publishing import ProductPublishFactory

pytestmark = [pytest.mark.envoy, pytest.mark.django_db(transaction=True)]
HOST = "api.e2e.example.com"


def free_port() -> int:
    return ports.free()[0]


def until(check: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return found


@dataclass
class World:
    """A cluster with agentd, an operator who may do everything, and what runs for them."""

    home: Path
    rest_url: str
    gateway_port: int = field(default_factory=free_port)
    agentd_port: int = field(default_factory=free_port)
    upstream_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.admin = UserFactory(is_superuser=True)
        self.cluster: Cluster = ClusterFactory(allowed_networks=["127.0.0.1/32"])
        self.provider = OrganizationFactory(provider=True)
        self.processes: list[subprocess.Popen[bytes]] = []

    # --- processes ---

    def start(self, *argv: str) -> subprocess.Popen[bytes]:
        log = (self.home / f"{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            [sys.executable, *argv], env=self.environment(), stdout=log, stderr=log
        )
        self.processes.append(process)
        return process

    def environment(self) -> dict[str, str]:
        database = urlsplit(os.environ["DATABASE_URL"])
        name = connection.settings_dict["NAME"]
        return {
            **os.environ,
            "DATABASE_URL": database._replace(path=f"/{name}").geturl(),
            "PUBLIC_URL": self.rest_url,
            "SECRET_KEY": settings.SECRET_KEY,
            "AGENTD_LISTEN": f"127.0.0.1:{self.agentd_port}",
        }

    def start_agentd(self) -> subprocess.Popen[bytes]:
        process = self.start("manage.py", "runagentd")
        until(lambda: _answers(self.agentd_port), "agentd listening")
        return process

    def start_agent(self, name: str = "agent-1") -> subprocess.Popen[bytes]:
        state = str(self.state(name))
        return self.start(
            "-m", "agents.edge.cli", "run", "--state-dir", state, "--listen", "127.0.0.1:0"
        )

    def call(self, verb: str, *options: str, name: str = "agent-1") -> subprocess.CompletedProcess:
        argv = [sys.executable, "-m", "agents.edge.cli", verb, "--state-dir", str(self.state(name))]
        return subprocess.run([*argv, *options], capture_output=True, text=True, check=False)

    def join(self, name: str = "agent-1", token: str = "") -> subprocess.CompletedProcess:
        token = token or self.token()
        server = f"127.0.0.1:{self.agentd_port}"
        return self.call("join", "--server", server, "--token", token, "--name", name, name=name)

    def token(self) -> str:
        return tokens.create_token(actor=self.admin, cluster_id=self.cluster.pk)[1]

    def state(self, name: str) -> Path:
        return self.home / name

    def connected(self, name: str = "agent-1") -> Agent:
        agent = Agent.objects.get(cluster=self.cluster, name=name, revoked_at=None)
        return until(lambda: _connected(agent), f"{name} connected")

    # --- publishing ---

    def product(self, path: str = "/billing", auth_mode: str = "none") -> ProductPublish:
        provider = self.provider
        service = ApiServiceFactory(organization=provider, base_path=path)
        RouteFactory(service=service, path="/", methods=["GET"])
        BackendFactory(service=service, host="127.0.0.1", port=self.upstream_port)
        gateway = GatewayFactory(organization=provider)
        gateway.listeners.update(port=self.gateway_port)
        return ProductPublishFactory(
            organization=provider,
            product=ProductFactory(organization=provider, services=[service]),
            gateway=gateway,
            cluster=self.cluster,
            hostname_base=HOST,
            auth_mode=auth_mode,
        )

    def publish(self, publish: ProductPublish) -> Deployment:
        return publishing.publish(actor=self.admin, publish_id=publish.pk)

    def ended(self, deployment: Deployment, status: Progress = Progress.SUCCEEDED) -> Deployment:
        def look() -> bool:
            deployment.refresh_from_db()
            return not deployment.is_open

        until(look, f"{deployment} ended")
        assert deployment.status == status, deployment.detail
        return deployment

    def get(self, path: str = "/billing", key: str = "") -> int:
        headers = {"Host": HOST, **({"x-api-key": key} if key else {})}
        url = f"http://127.0.0.1:{self.gateway_port}{path}"
        try:
            return httpx.get(url, headers=headers, trust_env=False).status_code
        except httpx.HTTPError:
            return 0

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        for folder in self.home.iterdir():
            if (folder / "envoy.json").exists():
                self.call("stop", "--gateway", name=folder.name)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _connected(agent: Agent) -> Agent | None:
    agent.refresh_from_db()
    return agent if agent.session_epoch and agent.disconnected_at is None else None


@pytest.fixture
def world(live_server: Any) -> Iterator[World]:
    # Not tmp_path: the path of a Unix socket is short.
    home = Path(tempfile.mkdtemp(prefix="imp-", dir="/tmp"))
    world = World(home, live_server.url)
    try:
        world.start("-m", "deploy.local.upstream", "--port", str(world.upstream_port))
        world.start_agentd()
        yield world
    finally:
        world.close()
        shutil.rmtree(home, ignore_errors=True)


def test_publish_call_revoke_withdraw(world: World) -> None:
    assert world.join().returncode == 0
    world.start_agent()
    agent = world.connected()
    publish = world.product(auth_mode="api-key")
    deployment = world.ended(world.publish(publish))

    proof = deployment.verdicts.get(agent=agent).probe
    assert {call["got"] for call in proof} == {200, 401}
    assert world.get() == 401

    plan = plans.create(actor=world.admin, publish_id=publish.pk, name="Gold")
    shop = OrganizationFactory(consumer=True)
    app = applications.create(actor=world.admin, organization_id=shop.pk, name="shop")
    subscription = subscriptions.subscribe(
        actor=world.admin, application_id=app.pk, plan_id=plan.pk
    )
    credential, key = credentials.create(actor=world.admin, subscription_id=subscription.pk)
    until(lambda: world.get(key=key) == 200, "a 200 with the key")

    credentials.revoke(actor=world.admin, credential_id=credential.pk)
    began = time.monotonic()
    until(lambda: world.get(key=key) == 401, "the key refused")
    assert time.monotonic() - began < 1
    until(lambda: _receipt(agent, world), "the receipt of the revocation")

    publish.refresh_from_db()
    live = AgentPublish.objects.get(agent=agent, publish=publish)
    assert live.revision == publish.live_revision.digest
    world.ended(publishing.withdraw(actor=world.admin, publish_id=publish.pk))
    assert world.get() == 404
    publish.refresh_from_db()
    assert publish.status == Status.WITHDRAWN


def _receipt(agent: Agent, world: World) -> bool:
    agent.refresh_from_db()
    world.cluster.state.refresh_from_db()
    return agent.access_version == world.cluster.state.access_version


def test_a_refusal_reaches_the_operator_in_words_and_the_next_click_works(world: World) -> None:
    world.join()
    world.start_agent()
    world.connected()
    with socket.create_server(("0.0.0.0", world.gateway_port)):
        publish = world.product()
        refused = world.ended(world.publish(publish), Progress.FAILED)
        assert "in use" in refused.verdicts.get().error
    again = world.ended(world.publish(publish))

    assert again.revision_id == refused.revision_id
    assert world.get() == 200


def test_an_edited_service_is_served_as_it_was_published(world: World) -> None:
    world.join()
    world.start_agent()
    world.connected()
    publish = world.product()
    service = publish.product.services.get()
    RouteFactory(service=service, match="exact", path="/users/{id}", methods=["GET"])
    world.ended(world.publish(publish))
    nobody = {"deny": ["0.0.0.0/0"]}
    catalog_policies.put(actor=world.admin, service_id=service.pk, kind="ip", config=nobody)
    assert world.get("/billing/users/7") == 200

    world.ended(world.publish(publish))
    assert world.get("/billing/users/7") == 403


def test_a_publish_outlives_agentd_and_the_agent(world: World) -> None:
    """Both killed without warning while the publish is on its way; nobody has to click again."""
    world.join()
    agent_process = world.start_agent()
    world.connected()
    first = world.product("/first")
    world.ended(world.publish(first))
    agent_process.send_signal(signal.SIGSTOP)
    deployment = world.publish(world.product("/second"))
    world.processes[1].kill()
    world.processes[1].wait()
    agent_process.kill()
    agent_process.wait()
    assert world.get("/first") == 200

    world.start_agentd()
    world.start_agent()
    world.ended(deployment)
    assert world.get("/second") == 200


def test_a_revoked_agent_goes_and_its_gateway_stays(world: World) -> None:
    world.join()
    process = world.start_agent()
    agent = world.connected()
    world.ended(world.publish(world.product()))
    agent_services.revoke_agent(actor=world.admin, agent_id=agent.pk)

    assert process.wait(15) == 5
    assert world.get() == 200
    shown = json.loads(world.call("status", "--json").stdout)
    assert (shown["running"], shown["ended"]) == (False, "revoked")

    # A new token brings the folder back as another agent; the gateway is adopted, not replaced.
    assert world.join().returncode == 0
    world.start_agent()
    assert world.connected().pk != agent.pk
    assert world.get() == 200


def test_a_token_is_good_for_one_agent(world: World) -> None:
    token = world.token()
    assert world.join("agent-1", token).returncode == 0
    assert world.join("agent-1", token).returncode == 0  # the same folder is the same agent
    second = world.join("agent-2", token)

    assert second.returncode == 4
    assert "already used" in second.stderr
    assert Agent.objects.filter(cluster=world.cluster).count() == 1


def test_a_late_agent_is_brought_up_to_date(world: World) -> None:
    world.join()
    first = world.start_agent()
    world.connected()
    publish = world.product()
    world.ended(world.publish(publish))
    # One port is one gateway's on this machine: the first makes room.
    world.call("stop", "--gateway")
    first.wait(20)
    assert world.get() == 0
    world.join("agent-2")
    world.start_agent("agent-2")
    late = world.connected("agent-2")

    until(lambda: world.get() == 200, "the late agent serving")
    until(
        lambda: AgentPublish.objects.filter(agent=late, publish=publish).exclude(revision=""),
        "the late agent's report",
    )
