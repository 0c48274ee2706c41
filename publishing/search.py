from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from core.search import LIMIT, Group, Hit, matching
from publishing import operated
from publishing.models import ProductPublish, ProductPublishQuerySet


def find(request: Any, text: str) -> Group:
    """The provider's own, and those on an operator's clusters: each with the page that is theirs."""
    provided = _found(ProductPublish.objects.visible_to(request.user), text)
    hits = [_hit(row, "publishing:detail") for row in provided]
    known = {row.pk for row in provided}
    others = _found(
        operated.publishes(request.user, ProductPublish.objects.all()).exclude(pk__in=known), text
    )
    hits += [_hit(row, "publishing:operated") for row in others]
    return Group("publish", _("Publishes"), "world-upload", hits[:LIMIT])


def _found(rows: ProductPublishQuerySet, text: str) -> list[Any]:
    ordered = rows.select_related("product", "cluster").order_by(
        "product__name", "environment", "pk"
    )
    return list(matching(ordered, text, ["product__name", "hostname_base"]))


def _hit(row: Any, page: str) -> Hit:
    return Hit(
        str(row.pk),
        f"{row.product.name} · {row.environment}",
        f"{row.hostname_base} · {row.cluster.name}",
        reverse(page, args=[row.pk]),
    )
