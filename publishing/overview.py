"""The provider's overview: everything published and under way at once, in a fixed number of queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, JSONArray
from django.utils import timezone

from accounts.models import Organization
from catalog.models import ApiService, Product
from clusters.models import Cluster
from clusters.models import Status as ClusterStatus
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
    mine = ProductPublish.objects.filter(organization=organization)
    counted, (outcomes, running) = _counts(organization), _deployments(organization)
    statuses = dict(counted["of_statuses"])
    return Overview(
        products=counted["of_products"],
        services=counted["of_services"],
        requests=counted["of_requests"],
        publishes={status: statuses.get(status, 0) for status in Status.values},
        outcomes=outcomes,
        running=running,
        attention=_attention(mine),
        recent=list(_recent(organization)),
    )


def _counts(organization: Organization) -> Mapping[str, Any]:
    """Subscriptions are of a context above: reached by their relation."""

    def number(rows: QuerySet, owner: str) -> Coalesce:
        mine = rows.filter(**{owner: OuterRef("pk")}).order_by().values(owner)
        return Coalesce(Subquery(mine.annotate(number=Count("pk")).values("number")), 0)

    subscriptions = ProductPublish._meta.get_field("subscriptions").related_model.objects
    publishes = ProductPublish.objects.filter(organization=OuterRef("pk")).order_by()
    statuses = publishes.values("status").annotate(number=Count("pk"))
    numbers = {
        "of_products": number(Product.objects, "organization"),
        "of_services": number(ApiService.objects, "organization"),
        "of_requests": number(subscriptions.filter(status="pending"), "publish__organization"),
        "of_statuses": ArraySubquery(statuses.values_list(JSONArray("status", "number"))),
    }
    return Organization.objects.filter(pk=organization.pk).values(**numbers).get()


def _deployments(organization: Organization) -> tuple[Mapping[str, int], int]:
    here = Deployment.objects.filter(publish__organization=organization)
    recent = here.filter(Q(finished_at__gte=timezone.now() - DAY) | Q(finished_at=None))
    counted = Counter(dict(recent.order_by().values_list("status").annotate(Count("pk"))))
    ended = [status for status in Progress.values if status not in OPEN]
    return {status: counted[status] for status in ended}, sum(counted[status] for status in OPEN)


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
    why: dict[Any, str] = {}
    for reason, rows in _reasons(mine):
        others = rows.exclude(pk__in=why).order_by("-newest_at", "pk")
        why |= dict.fromkeys(others.values_list("pk", flat=True)[: SHOWN - len(why)], reason)
        if len(why) == SHOWN:  # what is less bad costs nothing then
            break
    told = _told(mine.filter(pk__in=why), reach=PARTLY in why.values())
    for pk, publish in told.items():
        publish.why = why[pk]
    return [told[pk] for pk in why if pk in told]


def _reasons(mine: ProductPublishQuerySet) -> Iterator[tuple[str, ProductPublishQuerySet]]:
    """The worst first; a publish counts for the first that names it. An open deployment is the newest."""
    yield FAILED, mine.annotate(newest=_newest("status")).filter(newest=Progress.FAILED)
    live = mine.filter(status=Status.PUBLISHED)
    away = _away(live)
    yield NO_AGENT, live.filter(cluster__in=away[ClusterStatus.INACTIVE])
    opened = Deployment.objects.filter(publish=OuterRef("pk"), status__in=OPEN)
    yield PARTLY, live.filter(~Exists(opened)).missed()
    yield WAITING, mine.filter(Exists(opened.filter(status=Progress.QUEUED)))
    yield MAINTENANCE, live.filter(cluster__in=away[ClusterStatus.MAINTENANCE])


def _away(live: ProductPublishQuerySet) -> Mapping[str, list[Any]]:
    """Clusters by status. Many publishes share one: asked once, not for each of them."""
    here = Cluster.objects.filter(pk__in=live.order_by().values("cluster")).order_by()
    found: dict[str, list[Any]] = {status: [] for status in ClusterStatus.values}
    for pk, status in here.with_bare_status().values_list("pk", "status"):
        found[status].append(pk)
    return found


def _told(shown: ProductPublishQuerySet, *, reach: bool) -> dict[Any, Any]:
    """With what a line of the page says."""
    rows = shown.annotate(newest_detail=_newest("detail")).select_related("product", "cluster")
    rows = rows.only("environment", "product__name", "product__version", "cluster__name")
    return (rows.with_reach() if reach else rows).in_bulk()


def _newest(field: str) -> Subquery:
    rows = Deployment.objects.filter(publish=OuterRef("pk")).order_by("-number")
    return Subquery(rows.values(field)[:1])
