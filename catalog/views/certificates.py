"""TLS certificates: uploaded, replaced in place. No page ever shows a private key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from accounts import access
from accounts.models import Role
from catalog.forms.gateways import CertificateForm, RenameForm
from catalog.models import Certificate
from catalog.services import certificates as service
from catalog.views.shared import creating_in, delete_page, may_create, mine, rights, visible
from core.htmx import attempt, leave, page, shared_page
from core.pages import PAGE_SIZE, page_of, terms

FORM = "catalog/certificates/form.html"


@login_required
@require_safe
@shared_page("catalog/certificates/list.html", "certificate-rows")
def certificates(request: HttpRequest) -> dict[str, Any]:
    """Those that end first, first."""
    rows = mine(request, Certificate.objects).defer("chain", "sealed_key")
    search = request.GET.get("search", "").replace("\x00", "").strip()[:100]
    if search:
        rows = rows.filter(name__icontains=search) | rows.filter(hosts__icontains=search)
    found = rows.prefetch_related("listeners__gateway").order_by("not_after", "name", "pk")
    return {
        "page": page_of(request, found),
        "search": search,
        "query": terms(request, "page"),
        "may_create": may_create(request),
    }


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = visible(request, Certificate, pk)
    return page(
        request, "catalog/certificates/detail.html", "certificate-live", _story(request, row)
    )


@sensitive_post_parameters("private_key")
@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    organization = creating_in(request)
    form = CertificateForm(request.POST, request.FILES) if _sent(request) else CertificateForm()
    made: list[Certificate] = []
    if form.is_valid() and attempt(
        form,
        lambda: made.append(
            service.upload(actor=request.user, organization_id=organization.pk, **form.cleaned_data)
        ),
    ):
        messages.success(request, _("%(name)s is uploaded.") % {"name": made[0].name})
        return leave(request, "catalog:certificate", made[0].pk)
    return _form_page(request, form)


@sensitive_post_parameters("private_key")
@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def replace(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = visible(request, Certificate, pk)
    access.require(request.user, row.organization_id)
    sent = (request.POST, request.FILES) if _sent(request) else ()
    form = CertificateForm(*sent, replaces=row)
    if form.is_valid() and attempt(
        form,
        lambda: service.replace(actor=request.user, certificate_id=pk, **form.cleaned_data),
    ):
        messages.success(
            request, _("The certificate is replaced. Gateways take it over without a new publish.")
        )
        return leave(request, "catalog:certificate", pk)
    return _form_page(request, form, row)


@login_required
@require_http_methods(["GET", "POST"])
def rename(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = visible(request, Certificate, pk)
    access.require(request.user, row.organization_id)
    form = RenameForm(request.POST if _sent(request) else None, initial={"name": row.name})
    if form.is_valid() and attempt(
        form,
        lambda: service.rename(actor=request.user, certificate_id=pk, **form.cleaned_data),
    ):
        return leave(request, "catalog:certificate", pk)
    context = {"form": form, "certificate": row}
    status = 422 if form.errors else 200
    return page(request, "catalog/certificates/rename.html", "confirm", context, status)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    row = visible(request, Certificate, pk)
    access.require(request.user, row.organization_id, Role.ADMIN)
    return delete_page(
        request,
        row,
        "certificate",
        act=lambda: service.delete(actor=request.user, certificate_id=pk),
        users=lambda: {
            "publishes": list(service.publishes_served_with(row)),
            "gateways": sorted({str(each.gateway) for each in _listeners(row)}),
        },
        means=_("The certificate and its private key are gone for good."),
        list_label=_("Certificates"),
    )


def _story(request: HttpRequest, row: Certificate) -> dict[str, Any]:
    return {
        "certificate": row,
        "listeners": list(_listeners(row)),
        "publishes": list(service.publishes_served_with(row)[:PAGE_SIZE]),
    } | rights(request, row)


def _listeners(row: Certificate) -> Any:
    return row.listeners.select_related("gateway").order_by("gateway__name", "port", "hostname")


def _sent(request: HttpRequest) -> bool:
    return request.method == "POST"


def _form_page(
    request: HttpRequest, form: CertificateForm, row: Certificate | None = None
) -> HttpResponse:
    if form.is_bound:
        form.forget_key()
    context = {"form": form, "certificate": row}
    return page(request, FORM, "certificate-form", context, 422 if form.errors else 200)
