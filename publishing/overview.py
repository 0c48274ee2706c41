"""The provider's overview: everything published and under way at once, in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Case, CharField, Count, OuterRef, Q, Subquery, Value, When
from django.utils import timezone

from accounts.models import Organization
from clusters.models import Cluster
from clusters.models import Status as ClusterStatus
from publishing.models import Deployment, ProductPublish, ProductPublishQuerySet
from publishing.states import OPEN, Progress, Status

DAY = timedelta(hours=24)
SHOWN = 10
RECENT = 8
# Why a publish is shown, the worst first.
FAILED, NO_AGENT, MAINTENANCE, WAITING = "failed", "no_agent", "maintenance", "waiting"
WORST_FIRST = [FAILED, NO_AGENT, WAITING, MAINTENANCE]


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
    return Overview(
        products=counted["of_products"],
        services=counted["of_services"],
        requests=counted["of_requests"],
        publishes={status: counted[status] for status in Status.values},
        outcomes=outcomes,
        running=running,
        attention=list(_attention(mine)[:SHOWN]),
        recent=list(
            recent.select_related("publish__product", "publish__cluster", "revision").order_by(
                "-created_at", "-number"
            )[:RECENT]
        ),
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


def _attention(mine: ProductPublishQuerySet) -> ProductPublishQuerySet:
    """Publishes whose newest deployment failed or waits, or whose cluster cannot take changes now."""
    newest = Deployment.objects.filter(publish=OuterRef("pk")).order_by("-created_at", "-number")
    cluster = Cluster.objects.filter(pk=OuterRef("cluster")).with_bare_status()
    live = Q(status=Status.PUBLISHED)
    return (
        mine.annotate(
            cluster_status=Subquery(cluster.values("status")[:1]),
            newest=Subquery(newest.values("status")[:1]),
            newest_detail=Subquery(newest.values("detail")[:1]),
            newest_at=Subquery(newest.values("created_at")[:1]),
        )
        .annotate(
            why=Case(
                When(newest=Progress.FAILED, then=Value(FAILED)),
                When(live & Q(cluster_status=ClusterStatus.INACTIVE), then=Value(NO_AGENT)),
                When(newest=Progress.QUEUED, then=Value(WAITING)),
                When(live & Q(cluster_status=ClusterStatus.MAINTENANCE), then=Value(MAINTENANCE)),
                default=Value(""),
                output_field=CharField(),
            ),
            rank=Case(*(When(why=why, then=Value(at)) for at, why in enumerate(WORST_FIRST))),
        )
        .exclude(why="")
        .select_related("product", "cluster")
        .order_by("rank", "-newest_at", "pk")
    )
