"""What the pages tell about products and gateways, in a number of queries that does not grow with the rows.

Publishes and subscriptions belong to contexts above this one: they are reached through reverse relations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, Count, F, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from catalog.models import Gateway, Product
from core.queries import count, prepared

# Of a publish and of a subscription, in the words of their contexts.
ENVIRONMENTS = (("dev", _("Development")), ("stage", _("Staging")), ("prod", _("Production")))
HELD = ("active", "suspended")
SUBSCRIBED = Q(subscriptions__status__in=HELD)
REQUESTS = 5
USES = 50


@dataclass(slots=True)
class Cell:
    """A product in one environment."""

    code: str
    label: str
    publishes: list[Any] = field(default_factory=list)

    @property
    def live(self) -> int:
        return sum(row.status == "PUBLISHED" for row in self.publishes)

    @property
    def trouble(self) -> int:
        return sum(row.last_status == "FAILED" for row in self.publishes)

    @property
    def reach(self) -> str:
        live = self.live
        return ngettext("%(total)s cluster", "%(total)s clusters", live) % {"total": live}


@prepared
def product_rows() -> QuerySet[Product]:
    """With what a row of the list shows beside the product's own fields."""
    publishes: Any = Product.publishes  # type: ignore[attr-defined]
    subscriptions = publishes.rel.related_model.subscriptions.rel.related_model.objects
    return Product.objects.annotate(
        service_count=count(Product.services.through.objects, "product"),
        subscription_count=count(subscriptions.filter(status__in=HELD), "publish__product"),
    )


def with_cells(products: Iterable[Any]) -> list[Any]:
    """Each product of a page with its environments."""
    found = list(products)
    by_product: dict[Any, list[Any]] = {row.pk: [] for row in found}
    for publish in _publishes_with_last_status().filter(product__in=by_product):
        by_product[publish.product].append(publish)
    environments = [(code, str(label)) for code, label in ENVIRONMENTS]
    for row in found:
        row.cells = cells(by_product[row.pk], environments)
    return found


@prepared
def _publishes_with_last_status() -> QuerySet[Any]:
    """What cells need to know of publishes: `last_status` is how the last deployment goes or went."""
    related: Any = Product.publishes  # type: ignore[attr-defined]
    model = related.rel.related_model
    deployments = model.deployments.rel.related_model.objects.filter(publish=OuterRef("pk"))
    last = Subquery(deployments.order_by("-number").values("status")[:1])
    rows = model.objects.annotate(last_status=last).order_by()
    return rows.values_list("product", "environment", "status", "last_status", named=True)


def cells(
    publishes: Iterable[Any], environments: Iterable[tuple[str, Any]] = ENVIRONMENTS
) -> list[Cell]:
    made = {code: Cell(code, label) for code, label in environments}
    for publish in publishes:
        made[publish.environment].publishes.append(publish)
    return list(made.values())


def publishes(model: Any, **which: Any) -> QuerySet:
    """Those of products or gateways, the live ones first, with how the last deployment of each went."""
    rows = model.publishes.rel.related_model.objects.filter(**which)
    deployments = rows.model.deployments.rel.related_model.objects.filter(publish=OuterRef("pk"))
    last = deployments.order_by("-number")
    return (
        rows.select_related("cluster", "gateway", "product", "live_revision")
        .annotate(
            since=Case(
                When(status="PUBLISHED", then=F("published_at")),
                When(status="WITHDRAWN", then=F("withdrawn_at")),
                default=F("created_at"),
            ),
            rank=Case(When(status="PUBLISHED", then=0), When(status="DRAFT", then=1), default=2),
            last_status=Subquery(last.values("status")[:1]),
            last_revision=Subquery(last.values("revision__number")[:1]),
            last_at=Subquery(last.values(at=Coalesce("finished_at", "created_at"))[:1]),
            subscribers=Count("subscriptions", filter=SUBSCRIBED),
        )
        .order_by("rank", "cluster__name", "pk")
    )


def requests(product: Any) -> QuerySet:
    """Subscriptions that wait for somebody's word, the oldest first."""
    publish = Product.publishes.rel.related_model
    waiting = publish.subscriptions.rel.related_model.objects.filter(
        publish__product=product, status="pending"
    )
    return waiting.select_related("application__organization", "plan", "publish__cluster").order_by(
        "created_at", "pk"
    )


@prepared
def gateway_rows() -> QuerySet[Gateway]:
    """With what a row of the list shows beside the gateway's own fields."""
    publishes: Any = Gateway.publishes.rel.related_model.objects  # type: ignore[attr-defined]
    return Gateway.objects.prefetch_related("listeners").annotate(
        publish_count=count(publishes, "gateway"),
        live_count=count(publishes.filter(status="PUBLISHED"), "gateway"),
    )
