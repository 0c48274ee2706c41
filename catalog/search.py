from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from catalog.models import ApiService, Product
from core.search import Group, Hit, matching


def services(request: Any, text: str) -> Group:
    rows = ApiService.objects.visible_to(request.user).order_by("name", "version", "pk")
    hits = [
        Hit(
            str(row.pk),
            f"{row.name} {row.version}",
            row.base_path,
            reverse("catalog:service", args=[row.pk]),
        )
        for row in matching(rows, text, ["name", "base_path"])
    ]
    return Group("api_service", _("API services"), "route", hits)


def products(request: Any, text: str) -> Group:
    rows = Product.objects.visible_to(request.user).order_by("name", "version", "pk")
    hits = [
        Hit(
            str(row.pk),
            f"{row.name} {row.version}",
            row.description[:80],
            reverse("catalog:product", args=[row.pk]),
        )
        for row in matching(rows, text, ["name", "description"])
    ]
    return Group("product", _("Products"), "package", hits)
