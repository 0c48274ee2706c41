"""Registration tokens, and cutting agents off."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access
from accounts.models import Role
from clusters.forms import TokenForm
from clusters.models import Agent, RegistrationToken
from clusters.services import agents as agent_service
from clusters.services import tokens as service
from clusters.services.manifests import kubernetes_manifest
from clusters.views.browse import story
from clusters.views.shared import visible
from core.errors import DomainError
from core.htmx import attempt, leave, page


@login_required
@require_POST
@never_cache
def create_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The answer carries the join command with the token, this one time."""
    cluster = visible(request, pk)
    access.require(request.user, cluster.organization_id, Role.ADMIN)
    form, once = TokenForm(request.POST), None
    if form.is_valid():
        made: list[Once] = []
        if attempt(form, lambda: made.append(_made(request, pk, form))):
            once, form = made[0], TokenForm()
    context = story(request, pk, token_form=form, once=once, fresh=True)
    return page(request, "clusters/detail.html", "join-card", context, 422 if form.errors else 200)


@login_required
@require_POST
def revoke_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    token = get_object_or_404(RegistrationToken.objects.visible_to(request.user), pk=pk)
    try:
        service.revoke_token(actor=request.user, token_id=pk)
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("The token is revoked. Nobody can join with it any more."))
    return leave(request, "clusters:detail", token.cluster_id)


@login_required
@require_http_methods(["GET", "POST"])
def revoke_agent(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = Agent.objects.visible_to(request.user).select_related("cluster__organization")
    agent = get_object_or_404(rows, pk=pk)
    access.require(request.user, agent.cluster.organization_id, Role.ADMIN)
    if request.method == "POST":
        agent_service.revoke_agent(actor=request.user, agent_id=pk)
        messages.success(request, _("%(name)s is revoked.") % {"name": agent.name})
        return leave(request, "clusters:detail", agent.cluster_id)
    context = {"agent": agent, "cluster": agent.cluster}
    return page(request, "clusters/revoke_agent.html", "confirm", context)


@dataclass(frozen=True, slots=True)
class Once:
    """What is shown with a new token and never again."""

    command: str
    manifest: str


def _made(request: HttpRequest, pk: UUID, form: TokenForm) -> Once:
    _token, secret = service.create_token(actor=request.user, cluster_id=pk, **form.cleaned_data)
    return Once(
        service.join_command(cluster_id=pk, secret=secret), kubernetes_manifest(secret=secret)
    )
