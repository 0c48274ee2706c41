"""Who asks to call the provider's publishes, and what the provider says to it, to one or many at once."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import access
from accounts.models import Kind
from catalog.models import Product
from core.errors import InvalidInput
from core.filters import listing, segments
from core.htmx import add_error, leave, page, shared_page
from core.pages import terms
from subscriptions.filters import SubscriptionFilter
from subscriptions.forms import ReasonForm
from subscriptions.models import Subscription, SubscriptionQuerySet
from subscriptions.services import bulk
from subscriptions.services.bulk import Result, Verb
from subscriptions.states import Status

NAMED = 5  # refusals that a notice spells out
UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ORDERS = {
    "attention": (gettext_lazy("Requests first"), ["rank", "-created_at", "pk"]),
    "newest": (gettext_lazy("Newest first"), ["-created_at", "pk"]),
    "oldest": (gettext_lazy("Oldest first"), ["created_at", "pk"]),
    "consumer": (
        gettext_lazy("By consumer"),
        ["application__organization__name", "application__name", "pk"],
    ),
}
RANK = Case(
    When(status=Status.PENDING, then=Value(0)),
    When(status__in=[Status.ACTIVE, Status.SUSPENDED], then=Value(1)),
    default=Value(2),
)


@login_required
@require_safe
@shared_page("subscriptions/requests/list.html", "request-rows")
def subscriptions(request: HttpRequest) -> dict[str, Any]:
    rows = _mine(request)
    told = rows.listed("application__organization__name", "publish__cluster__name").annotate(
        rank=RANK
    )
    chosen = SubscriptionFilter(request.GET, told, request=request)
    back = terms(request, "ids").rstrip("&")
    context = listing(request, chosen, ORDERS, besides="ids") | {
        "segments": segments(request, chosen, rows, Status, besides="ids"),
        "products": lambda: _products(rows),  # not for the part that a pulse reads
        # The boxes that are ticked while the list reads itself again.
        "ticked": set(_ids(request.GET)),
        "back": back,
        "quoted": quote(back, safe="/"),
        "may_work": _may_work(request),
    }
    context["some_wait"] = any(row.status == Status.PENDING for row in context["page"])
    return context


@login_required
@require_POST
def approve(request: HttpRequest) -> HttpResponse:
    return _decide(request, Verb.APPROVE)


@login_required
@require_POST
def resume(request: HttpRequest) -> HttpResponse:
    return _decide(request, Verb.RESUME)


@login_required
@require_http_methods(["GET", "POST"])
def reject(request: HttpRequest) -> HttpResponse:
    return _ask(request, Verb.REJECT)


@login_required
@require_http_methods(["GET", "POST"])
def suspend(request: HttpRequest) -> HttpResponse:
    return _ask(request, Verb.SUSPEND)


def _ask(request: HttpRequest, verb: Verb) -> HttpResponse:
    """For the reason, once for all that are chosen."""
    _require_work(request)
    values = request.POST if request.method == "POST" else request.GET
    ids = _ids(values)
    rows = list(
        _mine(request)
        .filter(pk__in=ids)
        .select_related("application__organization", "publish__product", "plan")
    )
    if not rows:
        messages.error(request, _("Choose at least one subscription."))
        return _back(request)
    form = ReasonForm(request.POST if "reason" in request.POST else None)
    if form.is_valid():
        try:
            return _tell(request, verb, _act(request, verb, **form.cleaned_data))
        except InvalidInput as error:
            add_error(form, error)
    context = {"form": form, "rows": rows, "verb": verb.value, "back": values.get("back", "")}
    status = 422 if form.errors else 200
    return page(request, "subscriptions/requests/reason.html", "confirm", context, status)


def _decide(request: HttpRequest, verb: Verb) -> HttpResponse:
    _require_work(request)
    try:
        return _tell(request, verb, _act(request, verb))
    except InvalidInput as error:
        messages.error(request, error.message)
        return _back(request)


def _act(request: HttpRequest, verb: Verb, **said: str) -> list[Result]:
    ids = _ids(request.POST)
    mine = set(_mine(request).filter(pk__in=ids).values_list("pk", flat=True))
    wanted = [row_id for row_id in ids if row_id in mine]
    return bulk.decide(actor=request.user, subscription_ids=wanted, verb=verb, **said)


def _tell(request: HttpRequest, verb: Verb, results: list[Result]) -> HttpResponse:
    """How many, and for each that could not be, which and why."""
    done = sum(result.ok for result in results)
    if done:
        messages.success(request, _done(verb, done) % {"count": done})
    wrong = [result for result in results if not result.ok]
    names = Subscription.objects.select_related("application__organization").in_bulk(
        [result.id for result in wrong]
    )
    for result in wrong[:NAMED]:
        messages.error(request, f"{_name(names.get(result.id))}: {result.message}")
    if (more := len(wrong) - NAMED) > 0:
        said = ngettext("%(count)d more was refused.", "%(count)d more were refused.", more)
        messages.error(request, said % {"count": more})
    return _back(request)


def _name(subscription: Subscription | None) -> str:
    if subscription is None:
        return _("A subscription")
    application = subscription.application
    return f"{application.organization} · {application}"


def _done(verb: Verb, count: int) -> str:
    if verb == Verb.APPROVE:
        return ngettext("%(count)d request is approved.", "%(count)d requests are approved.", count)
    if verb == Verb.REJECT:
        return ngettext("%(count)d request is rejected.", "%(count)d requests are rejected.", count)
    if verb == Verb.SUSPEND:
        return ngettext(
            "%(count)d subscription is suspended. Gateways refuse its keys.",
            "%(count)d subscriptions are suspended. Gateways refuse their keys.",
            count,
        )
    return ngettext(
        "%(count)d subscription is active again.",
        "%(count)d subscriptions are active again.",
        count,
    )


def _back(request: HttpRequest) -> HttpResponse:
    """To the list as it was narrowed. Only its terms come from the form, never an address."""
    terms = request.POST.get("back") or request.GET.get("back") or ""
    path = reverse("subscriptions:requests")
    return leave(request, f"{path}?{terms[:500]}" if terms else path)


def _ids(values: Any) -> list[UUID]:
    """The row whose own button was pressed, else all that are ticked."""
    given = [values["only"]] if values.get("only") else values.getlist("ids")
    return [UUID(value) for value in given[: bulk.MOST] if UUID_TEXT.fullmatch(value)]


def _mine(request: HttpRequest) -> SubscriptionQuerySet:
    """To the publishes of the organization that the request works in."""
    organization = request.organization
    rows = Subscription.objects.provided_by(request.user)
    return rows.filter(publish__organization=organization) if organization else rows.none()


def _products(rows: QuerySet[Subscription]) -> list[tuple[UUID, str]]:
    """What somebody subscribed to: the choices of the filter."""
    found = Product.objects.filter(pk__in=rows.order_by().values("publish__product")).values_list(
        "pk", "name", "version"
    )
    return [(key, f"{name} v{version}") for key, name, version in found]


def _may_work(request: HttpRequest) -> bool:
    organization = request.organization
    return bool(
        organization
        and organization.kind == Kind.PROVIDER
        and access.works_in(request.user, organization)
    )


def _require_work(request: HttpRequest) -> None:
    if request.organization is None or request.organization.kind != Kind.PROVIDER:
        raise PermissionDenied(_("Subscriptions are decided by provider organizations."))
    access.require(request.user, request.organization.pk)
