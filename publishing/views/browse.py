"""Pages of publishes: what is wanted, what is live and how it is proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import access
from clusters.models import Cluster
from core.errors import DomainError
from core.htmx import add_error, wants_partial
from publishing.compile import compile_publish
from publishing.forms.actions import PublishForm, WithdrawForm
from publishing.models import AgentPublish, Deployment, DeploymentVerdict, ProductPublish
from publishing.services import publishes as service
from publishing.states import OPEN, Progress, Status

PAGE_SIZE = 25
RECENT = 8  # deployments, revisions; the API has them all
TIMELINE = 20
SUBSCRIBED = Q(subscriptions__status__in=["active", "suspended"])


@login_required
@require_GET
def publishes(request: HttpRequest) -> HttpResponse:
    rows = _rows(request)
    counts = dict(_own(request).order_by().values_list("status").annotate(Count("pk")))
    status = request.GET.get("status", "")
    if status in Status.values:
        rows = rows.filter(status=status)
    if search := request.GET.get("search", "").strip():
        rows = rows.filter(
            Q(product__name__icontains=search)
            | Q(hostname_base__icontains=search)
            | Q(cluster__name__icontains=search)
        )
    context = {
        "page": Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
        "segments": [("", _("All"), sum(counts.values()))]
        + [(value, label, counts.get(value, 0)) for value, label in Status.choices],
        "status": status,
        "search": search,
    }
    template = "publishing/list.html" + ("#publish-rows" if wants_partial(request) else "")
    return render(request, template, context)


@login_required
@require_GET
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    publish_row = _visible(request, pk)
    template = "publishing/detail.html" + ("#publish-live" if wants_partial(request) else "")
    return render(request, template, _story(request, publish_row))


@login_required
@require_http_methods(["GET", "POST"])
def publish(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask once, take a note, then send it to the cluster."""
    form = PublishForm(_typed(request))
    return _confirm(
        request,
        _visible(request, pk),
        form,
        template="publishing/confirm_publish.html",
        act=lambda note: service.publish(actor=request.user, publish_id=pk, note=note),
    )


@login_required
@require_http_methods(["GET", "POST"])
def withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask with what it means for subscribers, then take it off the gateways."""
    form = WithdrawForm(_typed(request))
    return _confirm(
        request,
        _visible(request, pk),
        form,
        template="publishing/confirm_withdraw.html",
        act=lambda reason: service.withdraw(actor=request.user, publish_id=pk, reason=reason),
    )


@login_required
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    deployment = get_object_or_404(Deployment.objects.visible_to(request.user), pk=pk)
    try:
        service.cancel(actor=request.user, deployment_id=pk)
    except DomainError as error:
        publish_row = _visible(request, deployment.publish_id)
        context = _story(request, publish_row) | {"refusal": error.message}
        return render(request, "publishing/detail.html", context, status=error.status)
    return redirect("publishing:detail", deployment.publish_id)


def _typed(request: HttpRequest) -> Any:
    """What to bind a form to. An empty POST is one too: every field may be blank."""
    return request.POST if request.method == "POST" else None


def _confirm(
    request: HttpRequest,
    publish_row: ProductPublish,
    form: PublishForm | WithdrawForm,
    *,
    template: str,
    act: Callable[..., object],
) -> HttpResponse:
    access.require(request.user, publish_row.organization_id)
    if request.method == "POST" and form.is_valid():
        try:
            act(**form.cleaned_data)
        except DomainError as error:
            add_error(form, error)
        else:
            return redirect("publishing:detail", publish_row.pk)
    context = {"publish": publish_row, "form": form} | _affected(publish_row)
    return render(request, template, context, status=422 if form.errors else 200)


def _affected(publish_row: ProductPublish) -> dict[str, Any]:
    return {
        "agents": publish_row.cluster.agents.live().count(),
        "subscribers": publish_row.subscriptions.filter(status__in=["active", "suspended"]).count(),
        "routes": _routes(publish_row),
    }


def _own(request: HttpRequest) -> QuerySet[ProductPublish]:
    """The active organization's publishes; a superuser without one sees all."""
    rows = ProductPublish.objects.visible_to(request.user)
    organization = getattr(request, "organization", None)
    return rows.filter(organization=organization) if organization else rows


