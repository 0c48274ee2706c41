"""What the database says about the agents of this process: the only thing a stream's hints are made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from clusters.models import ClusterState
from core import faultpoint
from publishing.models import Deployment
from publishing.services import agents as publishing
from publishing.services.agents import Command
from publishing.states import OPEN


@dataclass(frozen=True, slots=True)
class Standing:
    """How an agent stands that needs attention."""

    epoch: int
    revoked: bool
    behind: bool
    cluster_id: UUID


@dataclass(frozen=True, slots=True)
class Picture:
    numbers: dict[UUID, tuple[int, int]]  # of each cluster that exists: generation, access version
    standings: dict[UUID, Standing]
    commands: dict[UUID, list[Command]]


@dataclass(frozen=True, slots=True)
class Survey:
    standings: dict[UUID, Standing]
    deleted: set[UUID]
    restless: set[UUID]  # clusters that need a look


def look(*, cluster_ids: Collection[UUID], epochs: Mapping[UUID, int]) -> Picture:
    """Send out what waits for these clusters, and read what their agents should know."""
    working = busy(cluster_ids)
    if working:
        publishing.sweep(cluster_ids=working)
        faultpoint.reach("agentd.dispatched")
    states = ClusterState.objects.filter(pk__in=list(cluster_ids))
    rows = states.values_list("cluster", "desired_generation", "access_version")
    numbers = {cluster_id: (generation, version) for cluster_id, generation, version in rows}
    found, _deleted = standings(epochs)
    commands = publishing.pending_commands(agent_ids=epochs) if working else {}
    return Picture(numbers, found, commands)


def busy(cluster_ids: Collection[UUID]) -> set[UUID]:
    """Those with an open deployment. All others need no more than their numbers: this is the cheap question
    before the dear ones."""
    rows = Deployment.objects.filter(status__in=OPEN, publish__cluster__in=list(cluster_ids))
    return set(rows.values_list("publish__cluster", flat=True).distinct())


def survey(*, epochs: Mapping[UUID, int], cluster_ids: Collection[UUID]) -> Survey:
    """Find everything that a lost wake, message or process left behind."""
    working = busy(cluster_ids)
    if working:
        publishing.sweep(cluster_ids=working)
    found, deleted = standings(epochs)
    restless = {standing.cluster_id for standing in found.values() if standing.behind}
    if working:
        waiting = publishing.unanswered().filter(deployment__publish__cluster__in=working)
        rows = waiting.values_list("agent", "deployment__publish__cluster")
        restless |= {cluster_id for agent_id, cluster_id in rows if agent_id in epochs}
    return Survey(found, deleted, restless)


def standings(epochs: Mapping[UUID, int]) -> tuple[dict[UUID, Standing], set[UUID]]:
    """Of agents with these epochs: those that are behind, revoked or connected anew; and the deleted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT mine.id, a.session_epoch, a.revoked_at IS NOT NULL, behind, a.cluster_id"
            " FROM unnest(%s::uuid[], %s::bigint[]) AS mine (id, epoch)"
            " LEFT JOIN (SELECT agent.*, agent.settled_generation < state.desired_generation"
            "   OR agent.access_version < state.access_version AS behind"
            "  FROM clusters_agent AS agent JOIN clusters_clusterstate AS state USING (cluster_id)"
            " ) AS a USING (id)"
            " WHERE a.id IS NULL OR a.session_epoch <> mine.epoch OR a.revoked_at IS NOT NULL OR behind",
            [list(epochs), list(epochs.values())],
        )
        rows = cursor.fetchall()
    deleted = {row[0] for row in rows if row[4] is None}
    return {row[0]: Standing(*row[1:]) for row in rows if row[4] is not None}, deleted
