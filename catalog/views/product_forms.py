"""Describing and deleting a product."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import Case, Q, Value, When
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts import access
from accounts.models import Role
from catalog import stories
from catalog.forms.products import ProductForm, chosen
from catalog.models import ApiService, Product
from catalog.services import logos
from catalog.services import products as service
from catalog.views.shared import creating_in, delete_page, visible
from core import versions
from core.htmx import attempt, leave, page, wants_partial

FORM = "catalog/products/form.html"
OFFERED = 50  # services; those that are ticked are shown beside them


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    organization = creating_in(request)
    if _searches(request):
        return _services_page(request, organization)
    form = ProductForm(request.POST, request.FILES) if request.method == "POST" else ProductForm()
    made: list[Product] = []

    def create() -> None:
        with transaction.atomic():
            row = service.create(
                actor=request.user,
                organization_id=organization.pk,
                service_ids=chosen(request.POST),
                **form.settings(),
            )
            made.append(_with_logo(request, form, row))

    if request.method == "POST" and _valid(request, form) and attempt(form, create):
        messages.success(request, _("%(name)s is created.") % {"name": made[-1].name})
        return leave(request, "catalog:product", made[-1].pk)
    return _form_page(request, form, organization, ticked=chosen(request.POST))


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    product = visible(request, Product, pk)
    access.require(request.user, product.organization_id)
    if _searches(request):
        return _services_page(request, product.organization, product)
    if request.method == "GET":
        ticked = list(product.services.values_list("pk", flat=True))
        form = ProductForm.of(product)
        return _form_page(request, form, product.organization, product, ticked=ticked)
    form, seen = ProductForm(request.POST, request.FILES), versions.seen(request)

    def update() -> None:
        with transaction.atomic():
            row = service.update(
                actor=request.user,
                product_id=pk,
                service_ids=chosen(request.POST),
                seen=seen,
                **form.settings(),
            )
            _with_logo(request, form, row)

    if _valid(request, form) and attempt(form, update):
        messages.success(request, _("The changes are saved. What is live stays as it is."))
        return leave(request, "catalog:product", pk)
    ticked, stored = chosen(request.POST), visible(request, Product, pk)
    return _form_page(request, form, product.organization, stored, ticked=ticked)


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    product = visible(request, Product, pk)
    access.require(request.user, product.organization_id, Role.ADMIN)
    return delete_page(
        request,
        product,
        "product",
        act=lambda: service.delete(actor=request.user, product_id=pk),
        users=lambda: {"publishes": list(stories.publishes(Product, product=product))},
        means=_("Its API services stay."),
        list_label=_("Products"),
    )


def _valid(request: HttpRequest, form: ProductForm) -> bool:
    """Somebody may have deleted a service while it was being ticked here."""
    ticked = set(chosen(request.POST))
    if ApiService.objects.visible_to(request.user).filter(pk__in=ticked).count() < len(ticked):
        form.add_error(
            None,
            _(
                "A service that you chose does not exist any more. The others are still chosen below."
            ),
        )
    return form.is_valid()


def _with_logo(request: HttpRequest, form: ProductForm, product: Product) -> Product:
    picture = form.picture()
    if picture is not None:
        return logos.put(actor=request.user, product_id=product.pk, data=picture)
    if form.cleaned_data["remove_logo"]:
        return logos.remove(actor=request.user, product_id=product.pk)
    return product


def _searches(request: HttpRequest) -> bool:
    """Somebody looks for services while the form is open; nothing is saved."""
    asks = request.htmx and request.htmx.target == "service-options"
    return request.method == "POST" and bool(asks or "find_services" in request.POST)


def _services_page(
    request: HttpRequest, organization: Any, product: Product | None = None
) -> HttpResponse:
    form, ticked = ProductForm.typed(request.POST), chosen(request.POST)
    context = _form_context(request, form, organization, product, ticked)
    return page(request, FORM, "service-options", context)


def _form_page(
    request: HttpRequest,
    form: ProductForm,
    organization: Any,
    product: Product | None = None,
    *,
    ticked: list[UUID],
) -> HttpResponse:
    context = _form_context(request, form, organization, product, ticked)
    return page(request, FORM, "product-form", context, 422 if form.errors else 200)


def _theirs(form: ProductForm, product: Product, ticked: list[UUID]) -> list[tuple[str, str]]:
    found = versions.differing(form, ProductForm.of(product))
    services = {row.pk: str(row) for row in product.services.all()}
    if set(services) != set(ticked):
        found.append((_("API services"), ", ".join(services.values())))
    return found


def _form_context(
    request: HttpRequest,
    form: ProductForm,
    organization: Any,
    product: Product | None,
    ticked: list[UUID],
) -> dict[str, Any]:
    asked = request.POST.get("service_search", "").replace("\x00", "").strip()[:100]
    rows = ApiService.objects.visible_to(request.user).filter(organization=organization)
    first = Case(When(pk__in=ticked, then=Value(0)), default=Value(1))
    fitting = rows.filter(
        Q(pk__in=ticked)
        | Q(name__icontains=asked)
        | Q(version__icontains=asked)
        | Q(base_path__icontains=asked)
    )
    total = fitting.count()
    options = list(fitting.order_by(first, "name", "version", "pk")[: OFFERED + len(ticked)])
    return {
        "form": form,
        "product": product,
        "options": options,
        "ticked": set(ticked),
        "service_search": asked,
        "found": any(row.pk not in ticked for row in options),
        "more_services": total - len(options),
        "partial": wants_partial(request),
    } | versions.conflict(
        request, form, product, lambda: _theirs(form, product, ticked), saves=not _searches(request)
    )