def _rows(request: HttpRequest) -> QuerySet[ProductPublish]:
    open_deployments = Deployment.objects.filter(status__in=OPEN)
    return (
        _own(request)
        .select_related("product", "cluster", "gateway", "live_revision")
        .prefetch_related(Prefetch("deployments", open_deployments, to_attr="open_deployments"))
        .annotate(subscribers=Count("subscriptions", filter=SUBSCRIBED, distinct=True))
        # Grouping drops the model's own ordering.
        .order_by("-created_at", "id")
    )


def _visible(request: HttpRequest, pk: UUID) -> ProductPublish:
    rows = ProductPublish.objects.visible_to(request.user).select_related(
        "product",
        "cluster",
        "gateway",
        "organization",
        "live_revision",
        "wanted_revision",
        "published_by",
        "withdrawn_by",
        "created_by",
    )
    return get_object_or_404(rows, pk=pk)


def _story(request: HttpRequest, publish_row: ProductPublish) -> dict[str, Any]:
    """Everything the page tells, in a number of queries that does not grow with the rows."""
    recent = _recent_deployments(publish_row)
    latest = recent[0] if recent else None
    cluster = Cluster.objects.with_status().get(pk=publish_row.cluster_id)
    return {
        "publish": publish_row,
        "cluster": cluster,
        "ports": [listener.port for listener in publish_row.gateway.listeners.all()],
        "may_work": access.can(request.user, publish_row.organization_id),
        "latest": latest,
        "deployments": recent,
        "proof": _proof(publish_row),
        "routes": _routes(publish_row),
        "plans": publish_row.plans.annotate(subscribers=Count("subscriptions", filter=SUBSCRIBED)),
        "revisions": publish_row.revisions.select_related("created_by")[:RECENT],
        "revision_count": publish_row.revisions.count(),
        "events": publish_row.events.select_related("actor", "agent", "deployment__revision")[
            :TIMELINE
        ],
        "serving": _serving(publish_row),
        "publish_form": PublishForm(),
        "withdraw_form": WithdrawForm(),
    }


def _recent_deployments(publish_row: ProductPublish) -> list[Deployment]:
    verdicts = DeploymentVerdict.objects.select_related("agent")
    return list(
        publish_row.deployments.select_related("revision", "requested_by").prefetch_related(
            Prefetch("verdicts", verdicts)
        )[:RECENT]
    )


def _proof(publish_row: ProductPublish) -> list[dict[str, Any]]:
    """What the gateways answered when the live revision was proved, agent by agent."""
    verdicts = (
        DeploymentVerdict.objects.filter(
            deployment__publish=publish_row,
            deployment__revision=publish_row.live_revision,
            deployment__status=Progress.SUCCEEDED,
        )
        .exclude(probe=[])
        .select_related("agent", "deployment")
        .order_by("-deployment__number", "agent__name")
    )
    if publish_row.live_revision_id is None:
        return []
    newest = list(verdicts[:50])
    return [
        call | {"agent": verdict.agent, "at": verdict.updated_at}
        for verdict in newest
        if verdict.deployment_id == newest[0].deployment_id
        for call in verdict.probe
    ]


def _routes(publish_row: ProductPublish) -> list[dict[str, Any]]:
    """The routes by service: of the live bundle, else of what a publish would send now."""
    revision = publish_row.live_revision or publish_row.wanted_revision
    try:
        document = revision.document if revision else compile_publish(publish_row).document
    except DomainError:
        return []
    bundle = json.loads(document)
    routes: dict[str, list[dict[str, Any]]] = {}
    for route in bundle.get("routes", []):
        routes.setdefault(route["upstream_id"], []).append(route)
    return [
        upstream | {"routes": sorted(routes.get(upstream["id"], []), key=lambda r: r["path"])}
        for upstream in bundle.get("upstreams", [])
    ]


def _serving(publish_row: ProductPublish) -> dict[str, Any]:
    """On how many of the cluster's agents the live revision really is, as they see it."""
    agents = publish_row.cluster.agents.filter(revoked_at=None)
    rows = AgentPublish.objects.filter(publish=publish_row, agent__in=agents)
    digest = publish_row.live_revision.digest if publish_row.live_revision else ""
    return {
        "total": agents.count(),
        "live": rows.filter(revision=digest).count() if digest else 0,
        "warnings": [row for row in rows.select_related("agent") if row.warning or row.error],
    }
