"""All clusters and agents of the organization at once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Exists, F, OuterRef
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Kind
from clusters import fleet
from clusters.filters import AgentFilter
from clusters.models import Agent
from clusters.views.browse import may_register
from core.filters import listing
from core.htmx import shared_page

STATES = [("", _("All")), ("active", _("Active")), ("inactive", _("Inactive"))]


@login_required
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    organization = request.organization
    if organization is None or organization.kind != Kind.OPERATOR:
        return redirect("home")
    return _overview(request)


@shared_page("clusters/overview.html", "overview-live")
def _overview(request: HttpRequest) -> dict[str, Any]:
    return {"fleet": fleet.of(request.organization), "may_register": may_register(request)}


@login_required
@require_safe
@shared_page("clusters/agents.html", "agent-rows")
def agents(request: HttpRequest) -> dict[str, Any]:
    """The lost ones first; those revoked only when asked for."""
    mine = Agent.objects.visible_to(request.user).filter(cluster__organization=request.organization)
    live = Exists(Agent.objects.live().filter(pk=OuterRef("pk")))
    rows = mine if request.GET.get("status") == "revoked" else mine.filter(revoked_at=None)
    rows = rows.select_related("cluster").annotate(desired=F("cluster__state__desired_generation"))
    ordered = rows.order_by(live, "cluster__name", "name", "pk")
    versions = mine.values_list("version", flat=True)
    return listing(request, AgentFilter(request.GET, ordered, request=request)) | {
        "states": [*STATES, ("revoked", _("Revoked"))],
        "versions": versions.exclude(version="").order_by("version").distinct(),
    }
