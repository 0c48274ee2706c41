"""Four steps from a product to a publish. What is typed is kept in a draft, at every change."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import Role
from catalog.models import Product
from core.errors import DomainError
from core.htmx import wants_partial
from publishing import wizard as story
from publishing.forms.settings import FORMS, SettingsForm, StepForm
from publishing.models import PublishDraft
from publishing.services import drafts
from publishing.services.drafts import DraftChanged
from publishing.states import DraftStep
from publishing.stories import role_of
from publishing.views.shared import explain

TAB_BYTES = 8


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def wizard(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    product = _product(request, pk)
    if request.method == "POST":
        return _answer(request, product)
    draft = drafts.of(request.user, pk)
    furthest = drafts.reached(draft)
    asked = request.GET.get("step", "")
    if asked and (asked not in DraftStep.values or _after(asked, furthest)):
        return redirect(_address(pk, furthest))
    step = DraftStep(asked or _resumed(draft, furthest))
    return _page(request, product, draft, step, form=_form(step, draft))


@login_required
@require_POST
def discard(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The wizard's "Discard draft"; gone already is as good."""
    _product(request, pk)
    try:
        drafts.discard(actor=request.user, product_id=pk)
    except DraftChanged:
        messages.info(request, _("There was no draft any more."))
    else:
        messages.success(request, _("The draft is discarded."))
    return redirect("publishing:list")


def _answer(request: HttpRequest, product: Product) -> HttpResponseBase:
    """`go` says what the button meant: keep (by itself, while typing), a step back, create, or on."""
    step, go = request.POST.get("step", ""), request.POST.get("go", "")
    if step not in DraftStep.values:
        raise Http404
    try:
        if step == DraftStep.REVIEW:
            return _leave_review(request, product, go)
        form = FORMS[step](request.POST)
        if step == DraftStep.CLUSTER and (go == "find" or "page" in request.POST):
            return _look(request, product, form)
        if go == "keep" or go in DraftStep.values:
            _save(request, product, step, form, advance=False, leave=go != "keep")
            if go == "keep":
                return HttpResponse(status=204)
            return redirect(_address(product.pk, go))
        return _advance(request, product, DraftStep(step), form)
    except DraftChanged as changed:
        # What a tab keeps by itself is not worth a word: its next button tells.
        return HttpResponse(status=204) if go == "keep" else _conflict(request, product, changed)


def _look(request: HttpRequest, product: Product, form: StepForm) -> HttpResponseBase:
    """Search and pages of the clusters without JavaScript. What is ticked goes along in the draft."""
    if form.is_valid():
        _save(request, product, DraftStep.CLUSTER, form, advance=False)
    asked = {name: request.POST.get(name, "") for name in ("search", "page")}
    query = urlencode({name: value for name, value in asked.items() if value})
    return redirect(f"{_address(product.pk, DraftStep.CLUSTER)}&{query}#clusters")


def _advance(
    request: HttpRequest, product: Product, step: DraftStep, form: StepForm
) -> HttpResponseBase:
    if form.is_valid() and _agrees(form, lambda: _save(request, product, step, form, advance=True)):
        return redirect(_address(product.pk, _next(step)))
    draft = drafts.of(request.user, product.pk)
    return _page(request, product, draft, step, form=form, status=422)


def _leave_review(request: HttpRequest, product: Product, go: str) -> HttpResponseBase:
    if go != "create":
        return redirect(_address(product.pk, go if go in DraftStep.values else DraftStep.REVIEW))
    form = StepForm({})
    made: list[Any] = []
    if _agrees(
        form,
        lambda: made.append(
            drafts.create(actor=request.user, product_id=product.pk, **_written(request))
        ),
    ):
        messages.success(
            request, _("The publish is created. Nothing has changed on a gateway yet.")
        )
        return redirect("publishing:detail", made[0].pk)
    draft = drafts.of(request.user, product.pk)
    return _page(request, product, draft, DraftStep.REVIEW, form=form, status=422)


