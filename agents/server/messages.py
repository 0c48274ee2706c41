"""Wire messages to plain values and back. Whatever an agent sends is made safe to store, or refused, here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from agents.server.errors import InvalidMessage
from agents.wire import agent_pb2 as pb

MAX_NUMBER = 2**63 - 1  # PostgreSQL's bigint
MAX_WORDS = 16_000
MAX_CALLS = 200

OUTCOMES = {
    pb.OUTCOME_APPLYING: "applying",
    pb.OUTCOME_APPLIED: "applied",
    pb.OUTCOME_FAILED: "failed",
}


def agent_message(raw: bytes) -> tuple[str, Any]:
    """The payload's name and the payload."""
    message = pb.AgentMessage.FromString(raw)
    kind = message.WhichOneof("payload")
    if kind is None:
        raise InvalidMessage("The message has no payload that this server knows.")
    return kind, getattr(message, kind)


def result(message: pb.DeployResult) -> dict[str, Any]:
    """A publishing.services.verdicts.Word, but for whose it is."""
    outcome = OUTCOMES.get(message.outcome)
    if outcome is None:
        raise InvalidMessage("A result must say applying, applied or failed.")
    return {
        "deployment_id": uuid(message.deployment_id, "deployment_id"),
        "revision": digest(message.revision),
        "outcome": outcome,
        "error": words(message.error),
        "probe": [_call(call) for call in message.probe.calls[:MAX_CALLS]],
        "timings": {
            "fetch_ms": _milliseconds(message.timings.fetch_ms),
            "apply_ms": _milliseconds(message.timings.apply_ms),
            "probe_ms": _milliseconds(message.timings.probe_ms),
        },
    }


def report(message: pb.StateReport) -> dict[str, Any]:
    """The arguments of publishing.services.agents.record_state, but for whose it is."""
    return {
        "applied_generation": number(message.applied_generation, "applied_generation"),
        "settled_generation": number(message.settled_generation, "settled_generation"),
        "access_version": number(message.access_version, "access_version"),
        "publishes": _publishes(message.publishes),
        "last_error": words(message.last_error),
    }


def uuid(value: str, field: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise InvalidMessage(f"{field} is not a UUID.") from None


def digest(value: str) -> str:
    """A SHA-256 in hex, or nothing."""
    if value and (len(value) != 64 or value.strip("0123456789abcdef")):
        raise InvalidMessage("A revision is a SHA-256 in lower-case hex.")
    return value


def number(value: int, field: str) -> int:
    if value > MAX_NUMBER:
        raise InvalidMessage(f"{field} is out of range.")
    return value


def words(value: str) -> str:
    """Text for people. PostgreSQL stores no NUL, and nobody reads a megabyte."""
    value = value.replace("\x00", "�")
    return value if len(value) <= MAX_WORDS else value[: MAX_WORDS - 1] + "…"


def _publishes(states: Iterable[pb.PublishState]) -> list[dict[str, Any]]:
    """The last word counts where one publish is named twice."""
    found = {
        uuid(state.id, "publishes.id"): {
            "id": uuid(state.id, "publishes.id"),
            "revision": digest(state.revision),
            "error": words(state.error),
            "warning": words(state.warning),
        }
        for state in states
    }
    return list(found.values())


def _call(call: pb.ProbeCall) -> dict[str, Any]:
    return {
        "method": words(call.method)[:16],
        "host": words(call.host)[:253],
        "port": call.port,
        "path": words(call.path)[:2000],
        "with_credential": call.with_credential,
        "expected": call.expected,
        "got": call.got,
        "body": words(call.body)[:200],
        "latency_ms": _milliseconds(call.latency_ms),
    }


def _milliseconds(value: float) -> float:
    """JSON has no infinity and no NaN."""
    return round(value, 3) if math.isfinite(value) else 0.0
