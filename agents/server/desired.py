"""What the database says about the agents of this process: the only thing a stream's hints are made of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Q

from clusters.models import Agent
from core import faultpoint
from publishing.services import agents as publishing
from publishing.services.agents import Command


@dataclass(frozen=True, slots=True)
class Standing:
    """How one agent stands. An agent that was deleted has none."""

    epoch: int
    revoked: bool
    behind: bool
    cluster_id: UUID
    generation: int
    access_version: int


@dataclass(frozen=True, slots=True)
class Picture:
    standings: dict[UUID, Standing]
    commands: dict[UUID, list[Command]]


@dataclass(frozen=True, slots=True)
class Survey:
    standings: dict[UUID, Standing]
    restless: set[UUID]  # clusters that need a look


def look(*, cluster_id: UUID, agent_ids: Collection[UUID]) -> Picture:
    """Send out what waits for this cluster, and read what its agents should know."""
    publishing.dispatch(cluster_id=cluster_id)
    faultpoint.reach("agentd.dispatched")
    return Picture(standings(agent_ids), publishing.pending_commands(agent_ids=agent_ids))


def survey(*, agent_ids: Collection[UUID], cluster_ids: Collection[UUID]) -> Survey:
    """Find everything that a lost wake, message or process left behind."""
    publishing.sweep(cluster_ids=cluster_ids)
    found = standings(agent_ids)
    restless = {standing.cluster_id for standing in found.values() if standing.behind}
    for agent_id in publishing.pending_commands(agent_ids=agent_ids):
        if agent_id in found:
            restless.add(found[agent_id].cluster_id)
    return Survey(found, restless)


def standings(agent_ids: Collection[UUID]) -> dict[UUID, Standing]:
    state = "cluster__state__"
    rows: Any = Agent.objects.filter(pk__in=agent_ids).annotate(
        generation=F(f"{state}desired_generation"), wanted_access=F(f"{state}access_version")
    )
    behind = Q(settled_generation__lt=F("generation")) | Q(access_version__lt=F("wanted_access"))
    return {
        pk: Standing(epoch, revoked_at is not None, late, cluster_id, generation, access_version)
        for pk, epoch, revoked_at, late, cluster_id, generation, access_version in rows.annotate(
            late=behind
        ).values_list(
            "pk",
            "session_epoch",
            "revoked_at",
            "late",
            "cluster_id",
            "generation",
            "wanted_access",
        )
    }
