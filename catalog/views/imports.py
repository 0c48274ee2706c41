"""OpenAPI documents: give one, look at what it would become, apply it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import access
from catalog.forms.services import ApplyForm, ImportForm
from catalog.models import ApiImport, ApiService, ImportStatus
from catalog.openapi import problems
from catalog.services import imports as service
from catalog.views.shared import creating_in, rights, visible
from core.errors import DomainError, InvalidInput
from core.htmx import leave, page

FORM = "catalog/services/import.html"
PREVIEW = "catalog/services/preview.html"
ROUTES = 100
NOTES = 100
KINDS = {
    "added": gettext_lazy("Added"),
    "changed": gettext_lazy("Changed"),
    "removed": gettext_lazy("Removed"),
    "kept": gettext_lazy("Unchanged"),
}


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    organization = creating_in(request)
    return _asked(request, organization.pk, None)


@login_required
@require_http_methods(["GET", "POST"])
def again(request: HttpRequest, pk: UUID) -> HttpResponse:
    """For a service that exists."""
    row = visible(request, ApiService, pk)
    access.require(request.user, row.organization_id)
    return _asked(request, row.organization_id, row)


@login_required
@require_safe
def preview(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _page(request, _visible(request, pk))


@login_required
@require_POST
def apply(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = _visible(request, pk)
    access.require(request.user, row.organization_id)
    form = ApplyForm(request.POST, renews=row.service_id is not None)
    if form.is_valid():
        try:
            made = service.apply(actor=request.user, import_id=pk, **form.settings())
        except DomainError as error:
            form.add_error(_place(form, error), error.message)
        else:
            messages.success(request, _done(row, made))
            return leave(request, "catalog:service", made.pk)
    return _page(request, _visible(request, pk), form)


@login_required
@require_POST
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = _visible(request, pk)
    access.require(request.user, row.organization_id)
    try:
        service.retry(actor=request.user, import_id=pk)
    except DomainError as error:
        messages.error(request, error.message)
    return leave(request, "catalog:import", pk)


@login_required
@require_http_methods(["GET", "POST"])
def discard(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = _visible(request, pk)
    access.require(request.user, row.organization_id)
    refusal = ""
    if request.method == "POST":
        try:
            service.discard(actor=request.user, import_id=pk)
        except DomainError as error:
            refusal = error.message
        else:
            messages.success(request, _("The import is discarded."))
            return leave(request, "catalog:services")
    context = {"row": row, "refusal": refusal}
    status = 422 if refusal else 200
    return page(request, "catalog/services/discard.html", "confirm", context, status)


def _done(row: ApiImport, made: ApiService) -> str:
    if row.service_id is None:
        return _("%(name)s is created.") % {"name": made.name}
    return _("The routes are changed. What is live stays as it is.")


def _asked(request: HttpRequest, organization_id: UUID, row: ApiService | None) -> HttpResponse:
    posted = request.method == "POST"
    form = ImportForm(request.POST, request.FILES) if posted else ImportForm()
    if form.is_valid():
        source = form.source()
        try:
            made = service.start(
                actor=request.user,
                organization_id=organization_id,
                service_id=row.pk if row else None,
                **source,
            )
        except DomainError as error:
            form.add_error(_place(form, error, is_file="file_name" in source), error.message)
        else:
            return leave(request, "catalog:import", made.pk)
    context = {"form": form, "service": row}
    return page(request, FORM, "import-form", context, 422 if form.errors else 200)


def _place(form: Any, error: DomainError, *, is_file: bool = False) -> str | None:
    """Which field of the form the refusal is about."""
    if not isinstance(error, InvalidInput):
        return None
    if is_file and error.field == "document":
        return "file"
    name = error.field.removeprefix("backends.0.")
    return name if name in form.fields else None


def _visible(request: HttpRequest, pk: UUID) -> Any:
    rows = ApiImport.objects.visible_to(request.user).defer("document")
    return get_object_or_404(rows.select_related("service", "organization", "created_by"), pk=pk)


def _page(request: HttpRequest, row: Any, form: ApplyForm | None = None) -> HttpResponse:
    context = {"row": row, "stuck": service.is_stuck(row)} | rights(request, row)
    if row.status == ImportStatus.FAILED:
        context["problem"] = problems.words(row.problem["code"], row.problem["details"])
    if row.status == ImportStatus.READY:
        context |= _proposal(request, row, form)
    status = 422 if form is not None and form.errors else 200
    return page(request, PREVIEW, "import-live", context, status)


def _proposal(request: HttpRequest, row: Any, form: ApplyForm | None) -> dict[str, Any]:
    """What applying would do, by kind of change and page."""
    found = service.changes_of(row)
    kind = request.GET.get("kind", "")
    rows = found.of(kind) if kind in KINDS else found.rows
    counts = found.counts
    skipped = [note for note in row.preview["notes"] if note["skipped"]]
    return {
        "form": form or ApplyForm(initial=_initial(row), renews=row.service is not None),
        "changes": found,
        "kind": kind if kind in KINDS else "",
        "kinds": [(name, label, counts[name]) for name, label in KINDS.items() if counts[name]],
        "rows": Paginator(rows, ROUTES).get_page(request.GET.get("page")),
        "query": f"kind={kind}&" if kind in KINDS else "",
        "skipped": _told(skipped),
        "remarks": _told([note for note in row.preview["notes"] if not note["skipped"]]),
        "more_notes": row.preview["note_count"] - len(row.preview["notes"]),
    }


def _told(notes: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {"where": note["where"], "reason": problems.reason(note["code"], note["details"])}
        for note in notes[:NOTES]
    ]


def _initial(row: Any) -> dict[str, Any]:
    said = row.preview
    backend = said["backends"][0] if said["backends"] else {}
    return {
        "name": said["name"],
        "version": said["version"],
        "base_path": said["base_path"],
        "remove_missing": True,
        **backend,
    }
