"""What people do with a publish: each asks first, and shows a refusal where it was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts import access
from accounts.models import Role
from core.errors import DomainError
from core.htmx import leave, page
from publishing import services as service
from publishing import stories
from publishing.compile import definition_of
from publishing.forms.actions import PublishForm, RollBackForm, WaiveForm, WithdrawForm
from publishing.models import Deployment
from publishing.services import revisions
from publishing.services.publishes import OPEN_SUBSCRIPTION
from publishing.states import Kind
from publishing.views.browse import deployment_context, detail_context, revision_context
from publishing.views.shared import attempt, explain, told, typed


@login_required
@require_http_methods(["GET", "POST"])
def publish(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show what it changes and for whom, ask once, take a note, then send it to the cluster."""
    row = _writable(request, pk)
    form = PublishForm(typed(request))
    if form.is_valid() and _started(
        request,
        form,
        lambda: service.publish(actor=request.user, publish_id=pk, **form.cleaned_data),
    ):
        return redirect("publishing:detail", pk)
    definition = definition_of(row)
    context = stories.head(row) | {
        "form": form,
        "pending": revisions.pending(row, definition=definition),
        "affected": revisions.affected(row),
        "refusal": None
        if form.is_bound
        else revisions.refusal(row, actor=request.user, definition=definition),
    }
    return render(request, "publishing/confirm_publish.html", context, status=_status(form))


@login_required
@require_http_methods(["GET", "POST"])
def withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask with what it means for subscribers, then take it off the gateways."""
    row = _writable(request, pk)
    form = WithdrawForm(typed(request))
    if form.is_valid() and _started(
        request,
        form,
        lambda: service.withdraw(actor=request.user, publish_id=pk, **form.cleaned_data),
        kind=Kind.WITHDRAW,
    ):
        return redirect("publishing:detail", pk)
    context = stories.head(row) | {"form": form, "affected": revisions.affected(row)}
    return render(request, "publishing/confirm_withdraw.html", context, status=_status(form))


@login_required
@require_POST
def roll_back(request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
    """The page of the revision asks; this sends it."""
    _writable(request, pk)
    form = RollBackForm(request.POST)
    if form.is_valid() and _started(
        request,
        form,
        lambda: service.roll_back(
            actor=request.user, publish_id=pk, revision=number, **form.cleaned_data
        ),
    ):
        return redirect("publishing:detail", pk)
    context = revision_context(request, pk, number) | {"form": form}
    return render(request, "publishing/revision.html", context, status=422)


@login_required
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    deployment = get_object_or_404(Deployment.objects.visible_to(request.user), pk=pk)
    return _at_once(
        request,
        deployment.publish_id,
        lambda: service.cancel(actor=request.user, deployment_id=pk),
        done=_("The deployment is cancelled. What was live stays."),
    )


@login_required
@require_POST
def restore(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have the agents repair what differs from what is live, now."""
    return _at_once(
        request,
        pk,
        lambda: service.restore(actor=request.user, publish_id=pk),
        done=_("The agents are told to compare their gateways and repair what differs."),
    )


@login_required
@require_http_methods(["GET", "POST"])
def waive(request: HttpRequest, pk: UUID, agent_pk: UUID) -> HttpResponse:
    """Let a withdrawal go on without an agent that is away. Its name is typed."""
    context = deployment_context(request, pk)
    row = context["deployment"]
    access.require(request.user, context["publish"].organization_id, Role.ADMIN)
    verdict = get_object_or_404(row.verdicts.select_related("agent"), agent=agent_pk)
    form = WaiveForm(typed(request), agent=verdict.agent.name)
    if form.is_valid() and attempt(
        form,
        lambda: service.waive(
            actor=request.user, deployment_id=pk, agent_id=agent_pk, **form.cleaned_data
        ),
    ):
        messages.success(
            request,
            _("The withdrawal no longer waits for %(name)s.") % {"name": verdict.agent.name},
        )
        return leave(request, "publishing:detail", row.publish_id)
    context |= {"form": form, "agent": verdict.agent}
    return page(request, "publishing/waive.html", "confirm", context, _status(form))


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = told(request, pk)
    access.require(request.user, row.organization_id, Role.ADMIN)
    form = Form(typed(request))
    if form.is_valid() and attempt(form, lambda: service.delete(actor=request.user, publish_id=pk)):
        messages.success(request, _("The publish is deleted."))
        return leave(request, "publishing:list")
    subscribed = row.subscriptions.filter(status__in=OPEN_SUBSCRIPTION).count()
    context = stories.head(row) | {"form": form, "subscribed": subscribed}
    return page(request, "publishing/delete.html", "confirm", context, _status(form))


def _writable(request: HttpRequest, pk: UUID) -> Any:
    """A stranger gets the 404, and a viewer the 403, before anything is read."""
    row = told(request, pk)
    if not stories.may_work(row):
        raise PermissionDenied
    return row


def _started(
    request: HttpRequest, form: Any, act: Callable[[], object], *, kind: Kind = Kind.PUBLISH
) -> bool:
    """Whether it is under way: a second click finds its own first one. What others began is told."""
    try:
        act()
    except DomainError as error:
        if error.code == "deployment_started_meanwhile":
            mine = Deployment.objects.filter(requested_by=request.user, kind=kind)
            if mine.filter(pk=error.details["deployment_id"]).exists():
                return True
        explain(form, error)
        return False
    return True


def _at_once(
    request: HttpRequest, publish_pk: UUID, act: Callable[[], object], *, done: str
) -> HttpResponse:
    """Asked by the button itself; a refusal stands on the page of the publish."""
    told(request, publish_pk)
    try:
        act()
    except DomainError as error:
        context = detail_context(request, publish_pk) | {"refusal": error.message}
        return render(request, "publishing/detail.html", context, status=error.status)
    messages.success(request, done)
    return redirect("publishing:detail", publish_pk)


def _status(form: Any) -> int:
    return 422 if form.errors else 200
