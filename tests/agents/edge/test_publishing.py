"""From a hint to a verdict, over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from agents.edge import reconcile as reconcile_module
from agents.edge.agent import Agent
from agents.edge.state import StateDir
from agents.edge.store import opened
from agents.wire import agent_pb2 as pb
from tests.agents.edge.conftest import Runner, joined, until
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer

APPLYING, APPLIED, FAILED = pb.OUTCOME_APPLYING, pb.OUTCOME_APPLIED, pb.OUTCOME_FAILED


@pytest.fixture
async def agent(state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner) -> Agent:
    """Joined, connected, and done with the empty manifest."""
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.settled_generation == peer.generation)
    return agent


async def answered(peer: Peer, deployment: str, outcome: int) -> pb.DeployResult:
    await until(lambda: peer.outcome(deployment) == outcome, pb.Outcome.Name(outcome))
    return peer.results(deployment)[-1]


async def test_a_publish_is_applied_and_answered_with_its_proof(agent: Agent, peer: Peer) -> None:
    deployment, revision = peer.publish("billing")
    peer.hint()

    result = await answered(peer, deployment, APPLIED)

    assert [each.outcome for each in peer.results(deployment)] == [APPLYING, APPLIED]
    assert (result.revision, result.generation) == (revision, peer.generation)
    assert result.probe.calls[0].body == f"billing@{revision[:8]}"
    assert result.timings.apply_ms == 1.5
    assert result.timings.fetch_ms > 0
    await until(lambda: peer.report.applied_generation == peer.generation)
    assert [(p.id, p.revision) for p in peer.report.publishes] == [("billing", revision)]


async def test_a_command_without_a_state_change_is_a_hint_as_well(agent: Agent, peer: Peer) -> None:
    deployment, _ = peer.publish()
    command = pb.DeployCommand(deployment_id=deployment, product_publish_id="billing")
    peer.tell(pb.ServerMessage(deploy_command=command))

    await answered(peer, deployment, APPLIED)


async def test_only_the_bundles_that_are_missing_are_fetched(agent: Agent, peer: Peer) -> None:
    first, billing = peer.publish("billing")
    peer.hint()
    await answered(peer, first, APPLIED)
    peer.settle("billing")
    second, refund = peer.publish("refund")
    peer.hint()
    await answered(peer, second, APPLIED)

    assert peer.served_bundles == [billing, refund]


async def test_hints_during_a_slow_change_cost_one_more_look(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    gateway.may_apply.clear()
    deployment, _ = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLYING)
    before = len(peer.manifest_reads)
    for _ in range(50):
        peer.hint()
    await asyncio.sleep(0.2)
    gateway.may_apply.set()
    await answered(peer, deployment, APPLIED)
    await asyncio.sleep(0.2)

    assert peer.manifest_reads[before:] == [304]


async def test_a_refusal_is_told_in_the_gateways_words_and_not_tried_again(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    _, good = peer.publish("billing", deployment=False)
    deployment, bad = peer.publish("refund")
    gateway.refuses[bad] = "unknown cluster 'nope'"
    peer.hint()
    result = await answered(peer, deployment, FAILED)
    tries = len(gateway.applied)
    peer.hint()
    await until(lambda: peer.report.settled_generation == peer.generation)
    agent._reconciler.due.set()
    await asyncio.sleep(0.3)

    assert result.error == "unknown cluster 'nope'"
    assert result.revision == bad
    assert len(gateway.applied) == tries
    assert gateway.serving == {"billing": good}
    assert peer.report.applied_generation < peer.generation
    states = {each.id: each for each in peer.report.publishes}
    assert states["refund"].error == "unknown cluster 'nope'"
    assert states["refund"].revision == ""


async def test_a_refused_change_keeps_the_last_good_revision(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    first, good = peer.publish("billing")
    peer.hint()
    await answered(peer, first, APPLIED)
    second, bad = peer.publish("billing", host="other.example.com")
    gateway.refuses[bad] = "no"
    peer.hint()
    await answered(peer, second, FAILED)

    third, other = peer.publish("refund")
    peer.hint()
    await answered(peer, third, APPLIED)

    assert gateway.serving == {"billing": good, "refund": other}
    assert gateway.applied[-1] == {"billing": (good, ""), "refund": (other, third)}


async def test_a_new_deployment_of_a_refused_revision_is_a_new_attempt(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    deployment, bad = peer.publish()
    gateway.refuses[bad] = "the name does not resolve"
    peer.hint()
    await answered(peer, deployment, FAILED)
    del gateway.refuses[bad]
    again, same = peer.publish()
    peer.hint()

    await answered(peer, again, APPLIED)
    assert same == bad


async def test_a_refusal_stands_over_a_restart(
    agent: Agent, state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    deployment, bad = peer.publish()
    gateway.refuses[bad] = "no"
    peer.hint()
    await answered(peer, deployment, FAILED)
    await runner.stop(agent)
    del gateway.refuses[bad]
    peer.heard.clear()

    runner.start(state, gateway)
    result = await answered(peer, deployment, FAILED)
    await asyncio.sleep(0.2)

    assert result.error == "no"
    assert gateway.serving == {}
    assert not any(bad in str(applied) for applied in gateway.applied[1:][1:])


async def test_a_refusal_nobody_waits_for_is_tried_again_after_a_while(
    agent: Agent, peer: Peer, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, revision = peer.publish("billing", deployment=False)
    gateway.refuses[revision] = "the name does not resolve"
    peer.hint()
    await until(lambda: peer.report.settled_generation == peer.generation)
    assert gateway.serving == {}

    gateway.refuses.clear()
    monkeypatch.setattr(reconcile_module, "RETRY_REFUSED_SECONDS", 0)
    agent._reconciler.due.set()
    await until(lambda: gateway.serving == {"billing": revision})


async def test_a_late_joiner_applies_what_nobody_waits_for(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    _, revision = peer.publish("billing", deployment=False)
    runner.start(await joined(state, peer), gateway)
    await until(lambda: peer.report.applied_generation == peer.generation)

    assert gateway.serving == {"billing": revision}
    assert peer.count("deploy_result") == 0


async def test_a_deployment_of_what_is_live_already_is_proved_again(
    agent: Agent, peer: Peer
) -> None:
    _, revision = peer.publish("billing", deployment=False)
    peer.hint()
    await until(lambda: peer.report.applied_generation == peer.generation)
    deployment, same = peer.publish("billing")
    peer.hint()

    result = await answered(peer, deployment, APPLIED)
    assert revision == same
    assert result.probe.calls


async def test_a_withdrawal_is_answered_without_a_revision(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    first, _ = peer.publish("billing")
    peer.hint()
    await answered(peer, first, APPLIED)
    withdrawal = peer.withdraw("billing")
    peer.hint()
    result = await answered(peer, withdrawal, APPLIED)

    assert result.revision == ""
    assert gateway.serving == {}
    await until(lambda: peer.report.applied_generation == peer.generation)
    assert [p.revision for p in peer.report.publishes if p.id == "billing"] in ([], [""])


async def test_a_withdrawal_of_what_was_never_here_is_answered_too(
    agent: Agent, peer: Peer
) -> None:
    withdrawal = peer.withdraw("never-seen")
    peer.hint()

    assert (await answered(peer, withdrawal, APPLIED)).revision == ""


async def test_an_agent_killed_during_a_withdrawal_does_not_bring_it_back(
    agent: Agent, state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    first, _ = peer.publish("billing")
    peer.hint()
    await answered(peer, first, APPLIED)
    gateway.may_apply.clear()
    withdrawal = peer.withdraw("billing")
    peer.hint()
    await answered(peer, withdrawal, APPLYING)
    await runner.kill(agent)

    with opened(state.database) as store:
        assert store.load().snapshot.publishes == {}


async def test_a_verdict_reached_while_the_stream_was_down_is_told_on_the_next_one(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    gateway.may_apply.clear()
    deployment, _ = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLYING)
    peer.cut()
    await until(lambda: agent.condition.reconnects == 1)
    gateway.may_apply.set()

    await answered(peer, deployment, APPLIED)
    assert peer.connects == 2
    assert sum("billing" in applied for applied in gateway.applied) == 1


async def test_a_verdict_that_was_lost_with_its_stream_is_said_again(
    agent: Agent, peer: Peer
) -> None:
    deployment, _ = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLIED)
    peer.heard.clear()  # as if it had never arrived
    peer.cut()

    await answered(peer, deployment, APPLIED)


async def test_a_restarted_agent_answers_from_disk_without_asking_the_gateway(
    agent: Agent, state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    deployment, revision = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLIED)
    await runner.stop(agent)
    peer.heard.clear()
    applied = len(gateway.applied)
    runner.start(state, gateway)

    result = await answered(peer, deployment, APPLIED)
    assert result.probe.calls[0].body == f"billing@{revision[:8]}"
    assert len(gateway.applied) == applied


async def test_a_deployment_that_is_settled_is_not_mentioned_again(
    agent: Agent, peer: Peer
) -> None:
    deployment, _ = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLIED)
    peer.settle("billing")
    peer.generation += 1
    peer.hint()
    await until(lambda: peer.report.settled_generation == peer.generation)
    peer.heard.clear()
    peer.cut()
    await until(lambda: peer.count("state_report") > 0)

    assert peer.results(deployment) == []


async def test_a_lost_hint_costs_time_and_nothing_else(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    runner.start(await joined(state, peer), gateway, poll_seconds=0.2)
    await until(lambda: peer.report.settled_generation == peer.generation)
    deployment, _ = peer.publish()

    await answered(peer, deployment, APPLIED)


async def test_bytes_that_do_not_hash_to_their_name_never_reach_the_gateway(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    bad, tampered = peer.publish("billing")
    whole = peer.bodies[tampered]
    peer.bodies[tampered] = whole.replace(b"billing.example.com", b"evil.example.com")
    good, other = peer.publish("refund")
    peer.hint()
    await answered(peer, good, APPLIED)

    assert gateway.serving == {"refund": other}
    assert peer.outcome(bad) == pb.OUTCOME_UNSPECIFIED
    assert agent.condition.settled_generation < peer.generation
    assert "could not be had" in agent.condition.last_error

    peer.bodies[tampered] = whole
    await answered(peer, bad, APPLIED)
    await until(lambda: agent.condition.last_error == "")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"schema": 3}, "Upgrade the agent"),
        ({"publish_id": "somebody-elses"}, "is of publish somebody-elses"),
        ({"routes": "not a list"}, "cannot read the bundle"),
    ],
)
async def test_a_bundle_that_cannot_be_used_is_refused_by_the_agent(
    agent: Agent, peer: Peer, gateway: MemoryGateway, document: dict, words: str
) -> None:
    bad, _ = peer.publish("billing", **document)
    good, other = peer.publish("refund")
    peer.hint()

    assert words in (await answered(peer, bad, FAILED)).error
    await answered(peer, good, APPLIED)
    assert gateway.serving == {"refund": other}


async def test_a_gateway_that_hangs_up_once_is_asked_again(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    gateway.fails = 1
    deployment, _ = peer.publish()
    peer.hint()

    await answered(peer, deployment, APPLIED)
    assert FAILED not in [each.outcome for each in peer.results(deployment)]


async def test_a_gateway_that_keeps_failing_is_a_verdict(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    gateway.fails = 3
    deployment, _ = peer.publish()
    peer.hint()

    assert (await answered(peer, deployment, FAILED)).error == "the gateway hung up"
    again, _ = peer.publish()
    peer.hint()
    await answered(peer, again, APPLIED)


async def test_a_gateway_that_does_not_start_is_started_later(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    gateway.fails_to_start = 2
    agent = runner.start(await joined(state, peer), gateway)
    deployment, revision = peer.publish()
    await answered(peer, deployment, APPLIED)

    assert gateway.serving == {"billing": revision}
    await until(lambda: agent.condition.last_error == "")


async def test_the_manifest_of_another_cluster_changes_nothing(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    first, revision = peer.publish("billing")
    peer.hint()
    await answered(peer, first, APPLIED)
    peer.cluster_id, peer.wanted = "another", {}
    peer.generation += 1
    peer.hint()
    await until(lambda: "manifest of cluster another" in agent.condition.last_error)

    assert gateway.serving == {"billing": revision}


async def test_a_control_plane_in_trouble_is_asked_again(agent: Agent, peer: Peer) -> None:
    peer.rest_failures = 3
    deployment, _ = peer.publish()
    peer.hint()

    await answered(peer, deployment, APPLIED)


async def test_what_the_gateway_lost_is_applied_again(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    deployment, revision = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLIED)
    gateway.serving.clear()

    await until(lambda: gateway.serving == {"billing": revision})


async def test_who_asks_for_the_same_anew_has_drift_repaired_at_once(
    agent: Agent, peer: Peer, gateway: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.edge.agent.DRIFT_SECONDS", 3600.0)
    deployment, revision = peer.publish()
    peer.hint()
    await answered(peer, deployment, APPLIED)
    gateway.serving["billing"] = "0" * 64
    await until(lambda: [each.revision for each in peer.report.publishes] == ["0" * 64])

    peer.generation += 1
    peer.hint()
    await until(lambda: gateway.serving == {"billing": revision})
    assert gateway.snapshots[-1].again
    await until(lambda: [each.revision for each in peer.report.publishes] == [revision])


async def test_what_the_gateway_should_not_serve_is_removed(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    gateway.serving["somebody-elses"] = "0" * 64

    await until(lambda: gateway.serving == {})


async def test_a_full_disk_delays_a_verdict_and_stops_nothing(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    agent._store._db.execute("PRAGMA max_page_count = 1")
    deployment, revision = peer.publish(headers="x" * 100_000)
    peer.hint()
    await until(lambda: "full" in agent.condition.last_error)
    assert agent.condition.connected

    agent._store._db.execute("PRAGMA max_page_count = 1000000")
    await answered(peer, deployment, APPLIED)
    assert gateway.serving == {"billing": revision}


async def test_limits_are_shared_anew_when_agents_come_and_go(
    agent: Agent, peer: Peer, gateway: MemoryGateway
) -> None:
    peer.agent_count, peer.denied_networks = 3, ["127.0.0.0/8"]
    peer.generation += 1
    peer.hint()
    await until(lambda: peer.report.applied_generation == peer.generation)

    assert gateway.snapshots[-1].agent_count == 3
    assert gateway.snapshots[-1].denied_networks == ("127.0.0.0/8",)
