"""The list of API services, the page of one, and describing and deleting it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_safe

from accounts import access
from accounts.models import Role
from catalog import stories
from catalog.filters import ApiServiceFilter
from catalog.forms.services import ServiceForm
from catalog.models import (
    ApiImport,
    ApiService,
    Backend,
    ImportStatus,
    PolicyKind,
    Product,
    Route,
)
from catalog.services import apis as service_rules
from catalog.views.shared import creating_in, may_create, mine, rights, visible
from core import versions
from core.errors import DomainError
from core.filters import listing
from core.htmx import attempt, leave, page, shared_page
from core.pages import terms
from core.queries import count, prepared

FORM = "catalog/services/form.html"
ROUTES = 100  # on one page of the routes
WAITING = 5  # imports
USES = 50
ORDERS = {
    "name": (gettext_lazy("By name"), ["name", "version", "pk"]),
    "changed": (gettext_lazy("Changed last first"), ["-updated_at", "pk"]),
    "newest": (gettext_lazy("Newest first"), ["-created_at", "pk"]),
    "path": (gettext_lazy("By base path"), ["base_path", "pk"]),
}


@login_required
@require_safe
@shared_page("catalog/services/list.html", "service-rows")
def services(request: HttpRequest) -> dict[str, Any]:
    rows = mine(request, _counted())
    chosen = ApiServiceFilter(request.GET, rows, request=request)
    waiting = mine(request, ApiImport.objects).exclude(status=ImportStatus.APPLIED)
    return listing(request, chosen, ORDERS) | {
        "may_create": may_create(request),
        "waiting": waiting.defer("document").select_related("created_by", "service")[:WAITING],
    }


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = visible(request, ApiService, pk)
    return page(request, "catalog/services/detail.html", "service-live", story(request, service))


def story(request: HttpRequest, service: Any) -> dict[str, Any]:
    """Everything the page of one service tells. Its routes are read at once: 2,000 at most, in one query."""
    routes = list(service.routes.all())
    asked = request.GET.get("search", "").replace("\x00", "").strip()[:100]
    found = [row for row in routes if _fits(row, asked)]
    backends, policies = list(service.backends.all()), list(service.policies.all())
    held = {row.kind for row in policies}
    return {
        "service": service,
        "route_count": len(routes),
        "routes": Paginator(found, ROUTES).get_page(request.GET.get("page")),
        "asked": asked,
        "query": terms(request, "page"),
        "backends": backends,
        "weights": sum(row.weight for row in backends),
        "policies": policies,
        "kinds": [(kind.value, kind.label) for kind in PolicyKind if kind not in held],
        "products": list(service.products.all()),
    } | rights(request, service)


@login_required
@require_safe
def uses(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Where the service is live, and whether what is live is what is defined: asked for by itself, since
    that compiles each of them."""
    service = visible(request, ApiService, pk)
    publishes = list(stories.publishes(Product, product__services=service)[: USES + 1])
    context = {
        "service": service,
        "publishes": publishes[:USES],
        "more": len(publishes) > USES,
    } | rights(request, service)
    return page(request, "catalog/services/uses.html", "service-uses", context)


@login_required
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    organization = creating_in(request)
    form = ServiceForm(request.POST) if request.method == "POST" else ServiceForm()
    made: list[ApiService] = []
    if form.is_valid() and attempt(
        form,
        lambda: made.append(
            service_rules.create(
                actor=request.user, organization_id=organization.pk, **form.cleaned_data
            )
        ),
    ):
        messages.success(
            request, _("%(name)s is created. Add routes and a backend.") % {"name": made[0]}
        )
        return leave(request, "catalog:service", made[0].pk)
    return _form_page(request, form)


@login_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = visible(request, ApiService, pk)
    access.require(request.user, service.organization_id)
    if request.method == "GET":
        return _form_page(request, ServiceForm.of(service), service)
    form, seen = ServiceForm(request.POST), versions.seen(request)
    if form.is_valid() and attempt(
        form,
        lambda: service_rules.update(
            actor=request.user, service_id=pk, seen=seen, **form.cleaned_data
        ),
    ):
        messages.success(request, _("The changes are saved. What is live stays as it is."))
        return leave(request, "catalog:service", pk)
    return _form_page(request, form, visible(request, ApiService, pk))


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = visible(request, ApiService, pk)
    access.require(request.user, service.organization_id, Role.ADMIN)
    refusal = ""
    if request.method == "POST":
        try:
            service_rules.delete(actor=request.user, service_id=pk)
        except DomainError as error:
            refusal = error.message
        else:
            messages.success(request, _("%(name)s is deleted.") % {"name": service.name})
            return leave(request, "catalog:services")
    context = {"service": service, "products": list(service.products.all()), "refusal": refusal}
    status = 422 if refusal else 200
    return page(request, "catalog/services/delete.html", "confirm", context, status)


def _form_page(request: HttpRequest, form: ServiceForm, service: Any = None) -> HttpResponse:
    context = {"form": form, "service": service} | versions.conflict(request, form, service)
    return page(request, FORM, "service-form", context, 422 if form.errors else 200)


@prepared
def _counted() -> QuerySet[ApiService]:
    """With how many parts each has, and in how many products it is."""
    return ApiService.objects.annotate(
        route_count=count(Route.objects, "service"),
        backend_count=count(Backend.objects, "service"),
        product_count=count(Product.services.through.objects, "apiservice"),
    )


def _fits(route: Route, asked: str) -> bool:
    return asked.lower() in route.path.lower() or asked.upper() in route.methods