def _save(
    request: HttpRequest,
    product: Product,
    step: str,
    form: StepForm,
    *,
    advance: bool,
    leave: bool = True,
) -> None:
    saved = drafts.save(
        actor=request.user,
        product_id=product.pk,
        step=step,
        answers=form.typed(),
        advance=advance,
        leave=leave,
        **_written(request),
    )
    if saved.dropped:
        messages.warning(
            request,
            _(
                "Gateway %(gateway)s is no longer chosen: no agent of this cluster can drive its "
                "class, %(class)s."
            )
            % {"gateway": saved.dropped.name, "class": saved.dropped.gateway_class},
        )


def _agrees(form: StepForm, act: Callable[[], object]) -> bool:
    """As `attempt`, but what another tab did is no matter of this form's fields."""
    try:
        act()
    except DraftChanged:
        raise
    except DomainError as error:
        explain(form, error)
        return False
    return True


def _conflict(request: HttpRequest, product: Product, changed: DraftChanged) -> HttpResponseBase:
    """What was typed stays in the form; a second click means it, and says so to the new version."""
    step = DraftStep(request.POST["step"])
    if changed.draft is None:
        messages.info(request, changed.message)
        return redirect("publishing:list")
    form = FORMS[step](request.POST) if step in FORMS else StepForm({})
    return _page(request, product, changed.draft, step, form=form, status=409, theirs=changed.draft)


def _page(
    request: HttpRequest,
    product: Product,
    draft: PublishDraft | None,
    step: DraftStep,
    *,
    form: StepForm,
    status: int = 200,
    theirs: PublishDraft | None = None,
) -> HttpResponse:
    look = request.POST if request.method == "POST" else request.GET
    context = story.tell(request.user, product, draft, step, look) | {
        "form": form,
        "chosen": form.typed()
        if form.is_bound and step in FORMS
        else (draft.data if draft else {}),
        "version": draft.version if draft else 0,
        "tab": secrets.token_hex(TAB_BYTES),
        "theirs": theirs,
        "address": reverse("publishing:wizard", args=[product.pk]),
    }
    if wants_partial(request) and step == DraftStep.CLUSTER:
        return render(request, "publishing/wizard/cluster.html#clusters", context)
    return render(request, "publishing/wizard.html", context, status=status)


def _product(request: HttpRequest, pk: UUID) -> Product:
    """A stranger gets the 404, a viewer the 403."""
    rows = Product.objects.visible_to(request.user).select_related("organization")
    product: Any = get_object_or_404(rows.annotate(role=role_of(request.user)), pk=pk)
    if product.role not in {Role.MEMBER, Role.ADMIN}:
        raise PermissionDenied
    return product


def _form(step: DraftStep, draft: PublishDraft | None) -> StepForm:
    data = draft.data if draft else {}
    if step == DraftStep.SETTINGS:
        return SettingsForm.of(data)
    return FORMS[step](initial=data) if step in FORMS else StepForm()


def _written(request: HttpRequest) -> dict[str, Any]:
    version = request.POST.get("version", "")
    return {
        "version": int(version) if version.isascii() and version.isdigit() else 0,
        "writer": request.POST.get("tab", "")[: TAB_BYTES * 2],
    }


def _resumed(draft: PublishDraft | None, furthest: DraftStep) -> DraftStep:
    """Where one was, unless an answer is missing by now."""
    if draft is None or _after(draft.step, furthest):
        return furthest
    return DraftStep(draft.step)


def _after(step: str, furthest: str) -> bool:
    return drafts.STEPS.index(DraftStep(step)) > drafts.STEPS.index(DraftStep(furthest))


def _next(step: DraftStep) -> DraftStep:
    return drafts.STEPS[drafts.STEPS.index(step) + 1]


def _address(pk: UUID, step: str) -> str:
    return f"{reverse('publishing:wizard', args=[pk])}?step={step}"
