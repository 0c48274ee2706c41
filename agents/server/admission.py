"""Lets agents in, many at once: who they are, their sessions, and whether work waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from agents.server import auth
from agents.server.desired import busy
from clusters.models import Agent
from clusters.services import agents as clusters
from clusters.services.agents import Opening, Session


@dataclass(frozen=True, slots=True)
class Hello:
    """A connect_request, and the nonce that its stream was given."""

    token: str
    nonce: str
    version: str
    gateway_classes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Admitted:
    session: Session
    busy: bool  # its cluster has an open deployment: it may have to be asked for its part


def admit(hellos: Sequence[Hello], *, owner: str) -> list[Admitted | Exception]:
    """For each its session, or why not: a handful of statements, however many there are."""
    found: dict[int, Session | Exception] = {}
    for turn in _turns(_proved(hellos, found)):
        openings = [
            Opening(agent_id, hellos[number].version, hellos[number].gateway_classes)
            for number, agent_id in turn.items()
        ]
        found |= zip(turn, clusters.open_sessions(openings=openings, owner=owner), strict=True)
    sessions = [each for each in found.values() if isinstance(each, Session)]
    working = busy({session.cluster_id for session in sessions})
    answers = [found[number] for number in range(len(hellos))]
    return [
        each if isinstance(each, Exception) else Admitted(each, each.cluster_id in working)
        for each in answers
    ]


def _proved(hellos: Sequence[Hello], refused: dict[int, Session | Exception]) -> dict[int, UUID]:
    """The agents that proved who they are, by their place; the others go to `refused`."""
    claims, proved = {}, {}
    # Whatever one of them sent must not cost the others.
    for number, hello in enumerate(hellos):
        try:
            claims[number] = auth.claimed(hello.token)
        except Exception as error:  # noqa: BLE001 - whatever it is, this one is told
            refused[number] = error
    agents = Agent.objects.only("id", "public_key", "revoked_at").in_bulk(set(claims.values()))
    for number, agent_id in claims.items():
        hello = hellos[number]
        try:
            auth.prove(token=hello.token, nonce=hello.nonce, agent=agents.get(agent_id))
            proved[number] = agent_id
        except Exception as error:  # noqa: BLE001 - whatever it is, this one is told
            refused[number] = error
    return proved


def _turns(proved: dict[int, UUID]) -> Iterator[dict[int, UUID]]:
    """No agent twice at once: two streams of one agent get two epochs."""
    while proved:
        first = {agent_id: number for number, agent_id in reversed(proved.items())}
        turn = {number: agent_id for agent_id, number in first.items()}
        yield turn
        proved = {number: pk for number, pk in proved.items() if number not in turn}
