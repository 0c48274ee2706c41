"""Routes, backends and policies of a service: each in a dialog, or on a page of its own without scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import access
from catalog.forms import policies as policy_forms
from catalog.forms.services import BackendForm, RouteForm
from catalog.models import ApiService, Backend, PolicyKind, Route
from catalog.services import backends, policies, routes
from catalog.views.shared import visible
from core.errors import DomainError, InvalidInput
from core.htmx import page, wants_partial


@login_required
@require_http_methods(["GET", "POST"])
def new_route(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _edited(
        request,
        _of_mine(request, pk),
        _form(request, RouteForm),
        _("Add a route"),
        lambda form: routes.create(actor=request.user, service_id=pk, **form.cleaned_data),
    )


@login_required
@require_http_methods(["GET", "POST"])
def edit_route(request: HttpRequest, pk: UUID) -> HttpResponse:
    route = _part(request, Route, pk)
    return _edited(
        request,
        route.service,
        _form(request, RouteForm, route),
        _("Edit the route"),
        lambda form: routes.update(actor=request.user, route_id=pk, **form.cleaned_data),
    )


@login_required
@require_http_methods(["GET", "POST"])
def remove_route(request: HttpRequest, pk: UUID) -> HttpResponse:
    route = _part(request, Route, pk)
    return _removed(
        request,
        route.service,
        _("Remove the route %(part)s?") % {"part": route},
        lambda: routes.delete(actor=request.user, route_id=pk),
    )


@login_required
@require_http_methods(["GET", "POST"])
def new_backend(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _edited(
        request,
        _of_mine(request, pk),
        _form(request, BackendForm),
        _("Add a backend"),
        lambda form: backends.create(actor=request.user, service_id=pk, **form.cleaned_data),
    )


@login_required
@require_http_methods(["GET", "POST"])
def edit_backend(request: HttpRequest, pk: UUID) -> HttpResponse:
    backend = _part(request, Backend, pk)
    return _edited(
        request,
        backend.service,
        _form(request, BackendForm, backend),
        _("Edit the backend"),
        lambda form: backends.update(actor=request.user, backend_id=pk, **form.cleaned_data),
    )


@login_required
@require_http_methods(["GET", "POST"])
def remove_backend(request: HttpRequest, pk: UUID) -> HttpResponse:
    backend = _part(request, Backend, pk)
    return _removed(
        request,
        backend.service,
        _("Remove the backend %(part)s?") % {"part": backend},
        lambda: backends.delete(actor=request.user, backend_id=pk),
    )


@login_required
@require_http_methods(["GET", "POST"])
def put_policy(request: HttpRequest, pk: UUID, kind: str) -> HttpResponse:
    """Adding and editing are one: a service has at most one of each kind."""
    service = _of_mine(request, pk)
    if kind not in policy_forms.FORMS:
        raise Http404
    there = service.policies.filter(kind=kind).first()
    return _edited(
        request,
        service,
        _form(request, policy_forms.FORMS[kind], there.config if there else None),
        str(PolicyKind(kind).label),
        lambda form: policies.put(
            actor=request.user, service_id=pk, kind=kind, config=form.config()
        ),
    )


@login_required
@require_http_methods(["GET", "POST"])
def remove_policy(request: HttpRequest, pk: UUID, kind: str) -> HttpResponse:
    service = _of_mine(request, pk)
    policy = get_object_or_404(service.policies, kind=kind)
    return _removed(
        request,
        service,
        _("Remove the policy “%(part)s”?") % {"part": policy.get_kind_display()},
        lambda: policies.delete(actor=request.user, service_id=pk, kind=kind),
    )


def _form(request: HttpRequest, form_class: Any, there: Any = None) -> Any:
    if request.method == "POST":
        return form_class(request.POST)
    return form_class() if there is None else form_class.of(there)


def _of_mine(request: HttpRequest, pk: UUID) -> ApiService:
    service = visible(request, ApiService, pk)
    access.require(request.user, service.organization_id)
    return service


def _part(request: HttpRequest, model: Any, pk: UUID) -> Any:
    rows = model.objects.visible_to(request.user).select_related("service__organization")
    row = get_object_or_404(rows, pk=pk)
    access.require(request.user, row.service.organization_id)
    return row


def _edited(
    request: HttpRequest, service: ApiService, form: Any, title: str, act: Callable[[Any], object]
) -> HttpResponse:
    if request.method == "POST" and form.is_valid() and _agreed(form, act):
        return _done(request, service, _("Saved. It counts from the next publish."))
    context = {"service": service, "form": form, "title": title}
    status = 422 if form.errors else 200
    return page(request, "catalog/services/part.html", "confirm", context, status)


def _removed(
    request: HttpRequest, service: ApiService, title: str, act: Callable[[], object]
) -> HttpResponse:
    if request.method == "POST":
        act()
        return _done(request, service, _("Removed. It counts from the next publish."))
    context = {"service": service, "title": title}
    return page(request, "catalog/services/remove.html", "confirm", context)


def _agreed(form: Any, act: Callable[[Any], object]) -> bool:
    try:
        act(form)
    except InvalidInput as error:
        form.add_error(*_placed(form, error))
    except DomainError as error:
        form.add_error(None, error.message)
    return not form.errors


def _placed(form: Any, error: InvalidInput) -> tuple[str | None, str]:
    """The field, and the line in it: "config.allow_origins.1" is line 2 of allow_origins."""
    name, _dot, rest = error.field.removeprefix("config.").partition(".")
    name = policy_forms.PLACES.get(name, name)
    if name not in form.fields:
        return None, error.message
    if rest.isdecimal():
        words = _("Line %(number)d: %(message)s")
        return name, words % {"number": int(rest) + 1, "message": error.message}
    return name, error.message


def _done(request: HttpRequest, service: ApiService, said: str) -> HttpResponse:
    """The dialog closes, the page behind it reads itself again."""
    if wants_partial(request):
        response = render(request, "catalog/services/_done.html", {"said": said})
        response["HX-Trigger"] = "pulse"
        return response
    messages.success(request, said)
    return redirect("catalog:service", service.pk)
