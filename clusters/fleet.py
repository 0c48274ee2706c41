"""The operator's overview: all clusters at once, in a number of queries that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Now

from accounts.models import AuditEvent, Organization
from clusters import stories
from clusters.models import Agent, Cluster, ClusterQuerySet, Status, live_agents, out_of_sync
from core.queries import prepared

DAY = timedelta(hours=24)
SHOWN = 10
# Words of a context above this one, in the order they are told.
OUTCOMES = ["SUCCEEDED", "FAILED", "SUPERSEDED", "CANCELLED"]
TROUBLED = 3  # stories.attention up to here: something to do


@dataclass(frozen=True, slots=True)
class Version:
    version: str
    agents: int
    live: int
    converged: int


@dataclass(frozen=True, slots=True)
class Fleet:
    statuses: Mapping[str, int]  # of every Status
    regions: int
    versions: list[Version]
    outcomes: Mapping[str, int]  # deployments requested within the last day, ended ones by how
    running: int
    out_of_sync: int  # clusters
    attention: list[Any]
    attention_total: int
    events: list[AuditEvent]

    @property
    def clusters(self) -> int:
        return sum(self.statuses.values())

    @property
    def agents(self) -> int:
        return sum(row.agents for row in self.versions)

    @property
    def live(self) -> int:
        return sum(row.live for row in self.versions)

    @property
    def lost(self) -> int:
        return self.agents - self.live

    @property
    def converged(self) -> int:
        return sum(row.converged for row in self.versions)

    @property
    def deployments(self) -> int:
        return sum(self.outcomes.values()) + self.running


def of(
    organization: Organization,
    *,
    tell: Callable[[], ClusterQuerySet] = stories.in_trouble,
) -> Fleet:
    """`tell`: what to know of the clusters that need attention; asked only for those shown."""
    judged = list(_judged().filter(organization=organization))
    statuses = Counter(stories.STATUSES[row.attention] for row in judged)
    outcomes, running = _deployments(organization)
    troubled = [row.pk for row in judged if row.attention <= TROUBLED or row.out_of_sync]
    return Fleet(
        statuses={status: statuses[status] for status in Status.values},
        regions=len({row.region for row in judged}),
        versions=_versions(organization),
        outcomes=outcomes,
        running=running,
        out_of_sync=sum(row.out_of_sync for row in judged),
        attention=_in_order(tell(), troubled[:SHOWN]),
        attention_total=min(len(troubled), SHOWN + 1),
        events=list(_events(organization)[: stories.RECENT]),
    )


@prepared
def _judged() -> QuerySet[Cluster, Any]:
    """Those first that need attention most: only what is counted, judged once for everything."""
    rows = Cluster.objects.annotate(attention=stories.attention(), out_of_sync=out_of_sync())
    ordered = rows.order_by("attention", "name", "pk")
    return ordered.values_list("pk", "region", "attention", "out_of_sync", named=True)


def _versions(organization: Organization) -> list[Version]:
    """Agents that are not revoked, by what they run; the most frequent version first."""
    return [Version(**row) for row in _counted().filter(cluster__organization=organization)]


@prepared
def _counted() -> QuerySet[Agent, dict[str, Any]]:
    live = live_agents()
    up_to_date = live & Q(applied_generation__gte=F("cluster__state__desired_generation"))
    rows = Agent.objects.filter(revoked_at=None).order_by().values("version")
    return rows.annotate(
        agents=Count("pk"),
        live=Count("pk", filter=live),
        converged=Count("pk", filter=up_to_date & Q(last_error="")),
    ).order_by("-agents", "-version")


def _deployments(organization: Organization) -> tuple[Mapping[str, int], int]:
    """How those of the last day ended, and how many are under way, however old."""
    mine = Cluster.objects.filter(organization=organization).order_by()
    counted = dict(_recent().filter(publish__cluster__in=mine.values("pk")))
    ended = {status: counted.pop(status, 0) for status in OUTCOMES}
    return ended, sum(counted.values())


@prepared
def _recent() -> QuerySet[Any, tuple[str, int]]:
    rows = stories.deployment_model().objects.order_by()
    rows = rows.filter(Q(finished_at__gte=Now() - DAY) | Q(finished_at=None))
    return rows.values_list("status").annotate(Count("pk"))


def _events(organization: Organization) -> QuerySet[AuditEvent]:
    """What happened to clusters, agents and tokens; who signed in is told elsewhere."""
    rows = AuditEvent.objects.filter(organization_id=organization.pk)
    return rows.filter(object_type__startswith="clusters.")


def _in_order(rows: ClusterQuerySet, wanted: list[Any]) -> list[Any]:
    found = rows.in_bulk(wanted)
    return [found[pk] for pk in wanted if pk in found]
