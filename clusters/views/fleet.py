"""All clusters and agents of the organization at once."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import Kind
from clusters import fleet, stories
from clusters.filters import AgentFilter
from clusters.models import Agent, AgentQuerySet
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
@shared_page("clusters/agents.html", "agent-rows", roles=False)
def agents(request: HttpRequest) -> dict[str, Any]:
    """The lost ones first; those revoked only when asked for."""
    rows = _mine(request, stories.agent_rows()).order_by("alive", "cluster_name", "name", "pk")
    if request.GET.get("status") != "revoked":
        rows = rows.filter(revoked_at=None)
    versions = _mine(request, Agent.objects.all()).values_list("version", flat=True)
    return listing(request, AgentFilter(request.GET, rows, request=request)) | {
        "states": [*STATES, ("revoked", _("Revoked"))],
        "versions": versions.exclude(version="").order_by("version").distinct(),
    }


def _mine(request: HttpRequest, agents: AgentQuerySet) -> AgentQuerySet:
    return agents.visible_to(request.user).filter(cluster__organization=request.organization)
