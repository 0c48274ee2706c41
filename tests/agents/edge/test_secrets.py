"""What bundles refer to: fetched when it changed, on disk before it is used, in no words."""

from __future__ import annotations

import logging
import stat

import pytest

from agents.edge.agent import Agent
from agents.edge.model import TlsSecret
from agents.edge.state import StateDir
from agents.edge.store import opened
from agents.wire import agent_pb2 as pb
from tests.agents.edge.conftest import Runner, joined, until
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer

APPLIED = pb.OUTCOME_APPLIED


def over_tls(secret_id: str = "web") -> dict[str, object]:
    return {"listeners": [{"port": 8443, "protocol": "HTTPS", "tls": {"secret_id": secret_id}}]}


@pytest.fixture
async def agent(state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner) -> Agent:
    peer.secrets["web"] = "1"
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.settled_generation == peer.generation)
    return agent


async def published(peer: Peer, name: str = "billing", secret_id: str = "web") -> None:
    deployment, _ = peer.publish(name, **over_tls(secret_id))
    peer.hint()
    await until(lambda: peer.outcome(deployment) == APPLIED, "applied")
    peer.settle(name)


def held(gateway: MemoryGateway) -> dict[str, str]:
    """The versions that the gateway was given last."""
    return {each.id: each.version for each in gateway.snapshots[-1].secrets.values()}


async def test_a_publish_comes_with_what_it_refers_to(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    peer.secrets["other"] = "9"
    await published(peer)

    assert gateway.snapshots[-1].secrets == {"web": TlsSecret("web", "1", "chain 1", "KEY of 1")}
    assert peer.served_secrets == [("web", "1")]


async def test_a_new_version_reaches_the_gateway_without_a_publish(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    await published(peer)
    peer.secrets["web"] = "2"
    peer.generation += 1
    peer.hint()

    await until(lambda: held(gateway) == {"web": "2"}, "the new version")
    await until(lambda: peer.report.settled_generation == peer.generation, "settled")
    assert peer.served_secrets == [("web", "1"), ("web", "2")]


async def test_what_is_known_is_not_fetched_again(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    await published(peer)
    await published(peer, "refund")

    assert peer.served_secrets == [("web", "1")]
    assert held(gateway) == {"web": "1"}


async def test_one_that_cannot_be_had_holds_up_its_own_publish_only(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    peer.secrets["lost"] = "1"
    peer.lost_secrets.add("lost")
    waiting, _ = peer.publish("stuck", **over_tls("lost"))
    await published(peer)

    assert peer.outcome(waiting) == pb.OUTCOME_UNSPECIFIED
    assert set(gateway.serving) == {"billing"}
    peer.lost_secrets.clear()
    peer.hint()
    await until(lambda: peer.outcome(waiting) == APPLIED, "applied once it is there")


async def test_a_version_that_cannot_be_had_leaves_the_one_before(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    await published(peer)
    peer.lost_secrets.add("web")
    peer.secrets["web"] = "2"
    peer.generation += 1
    peer.hint()
    await until(lambda: "secrets of the manifest" in agent.condition.last_error, "the trouble")
    assert held(gateway) == {"web": "1"}
    assert agent.condition.settled_generation < peer.generation

    peer.lost_secrets.clear()
    await until(lambda: held(gateway) == {"web": "2"}, "the new version at last")


async def test_a_restarted_agent_serves_with_what_is_on_its_disk(
    agent: Agent, peer: Peer, gateway: MemoryGateway, state: StateDir, runner: Runner
) -> None:
    await published(peer)
    await runner.kill(agent)
    fetched = list(peer.served_secrets)
    again = runner.start(state, gateway)
    await until(lambda: again.condition.settled_generation == peer.generation, "settled")

    assert peer.served_secrets == fetched
    with opened(state.database) as store:
        assert store.load().snapshot.secrets["web"].key == "KEY of 1"
    assert stat.S_IMODE(state.database.stat().st_mode) == 0o600


async def test_what_nothing_refers_to_leaves_the_disk(
    agent: Agent, peer: Peer, state: StateDir, gateway: MemoryGateway, runner: Runner
) -> None:
    await published(peer)
    gone = peer.withdraw("billing")
    peer.hint()
    await until(lambda: peer.outcome(gone) == APPLIED, "withdrawn")
    await runner.stop(agent)

    with opened(state.database) as store:
        assert store.load().snapshot.secrets == {}
    assert b"KEY of" not in state.database.read_bytes()


async def test_no_log_names_a_key(
    agent: Agent, peer: Peer, gateway: MemoryGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    gateway.fails = 1
    await published(peer)

    assert "KEY of" not in caplog.text
    assert not any("KEY of" in str(vars(record)) for record in caplog.records)
