"""The list of products and the page of one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.db.models import Func
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from catalog import stories
from catalog.filters import ProductFilter
from catalog.models import Product
from catalog.views.shared import may_create, mine, rights, visible
from core.filters import listing
from core.htmx import page, shared_page

ORDERS = {
    "name": (_("By name"), ["name", "version", "pk"]),
    "changed": (_("Changed last first"), ["-updated_at", "pk"]),
    "newest": (_("Newest first"), ["-created_at", "pk"]),
    "subscribed": (_("Most subscribed first"), ["-subscription_count", "name", "pk"]),
}


@login_required
@require_safe
@shared_page("catalog/products/list.html", "product-rows")
def products(request: HttpRequest) -> dict[str, Any]:
    rows = mine(request, stories.product_rows())
    chosen = ProductFilter(request.GET, rows, request=request)
    context = listing(request, chosen, ORDERS) | {
        "categories": _categories(mine(request, Product.objects)),
        "may_create": may_create(request),
    }
    context["products"] = stories.with_cells(context["page"])
    return context


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = Product.objects.visible_to(request.user).select_related("organization")
    product = get_object_or_404(rows, pk=pk)
    return page(request, "catalog/products/detail.html", "product-live", story(request, product))


def story(request: HttpRequest, product: Any) -> dict[str, Any]:
    """Everything the page of one product tells."""
    publishes = list(stories.publishes(Product, product=product))
    return {
        "product": product,
        "services": list(product.services.prefetch_related("routes", "backends")),
        "cells": stories.cells(publishes),
        "clusters": len({row.cluster_id for row in publishes if row.status == "PUBLISHED"}),
        "environments": len({row.environment for row in publishes if row.status == "PUBLISHED"}),
        "trouble": sum(row.last_status == "FAILED" for row in publishes),
        "subscriptions": sum(row.subscribers for row in publishes),
    } | rights(request, product)


@login_required
@require_safe
def waiting(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is not published yet, and who asks to subscribe. By itself: it compiles each publish."""
    product = visible(request, Product, pk)
    requests = list(stories.requests(product)[: stories.REQUESTS + 1])
    context = {
        "product": product,
        "publishes": list(stories.publishes(Product, product=product)),
        "requests": requests[: stories.REQUESTS],
        "more_requests": len(requests) > stories.REQUESTS,
    }
    return page(request, "catalog/products/waiting.html", "product-waiting", context)


def _categories(rows: Any) -> list[str]:
    named = rows.order_by().values_list(Func("categories", function="unnest"), flat=True)
    return sorted(named.distinct())
