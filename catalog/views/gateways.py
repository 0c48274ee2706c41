"""The list of gateways, the page of one, and what its provider changes there."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from accounts import access
from accounts.models import Role
from catalog import stories
from catalog.filters import GatewayFilter
from catalog.forms.gateways import GatewayForm
from catalog.models import Certificate, Gateway
from catalog.services import gateways as service
from catalog.views.shared import creating_in, delete_page, may_create, mine, rights, visible
from core import versions
from core.errors import DomainError, InvalidInput
from core.filters import listing
from core.htmx import leave, page, shared_page

FORM = "catalog/gateways/form.html"
ORDERS = {
    "name": (gettext_lazy("By name"), ["name", "pk"]),
    "used": (gettext_lazy("Most used first"), ["-publish_count", "name", "pk"]),
    "changed": (gettext_lazy("Changed last first"), ["-updated_at", "pk"]),
}


@login_required
@require_safe
@shared_page("catalog/gateways/list.html", "gateway-rows")
def gateways(request: HttpRequest) -> dict[str, Any]:
    rows = mine(request, stories.gateway_rows())
    chosen = GatewayFilter(request.GET, rows, request=request)
    return listing(request, chosen, ORDERS) | {"may_create": may_create(request)}


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    rows = Gateway.objects.visible_to(request.user).select_related("organization")
    gateway: Any = get_object_or_404(rows, pk=pk)
    publishes = list(stories.publishes(Gateway, gateway=gateway)[: stories.USES + 1])
    context = {
        "gateway": gateway,
        "listeners": list(gateway.listeners.select_related("certificate")),
        "publishes": publishes[: stories.USES],
        "more_publishes": len(publishes) > stories.USES,
        "live": sum(row.status == "PUBLISHED" for row in publishes),
    } | rights(request, gateway)
    return page(request, "catalog/gateways/detail.html", "gateway-live", context)


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    organization = creating_in(request)
    if _edits_rows(request):
        return _form_page(request, GatewayForm.typed(request.POST), organization, part="listeners")
    form = GatewayForm(request.POST if request.method == "POST" else None)
    made: list[Gateway] = []
    if form.is_valid() and _attempt(
        form,
        lambda: made.append(
            service.create(actor=request.user, organization_id=organization.pk, **form.cleaned_data)
        ),
    ):
        messages.success(request, _("%(name)s is created.") % {"name": made[0].name})
        return leave(request, "catalog:gateway", made[0].pk)
    return _form_page(request, form, organization)


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    gateway = visible(request, Gateway, pk)
    owner = gateway.organization
    access.require(request.user, gateway.organization_id)
    if _edits_rows(request):
        form = GatewayForm.typed(request.POST)
        return _form_page(request, form, owner, gateway, part="listeners")
    if request.method == "GET":
        return _form_page(request, GatewayForm.of(gateway), owner, gateway)
    form, seen = GatewayForm(request.POST), versions.seen(request)
    if form.is_valid() and _attempt(
        form,
        lambda: service.update(actor=request.user, gateway_id=pk, seen=seen, **form.cleaned_data),
    ):
        messages.success(request, _("The changes are saved. What is live stays as it is."))
        return leave(request, "catalog:gateway", pk)
    return _form_page(request, form, owner, visible(request, Gateway, pk))


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    gateway = visible(request, Gateway, pk)
    access.require(request.user, gateway.organization_id, Role.ADMIN)
    return delete_page(
        request,
        gateway,
        "gateway",
        act=lambda: service.delete(actor=request.user, gateway_id=pk),
        users=lambda: {"publishes": list(stories.publishes(Gateway, gateway=gateway))},
        means=_("Its listeners go with it. Certificates stay."),
        list_label=_("Gateways"),
    )


def _attempt(form: GatewayForm, act: Any) -> bool:
    """As core.htmx.attempt, with the refusals of rows in their rows."""
    try:
        act()
    except InvalidInput as error:
        form.refuse(error.field, error.message)
        return False
    except DomainError as error:
        form.add_error(None, error.message)
        return False
    return True


def _edits_rows(request: HttpRequest) -> bool:
    return "add_listener" in request.POST or "remove_listener" in request.POST


def _form_page(
    request: HttpRequest,
    form: GatewayForm,
    organization: Any,
    gateway: Gateway | None = None,
    *,
    part: str = "gateway-form",
) -> HttpResponse:
    ours = Certificate.objects.visible_to(request.user).filter(organization=organization)
    context = {
        "form": form,
        "gateway": gateway,
        "certificates": ours.defer("chain", "sealed_key"),
        "live": gateway.publishes.filter(status="PUBLISHED").count() if gateway else 0,
    } | versions.conflict(request, form, gateway, saves=not _edits_rows(request))
    return page(request, FORM, part, context, 422 if form.errors else 200)
