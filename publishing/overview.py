"""The provider's overview: everything published and under way at once, in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Case, Count, Exists, IntegerField, OuterRef, Q, Subquery, When
from django.utils import timezone

from accounts.models import Organization
from clusters.models import Agent, Cluster
from clusters.models import Status as ClusterStatus
from publishing import stories
from publishing.models import AgentPublish, Deployment, ProductPublish, ProductPublishQuerySet
from publishing.states import OPEN, Progress, Status

DAY = timedelta(hours=24)
SHOWN = 10
RECENT = 8
# Why a publish is shown, the worst first.
FAILED, NO_AGENT, MAINTENANCE, WAITING = "failed", "no_agent", "maintenance", "waiting"
PARTLY = "partly"
WORST_FIRST = [FAILED, NO_AGENT, PARTLY, WAITING, MAINTENANCE]
ORDER = ["-newest_at", "pk"]  # within one of them


@dataclass(frozen=True, slots=True)
class Overview:
    products: int
    services: int
    publishes: Mapping[str, int]  # of every Status
    requests: int  # subscriptions that wait for a word
    outcomes: Mapping[str, int]  # deployments that ended within the last day, by how
    running: int
    attention: list[Any]
    recent: list[Deployment]

    @property
    def deployments(self) -> int:
        return sum(self.outcomes.values()) + self.running

    @property
    def total(self) -> int:
        return sum(self.publishes.values())


def of(organization: Organization) -> Overview:
    mine = ProductPublish.objects.filter(organization=organization)
    counted = _counts(organization)
    outcomes, running = _deployments(organization)
    recent = Deployment.objects.filter(publish__organization=organization)
    newest = recent.order_by("-created_at", "-number").values("pk")[:RECENT]
    return Overview(
        products=counted["of_products"],
        services=counted["of_services"],
        requests=counted["of_requests"],
        publishes={status: counted[status] for status in Status.values},
        outcomes=outcomes,
        running=running,
        attention=_attention(mine),
        recent=list(stories.listed(Deployment.objects.filter(pk__in=newest))),
    )


def _counts(organization: Any) -> Mapping[str, int]:
    """Products and services are of the context below, subscriptions of one above: by their relations."""

    def number(relation: str, **wanted: Any) -> Subquery:
        rows = Organization.objects.filter(pk=OuterRef("pk"))
        found = rows.annotate(found=Count(relation, filter=Q(**wanted), distinct=True))
        return Subquery(found.values("found"))

    waiting = {"publishes__subscriptions__status": "pending"}
    numbers = {
        "of_products": number("products"),
        "of_services": number("api_services"),
        "of_requests": number("publishes__subscriptions", **waiting),
    }
    statuses = {status: number("publishes", publishes__status=status) for status in Status.values}
    rows = Organization.objects.filter(pk=organization.pk)
    return rows.annotate(**numbers, **statuses).values(*numbers, *statuses).get()


def _deployments(organization: Organization) -> tuple[Mapping[str, int], int]:
    here = Deployment.objects.filter(publish__organization=organization)
    recent = here.filter(Q(finished_at__gte=timezone.now() - DAY) | Q(finished_at=None))
    counted = Counter(dict(recent.order_by().values_list("status").annotate(Count("pk"))))
    ended = [status for status in Progress.values if status not in OPEN]
    return {status: counted[status] for status in ended}, sum(counted[status] for status in OPEN)


def _attention(mine: ProductPublishQuerySet) -> list[Any]:
    """Publishes whose newest deployment failed or waits, which some agent does not serve, or whose cluster
    cannot take changes now."""
    mine = mine.annotate(newest=_newest("status"), newest_at=_newest("created_at"))
    worst = mine.annotate(rank=_rank(mine)).exclude(rank=None)
    ranks = dict(worst.order_by("rank", *ORDER).values_list("pk", "rank")[:SHOWN])
    rows = mine.filter(pk__in=ranks).with_reach().annotate(newest_detail=_newest("detail"))
    told: dict[Any, Any] = rows.select_related("product", "cluster").in_bulk()
    for publish, rank in ranks.items():
        told[publish].why = WORST_FIRST[rank]
    return [told[publish] for publish in ranks]


def _newest(field: str) -> Subquery:
    rows = Deployment.objects.filter(publish=OuterRef("pk")).order_by("-number")
    return Subquery(rows.values(field)[:1])


def _rank(mine: ProductPublishQuerySet) -> Case:
    """Where in WORST_FIRST; None: nowhere. What many publishes share is asked once, not for each of them."""
    clusters = Cluster.objects.filter(pk__in=mine.order_by().values("cluster")).with_bare_status()
    away = dict(clusters.exclude(status=ClusterStatus.ACTIVE).values_list("pk", "status"))

    def live_on(status: ClusterStatus) -> Q:
        those = [cluster for cluster, found in away.items() if found == status]
        return Q(status=Status.PUBLISHED, cluster__in=those)

    settled = mine.filter(
        Q(newest=None) | ~Q(newest__in=[*OPEN, Progress.FAILED]), status=Status.PUBLISHED
    )
    partly = settled.exclude(live_on(ClusterStatus.INACTIVE)).filter(_missed()).order_by(*ORDER)
    return Case(
        When(newest=Progress.FAILED, then=WORST_FIRST.index(FAILED)),
        When(live_on(ClusterStatus.INACTIVE), then=WORST_FIRST.index(NO_AGENT)),
        When(
            pk__in=list(partly.values_list("pk", flat=True)[:SHOWN]), then=WORST_FIRST.index(PARTLY)
        ),
        When(newest=Progress.QUEUED, then=WORST_FIRST.index(WAITING)),
        When(live_on(ClusterStatus.MAINTENANCE), then=WORST_FIRST.index(MAINTENANCE)),
        output_field=IntegerField(),
    )


def _missed() -> Exists:
    """Some agent that should serve what is live does not: see ProductPublishQuerySet.with_reach."""
    serves = AgentPublish.objects.filter(
        agent=OuterRef("pk"),
        publish=OuterRef(OuterRef("pk")),
        revision=OuterRef(OuterRef("live_revision__digest")),
    )
    return Exists(
        Agent.objects.filter(
            ~Exists(serves),
            cluster=OuterRef("cluster"),
            revoked_at=None,
            gateway_classes__contains=[OuterRef("gateway__gateway_class")],
        )
    )
