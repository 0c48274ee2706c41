"""The provider's overview: everything published and under way at once, in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import JSONArray
from django.utils import timezone

from accounts.models import Organization
from catalog.models import ApiService, Product
from clusters.models import Cluster
from clusters.models import Status as ClusterStatus
from core.queries import count
from publishing.models import Deployment, ProductPublish, ProductPublishQuerySet
from publishing.states import OPEN, Progress, Status

DAY = timedelta(hours=24)
SHOWN = 10
RECENT = 8
# Why a publish is shown, the worst first.
FAILED, NO_AGENT, MAINTENANCE, WAITING = "failed", "no_agent", "maintenance", "waiting"
PARTLY = "partly"
WORST_FIRST = [FAILED, NO_AGENT, PARTLY, WAITING, MAINTENANCE]


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
    counted = _counts(organization)
    publishes, deployments = Counter(counted["by_status"]), Counter(counted["by_progress"])
    return Overview(
        products=counted["of_products"],
        services=counted["of_services"],
        requests=counted["of_requests"],
        publishes={status: publishes[status] for status in Status.values},
        outcomes={each: deployments[each] for each in Progress.values if each not in OPEN},
        running=sum(deployments[each] for each in OPEN),
        attention=_attention(ProductPublish.objects.filter(organization=organization)),
        recent=list(_recent(organization)),
    )


def _counts(organization: Organization) -> dict[str, Any]:
    """In one query. Subscriptions are of a context above: reached by their relation."""
    subscriptions = ProductPublish._meta.get_field("subscriptions").related_model.objects
    ended = Q(finished_at__gte=timezone.now() - DAY)
    recent = Deployment.objects.filter(
        ended | Q(finished_at=None), publish__organization=OuterRef("pk")
    )
    numbers = {
        "of_products": count(Product.objects, "organization"),
        "of_services": count(ApiService.objects, "organization"),
        "of_requests": count(subscriptions.filter(status="pending"), "publish__organization"),
        "by_status": _by_status(ProductPublish.objects.filter(organization=OuterRef("pk"))),
        "by_progress": _by_status(recent),
    }
    counted = Organization.objects.filter(pk=organization.pk).values(**numbers).get()
    return counted | {name: dict(counted[name]) for name in ("by_status", "by_progress")}


def _by_status(rows: QuerySet) -> ArraySubquery:
    counted = rows.order_by().values("status").annotate(number=Count("pk"))
    return ArraySubquery(counted.values_list(JSONArray("status", "number")))


def _recent(organization: Organization) -> QuerySet[Deployment]:
    rows = Deployment.objects.filter(publish__organization=organization)
    newest = rows.order_by("-created_at", "-number").values("pk")[:RECENT]
    return (
        Deployment.objects.filter(pk__in=newest)
        .select_related("publish__product", "publish__cluster", "revision")
        .only(
            *("kind", "status", "created_at", "number", "revision__number"),
            *("publish__environment", "publish__product__name", "publish__cluster__name"),
        )
    )


def _attention(mine: ProductPublishQuerySet) -> list[Any]:
    """Publishes whose newest deployment failed or waits, which some agent does not serve, or whose cluster
    cannot take changes now."""
    mine = mine.annotate(newest_at=_newest("created_at"))
    ranks: dict[Any, int] = {}
    for rows in _reasons(mine):
        others = rows.exclude(pk__in=ranks).order_by("rank", "-newest_at", "pk")
        ranks |= dict(others.values_list("pk", "rank")[: SHOWN - len(ranks)])
        if len(ranks) == SHOWN:  # what is less bad costs nothing then
            break
    told = _told(mine.filter(pk__in=ranks), reach=WORST_FIRST.index(PARTLY) in ranks.values())
    for pk, publish in told.items():
        publish.why = WORST_FIRST[ranks[pk]]
    return [told[pk] for pk in ranks if pk in told]


def _reasons(mine: ProductPublishQuerySet) -> Iterator[ProductPublishQuerySet]:
    """Each with its rank in WORST_FIRST; a publish counts for the first that names it.

    An open deployment is the newest.
    """
    failed, no_agent, partly, waiting, maintenance = map(Value, range(len(WORST_FIRST)))
    newest = mine.annotate(newest=_newest("status"))
    yield newest.filter(newest=Progress.FAILED).annotate(rank=failed)
    live, clusters = Q(status=Status.PUBLISHED), Cluster.objects.with_bare_status()
    lost = clusters.filter(status=ClusterStatus.INACTIVE)
    yield mine.filter(live, cluster__in=lost).annotate(rank=no_agent)
    opened = Deployment.objects.filter(publish=OuterRef("pk"), status__in=OPEN)
    yield mine.filter(live, ~Exists(opened)).missed().annotate(rank=partly)
    queued = Exists(opened.filter(status=Progress.QUEUED))
    paused = live & Q(cluster__in=clusters.filter(status=ClusterStatus.MAINTENANCE))
    rank = Case(When(queued, then=waiting), default=maintenance)
    yield mine.filter(queued | paused).annotate(rank=rank)


def _told(shown: ProductPublishQuerySet, *, reach: bool) -> dict[Any, Any]:
    """With what a line of the page says."""
    rows = shown.annotate(newest_detail=_newest("detail")).select_related("product", "cluster")
    rows = rows.only("environment", "product__name", "product__version", "cluster__name")
    return (rows.with_reach() if reach else rows).in_bulk()


def _newest(field: str) -> Subquery:
    rows = Deployment.objects.filter(publish=OuterRef("pk")).order_by("-number")
    return Subquery(rows.values(field)[:1])
