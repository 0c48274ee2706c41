"""Who may call: by cursor, on disk first, acknowledged by the gateway."""

from __future__ import annotations

import hashlib

import pytest

from agents.edge.agent import Agent
from agents.edge.state import StateDir
from agents.edge.store import opened
from agents.wire import agent_pb2 as pb
from tests.agents.edge.conftest import Runner, joined, until
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer


@pytest.fixture
async def agent(state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner) -> Agent:
    for key in "abcde":
        peer.grant(key)
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: peer.report.access_version == peer.access_version)
    return agent


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def test_every_page_is_read_before_anything_is_applied(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    assert [each.get("after_id") for each in peer.access_requests[:3]] == [None, "key-b", "key-d"]
    assert gateway.keys.keys() == {digest(key) for key in "abcde"}
    assert agent.condition.keys == 5


async def test_one_change_costs_one_entry(agent: Agent, peer: Peer, gateway: MemoryGateway) -> None:
    peer.grant("f", suspended=True)
    peer.access_requests.clear()
    peer.hint()
    await until(lambda: peer.report.access_version == peer.access_version)

    after = {"lineage": "lineage-1", "after_version": "5", "after_id": "key-e"}
    assert peer.access_requests[0] == after
    assert gateway.keys[digest("f")].suspended


async def test_a_revoked_key_is_gone_and_the_receipt_is_sent(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    peer.revoke_key("a")
    peer.hint()
    await until(lambda: peer.report.access_version == peer.access_version)

    assert digest("a") not in gateway.keys
    assert len(gateway.keys) == 4


async def test_a_rotated_key_leaves_no_old_digest(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    peer.grant("a", digest=digest("new"))
    peer.hint()
    await until(lambda: peer.report.access_version == peer.access_version)

    assert digest("new") in gateway.keys
    assert digest("a") not in gateway.keys


async def test_a_cursor_that_is_gone_means_reading_everything(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    # The tombstone of "b" was cleaned away before this agent came back.
    peer.entries = [each for each in peer.entries if each["id"] != "key-b"]
    peer.grant("f")
    peer.oldest_version, peer.page_size = 6, 100
    peer.hint()
    await until(lambda: peer.report.access_version == peer.access_version)

    assert gateway.keys.keys() == {digest(key) for key in "acdef"}


async def test_a_restored_database_means_reading_everything(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    peer.lineage, peer.entries = "lineage-2", []
    peer.grant("z")
    peer.generation += 1
    peer.hint()
    await until(lambda: gateway.keys.keys() == {digest("z")})

    await until(lambda: peer.report.access_version == 1)


async def test_keys_do_not_wait_for_a_slow_publish(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    gateway.may_apply.clear()
    deployment, _ = peer.publish()
    peer.hint()
    await until(lambda: peer.outcome(deployment) == pb.OUTCOME_APPLYING)
    peer.revoke_key("a")
    peer.hint()
    await until(lambda: peer.report.access_version == peer.access_version)

    assert digest("a") not in gateway.keys
    assert peer.outcome(deployment) == pb.OUTCOME_APPLYING
    gateway.may_apply.set()


async def test_the_version_is_reported_only_once_the_gateway_uses_it(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    old = peer.access_version
    gateway.fails = 10_000
    peer.revoke_key("a")
    peer.hint()
    await until(lambda: "hung up" in peer.report.last_error)
    assert peer.report.access_version == old

    gateway.fails = 0
    await until(lambda: peer.report.access_version == peer.access_version)
    assert digest("a") not in gateway.keys


async def test_keys_are_served_from_disk_before_anybody_is_asked(
    agent: Agent, state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    await runner.stop(agent)
    peer.rest_failures = 10_000
    gateway.keys = {}
    again = runner.start(state, gateway)
    await until(lambda: gateway.starts == 2)

    assert gateway.keys.keys() == {digest(key) for key in "abcde"}
    await until(lambda: peer.report.access_version == peer.access_version)
    assert again.condition.access_version == 5


async def test_what_was_read_is_on_disk_before_the_gateway_has_it(
    agent: Agent, state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    gateway.fails = 10_000
    peer.revoke_key("a")
    peer.hint()
    await until(lambda: "hung up" in agent.condition.last_error)
    await runner.kill(agent)

    with opened(state.database) as store:
        saved = store.load()
    assert digest("a") not in {entry.digest for entry in saved.entries}
    assert saved.cursor.version == peer.access_version
