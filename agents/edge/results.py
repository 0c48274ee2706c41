"""Verdicts as the wire says them."""

from __future__ import annotations

from agents.edge.model import Outcome, ProbeCall, Verdict
from agents.wire import agent_pb2

LONGEST_ERROR = 16_000
OUTCOMES = {
    Outcome.APPLIED: agent_pb2.OUTCOME_APPLIED,
    Outcome.FAILED: agent_pb2.OUTCOME_FAILED,
}


def applying(deployment_id: str, revision: str, generation: int) -> agent_pb2.DeployResult:
    return agent_pb2.DeployResult(
        deployment_id=deployment_id,
        revision=revision,
        generation=generation,
        outcome=agent_pb2.OUTCOME_APPLYING,
    )


def final(
    deployment_id: str, revision: str, generation: int, verdict: Verdict, fetch_ms: float
) -> agent_pb2.DeployResult:
    return agent_pb2.DeployResult(
        deployment_id=deployment_id,
        revision=revision,
        generation=generation,
        outcome=OUTCOMES[verdict.outcome],
        error=verdict.error[:LONGEST_ERROR],
        probe=agent_pb2.Probe(calls=[_call(call) for call in verdict.probe]),
        timings=agent_pb2.Timings(
            fetch_ms=fetch_ms, apply_ms=verdict.apply_ms, probe_ms=verdict.probe_ms
        ),
    )


def _call(call: ProbeCall) -> agent_pb2.ProbeCall:
    return agent_pb2.ProbeCall(
        method=call.method,
        host=call.host,
        port=call.port,
        path=call.path,
        with_credential=call.with_credential,
        expected=call.expected,
        got=call.got,
        body=call.body,
        latency_ms=call.latency_ms,
    )
