"""From a hint to a verdict, over real sockets."""

from __future__ import annotations

from agents.edge.state import StateDir
from agents.wire import agent_pb2 as pb
from tests.agents.edge.conftest import Runner, joined, until
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer

APPLYING, APPLIED, FAILED = pb.OUTCOME_APPLYING, pb.OUTCOME_APPLIED, pb.OUTCOME_FAILED


async def test_a_publish_is_applied_and_answered_with_its_proof(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.settled_generation == peer.generation)

    deployment, revision = peer.publish("billing")
    peer.hint()
    await until(lambda: peer.outcome(deployment) == APPLIED)

    said = peer.results(deployment)
    assert [result.outcome for result in said] == [APPLYING, APPLIED]
    assert said[-1].revision == revision
    assert said[-1].generation == peer.generation
    assert said[-1].probe.calls[0].body == f"billing@{revision[:8]}"
    assert said[-1].timings.apply_ms == 1.5
    assert said[-1].timings.fetch_ms > 0
    await until(lambda: peer.report.applied_generation == peer.generation)
    assert [(p.id, p.revision) for p in peer.report.publishes] == [("billing", revision)]
