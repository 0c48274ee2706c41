"""The list of clusters and the page of one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts import access
from accounts.models import Kind, Role
from clusters import stories
from clusters.filters import Choices, ClusterFilter
from clusters.forms import TokenForm
from clusters.models import Cluster, ClusterQuerySet, Status
from clusters.views.shared import visible
from core.filters import listing, segments
from core.htmx import page, shared_page
from core.pages import page_of

TRAIL_SIZE = 50
ORDERS = {
    "attention": (_("Needs attention first"), ["attention", "name", "pk"]),
    "name": (_("By name"), ["name", "pk"]),
    "newest": (_("Newest first"), ["-created_at", "pk"]),
}
SYNC = [("true", _("In sync")), ("false", _("Out of sync"))]
SEGMENTS = [Status.ACTIVE, Status.MAINTENANCE, Status.INACTIVE, Status.PENDING]


@login_required
@require_safe
@shared_page("clusters/list.html", "cluster-rows")
def clusters(request: HttpRequest) -> dict[str, Any]:
    chosen = ClusterFilter(request.GET, _mine(request, stories.rows()), request=request)
    counted = _mine(request, stories.counted())
    return listing(request, chosen, ORDERS) | {
        "segments": segments(request, chosen, counted, SEGMENTS),
        "choices": Choices(_mine(request, Cluster.objects.all())),
        "sync": [(value, label, value == request.GET.get("in_sync")) for value, label in SYNC],
        "may_register": may_register(request),
    }


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    return page(request, "clusters/detail.html", "cluster-live", story(request, pk))


@login_required
@require_safe
def events(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The whole audit trail of one cluster."""
    cluster = visible(request, pk)
    context = {"cluster": cluster, "page": page_of(request, stories.trail(cluster), TRAIL_SIZE)}
    return page(request, "clusters/events.html", "events", context)


def story(request: HttpRequest, pk: UUID, **more: Any) -> dict[str, Any]:
    """Everything the page of one cluster tells."""
    rows = stories.rows().visible_to(request.user)
    cluster: Any = get_object_or_404(rows.select_related("organization", "created_by"), pk=pk)
    held = access.role_in(request.user, cluster.organization_id)
    agents, tokens = stories.agents(cluster), stories.tokens(cluster)
    return {
        "cluster": cluster,
        "may_work": held in {Role.MEMBER, Role.ADMIN},
        "may_admin": held == Role.ADMIN,
        "agents": agents,
        "more_agents": max(0, cluster.agent_count - len(agents)),
        "open_tokens": [token for token in tokens if token.usable],
        "join": stories.join(cluster, tokens),
        "publishes": stories.publishes(cluster),
        "activity": stories.activity(cluster),
        "events": stories.events(cluster),
        "token_form": TokenForm(),
    } | more


def _mine(request: HttpRequest, clusters: ClusterQuerySet) -> ClusterQuerySet:
    """Those of the organization that the request works in."""
    organization = request.organization
    rows = clusters.visible_to(request.user)
    return rows.filter(organization=organization) if organization else rows.none()


def may_register(request: HttpRequest) -> bool:
    organization = request.organization
    return bool(
        organization
        and organization.kind == Kind.OPERATOR
        and access.works_in(request.user, organization)
    )
