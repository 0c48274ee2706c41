"""The plans of a publish: what a subscription costs and allows."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from accounts import access
from accounts.models import Role
from core import versions
from core.errors import DomainError
from core.htmx import attempt, leave, page
from publishing.models import ProductPublish
from subscriptions.forms import PlanForm
from subscriptions.models import Plan
from subscriptions.services import plans as service
from subscriptions.states import OPEN

FORM = "subscriptions/plans/form.html"


@login_required
@require_safe
def plans(request: HttpRequest, pk: UUID) -> HttpResponse:
    publish = _publish(request, pk)
    held = access.role_in(request.user, publish.organization_id)
    rows = publish.plans.annotate(
        subscribers=Count("subscriptions", filter=Q(subscriptions__status__in=OPEN))
    )
    context = {
        "publish": publish,
        "plans": rows.order_by("price", "name", "pk"),
        "may_work": held in {Role.MEMBER, Role.ADMIN},
        "may_admin": held == Role.ADMIN,
    }
    return page(request, "subscriptions/plans/list.html", "plan-rows", context)


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, pk: UUID) -> HttpResponse:
    publish = _publish(request, pk)
    access.require(request.user, publish.organization_id)
    form = PlanForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and attempt(
        form,
        lambda: service.create(actor=request.user, publish_id=pk, **form.settings()),
    ):
        name = form.cleaned_data["name"]
        messages.success(request, _("The plan %(name)s is offered.") % {"name": name})
        return leave(request, "subscriptions:plans", pk)
    return _form_page(request, form, publish)


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    plan = _plan(request, pk)
    access.require(request.user, plan.publish.organization_id)
    form = PlanForm(request.POST) if request.method == "POST" else PlanForm.of(plan)
    seen = versions.seen(request)
    if form.is_valid() and attempt(
        form, lambda: service.update(actor=request.user, plan_id=pk, seen=seen, **form.settings())
    ):
        messages.success(request, _("The plan is saved. Subscribers keep their keys."))
        return leave(request, "subscriptions:plans", plan.publish_id)
    return _form_page(request, form, plan.publish, _plan(request, pk))


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    plan = _plan(request, pk)
    access.require(request.user, plan.publish.organization_id, Role.ADMIN)
    refusal = ""
    if request.method == "POST":
        try:
            service.delete(actor=request.user, plan_id=pk)
        except DomainError as error:
            refusal = error.message
        else:
            messages.success(request, _("The plan %(name)s is removed.") % {"name": plan.name})
            return leave(request, "subscriptions:plans", plan.publish_id)
    context = {
        "plan": plan,
        "publish": plan.publish,
        "subscribers": plan.subscriptions.filter(status__in=OPEN).count(),
        "refusal": refusal,
    }
    status = 422 if refusal else 200
    return page(request, "subscriptions/plans/delete.html", "confirm", context, status)


def _publish(request: HttpRequest, pk: UUID) -> ProductPublish:
    rows = ProductPublish.objects.visible_to(request.user).select_related("product", "cluster")
    return get_object_or_404(rows, pk=pk)


def _plan(request: HttpRequest, pk: UUID) -> Plan:
    rows = Plan.objects.visible_to(request.user)
    return get_object_or_404(rows.select_related("publish__product", "publish__cluster"), pk=pk)


def _form_page(
    request: HttpRequest, form: PlanForm, publish: ProductPublish, plan: Plan | None = None
) -> HttpResponse:
    context = {"form": form, "publish": publish, "plan": plan}
    context |= versions.conflict(request, form, plan)
    return page(request, FORM, "plan-form", context, 422 if form.errors else 200)
