from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from clusters.models import Cluster
from core.search import Group, Hit, matching


def find(request: Any, text: str) -> Group:
    rows = Cluster.objects.visible_to(request.user).order_by("name", "pk")
    found = matching(rows, text, ["name", "description"])
    hits = [
        Hit(str(row.pk), row.name, row.region, reverse("clusters:detail", args=[row.pk]))
        for row in found
    ]
    return Group("cluster", _("Clusters"), "server-2", hits)
