"""The operator's overview: all clusters at once, in a number of queries that does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import AuditEvent, Organization
from clusters import stories
from clusters.models import Agent, Cluster, ClusterQuerySet, Status, live_agents, out_of_sync

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


def of(organization: Organization) -> Fleet:
    mine: ClusterQuerySet = Cluster.objects.filter(organization=organization)
    statuses, regions = _statuses(mine)
    outcomes, running = _deployments(mine)
    attention = list(_attention(mine)[: SHOWN + 1])
    return Fleet(
        statuses=statuses,
        regions=regions,
        versions=_versions(organization),
        outcomes=outcomes,
        running=running,
        out_of_sync=mine.filter(out_of_sync()).count(),
        attention=attention[:SHOWN],
        attention_total=len(attention),
        events=list(_events(organization)[: stories.RECENT]),
    )


def _statuses(mine: ClusterQuerySet) -> tuple[Mapping[str, int], int]:
    rows = mine.with_bare_status().order_by().values_list("status", "region")
    counted: Counter[str] = Counter()
    regions = set()
    for status, region, total in rows.annotate(Count("pk")):
        counted[status] += total
        regions.add(region)
    return {status: counted[status] for status in Status.values}, len(regions)


def _versions(organization: Organization) -> list[Version]:
    """Agents that are not revoked, by what they run; the most frequent version first."""
    live = live_agents()
    up_to_date = live & Q(applied_generation__gte=F("cluster__state__desired_generation"))
    joined = Agent.objects.filter(cluster__organization=organization, revoked_at=None)
    rows = (
        joined.order_by()
        .values("version")
        .annotate(
            agents=Count("pk"),
            live=Count("pk", filter=live),
            converged=Count("pk", filter=up_to_date & Q(last_error="")),
        )
    )
    return [Version(**row) for row in rows.order_by("-agents", "-version")]


def _deployments(mine: ClusterQuerySet) -> tuple[Mapping[str, int], int]:
    """How those of the last day ended, and how many are under way, however old."""
    model = stories.deployment_model()
    here = model.objects.filter(publish__cluster__in=mine.order_by().values("pk"))
    recent = here.filter(Q(finished_at__gte=timezone.now() - DAY) | Q(finished_at=None))
    counted = dict(recent.order_by().values_list("status").annotate(Count("pk")))
    ended = {status: counted.pop(status, 0) for status in OUTCOMES}
    return ended, sum(counted.values())


def _events(organization: Organization) -> QuerySet[AuditEvent]:
    """What happened to clusters, agents and tokens; who signed in is told elsewhere."""
    rows = AuditEvent.objects.filter(organization_id=organization.pk)
    return rows.filter(object_type__startswith="clusters.")


def _attention(mine: ClusterQuerySet) -> ClusterQuerySet:
    """Clusters where something is to be done, and those whose live agents lag behind."""
    now = timezone.now()
    behind = Agent.objects.live(now).filter(
        cluster=OuterRef("pk"), applied_generation__lt=OuterRef("state__desired_generation")
    )
    found = mine.annotate(attention=stories.attention(now)).filter(
        Q(attention__lte=TROUBLED) | Exists(behind)
    )
    first = found.order_by("attention", "name", "pk").values_list("pk", flat=True)[: SHOWN + 1]
    return stories.rows(mine.filter(pk__in=list(first)).with_capabilities()).order_by(
        "attention", "name", "pk"
    )
