"""Registering, describing, pausing and deleting a cluster."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import localize
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import access
from accounts.models import Kind, Role
from clusters import rules
from clusters.forms import OTHER, ClusterForm, DeleteForm, MaintenanceForm
from clusters.models import Cluster
from clusters.services import clusters as service
from clusters.services import regions
from clusters.views.shared import visible
from core import versions
from core.errors import InvalidInput
from core.htmx import attempt, leave, page

FORM = "clusters/form.html"


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    organization = request.organization
    if organization is None or organization.kind != Kind.OPERATOR:
        raise PermissionDenied(
            _("Clusters belong to operator organizations. Switch to one to register a cluster.")
        )
    access.require(request.user, organization.pk)
    if _edits_labels(request):
        return page(
            request, FORM, "labels", _form_context(request, ClusterForm.typed(request.POST))
        )
    form = ClusterForm(request.POST or None)
    made: list[Cluster] = []
    if form.is_valid() and attempt(
        form,
        lambda: made.append(
            service.create(actor=request.user, organization_id=organization.pk, **form.settings())
        ),
    ):
        return leave(request, "clusters:detail", made[0].pk)
    return _form_page(request, form)


@login_required
@require_safe
def check_name(request: HttpRequest) -> HttpResponse:
    """While somebody types: whether the name may be, and whether it is free."""
    name, wrong = request.GET.get("name", ""), ""
    named = request.GET.get("cluster")
    edited = visible(request, _uuid(named)) if named else None
    owner = edited.organization if edited else request.organization
    taken = Cluster.objects.visible_to(request.user).filter(name=name, organization=owner)
    try:
        rules.name(name)
        if taken.exclude(pk=edited.pk if edited else None).exists():
            wrong = service.name_taken(name)
    except InvalidInput as error:
        wrong = error.message
    return render(request, f"{FORM}#name-check", {"name": name, "wrong": wrong})


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    cluster = visible(request, pk)
    access.require(request.user, cluster.organization_id)
    if _edits_labels(request):
        context = _form_context(request, ClusterForm.typed(request.POST), cluster)
        return page(request, FORM, "labels", context)
    if request.method == "GET":
        return _form_page(request, ClusterForm.of(cluster), cluster)
    form, seen = ClusterForm(request.POST), versions.seen(request)
    if form.is_valid() and attempt(
        form,
        lambda: service.update(actor=request.user, cluster_id=pk, version=seen, **form.settings()),
    ):
        messages.success(request, _("The settings are saved."))
        return leave(request, "clusters:detail", pk)
    return _form_page(request, form, visible(request, pk))


@login_required
@require_http_methods(["GET", "POST"])
def maintenance(request: HttpRequest, pk: UUID) -> HttpResponse:
    cluster = visible(request, pk)
    access.require(request.user, cluster.organization_id)
    if request.method == "POST" and "end" in request.POST:
        service.set_maintenance(actor=request.user, cluster_id=pk, enabled=False)
        messages.success(request, _("Maintenance ended. Publishes go out again."))
        return leave(request, "clusters:detail", pk)
    form, seen = MaintenanceForm(request.POST or None, cluster=cluster), versions.seen(request)
    if form.is_valid() and attempt(
        form,
        lambda: service.set_maintenance(
            actor=request.user, cluster_id=pk, enabled=True, version=seen, **form.terms()
        ),
    ):
        messages.success(request, _("%(name)s is in maintenance.") % {"name": cluster.name})
        return leave(request, "clusters:detail", pk)
    now = visible(request, pk)
    context = {"cluster": now, "form": form} | versions.conflict(
        request, form, now, lambda: _maintenance_now(now)
    )
    return _dialog(request, "clusters/maintenance.html", context, form)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    cluster = visible(request, pk)
    access.require(request.user, cluster.organization_id, Role.ADMIN)
    form = DeleteForm(request.POST or None, cluster=cluster)
    if form.is_valid() and attempt(form, lambda: service.delete(actor=request.user, cluster_id=pk)):
        messages.success(request, _("%(name)s is deleted.") % {"name": cluster.name})
        return leave(request, "clusters:list")
    agents, publishes = service.in_the_way(cluster)
    context = {"cluster": cluster, "form": form, "agents": agents, "publishes": publishes}
    return _dialog(request, "clusters/delete.html", context, form)


def _maintenance_now(cluster: Cluster) -> list[tuple[str, str]]:
    """What somebody else stored meanwhile, for components/theirs.html."""
    if not cluster.maintained:
        return [(_("Maintenance"), _("off"))]
    until = cluster.maintenance_until
    end = localize(timezone.localtime(until)) if until else _("when somebody ends it")
    return [(_("Reason"), cluster.maintenance_reason), (_("Ends"), end)]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None


def _edits_labels(request: HttpRequest) -> bool:
    return "add_label" in request.POST or "remove_label" in request.POST


def _form_page(
    request: HttpRequest, form: ClusterForm, cluster: Cluster | None = None
) -> HttpResponse:
    context = _form_context(request, form, cluster)
    status = 422 if form.errors else 200
    return page(request, FORM, "cluster-form", context, status)


def _form_context(
    request: HttpRequest, form: ClusterForm, cluster: Cluster | None = None
) -> dict[str, Any]:
    owner = cluster.organization if cluster else request.organization
    chosen = form["region"].value() or ""
    return {
        "form": form,
        "cluster": cluster,
        "regions": sorted({*regions.names(owner), *([cluster.region] if cluster else [])}),
        "region": chosen,
        "other": OTHER,
    } | versions.conflict(request, form, cluster, saves=not _edits_labels(request))


def _dialog(
    request: HttpRequest, template: str, context: dict[str, Any], form: Any
) -> HttpResponse:
    return page(request, template, "confirm", context, 422 if form.errors else 200)
