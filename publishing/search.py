from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from core.search import Group, Hit, matching
from publishing.models import ProductPublish


def find(request: Any, text: str) -> Group:
    rows = ProductPublish.objects.visible_to(request.user).select_related("product", "cluster")
    ordered = rows.order_by("product__name", "environment", "pk")
    hits = [
        Hit(
            str(row.pk),
            f"{row.product.name} · {row.environment}",
            f"{row.hostname_base} · {row.cluster.name}",
            reverse("publishing:detail", args=[row.pk]),
        )
        for row in matching(ordered, text, ["product__name", "hostname_base"])
    ]
    return Group("publish", _("Publishes"), "world-upload", hits)
