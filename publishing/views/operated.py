"""The operator's look at publishes on its clusters. Nothing can be changed here: they are the provider's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from clusters.models import Cluster
from core.filters import listing
from core.htmx import page, shared_page
from publishing import operated
from publishing.filters import DeploymentFilter
from publishing.models import Environment
from publishing.states import Kind, Progress


@login_required
@require_safe
@shared_page("publishing/operated/deployments.html", "deployment-rows", roles=False)
def deployments(request: HttpRequest) -> dict[str, Any]:
    """Of every provider, on the active organization's clusters."""
    organization = request.organization  # type: ignore[attr-defined]
    mine = Cluster.objects.visible_to(request.user).filter(organization=organization)
    rows = operated.deployments(request.user, operated.listed())
    rows = rows.filter(publish__cluster__organization=organization)
    ordered = rows.order_by("-created_at", "-number", "pk")
    return listing(request, DeploymentFilter(request.GET, ordered)) | {
        "statuses": Progress.choices,
        "kinds": Kind.choices,
        "environments": Environment.choices,
        "clusters": mine.order_by("name").values_list("pk", "name"),
    }


@login_required
@require_safe
def publish(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = get_object_or_404(operated.told(request.user), pk=pk)
    return page(request, "publishing/operated/publish.html", "operated-live", operated.story(row))
