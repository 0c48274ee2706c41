"""Signing in and out, switching organization, API tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import lockout, notices, organizations, services, signins
from accounts.access import can
from accounts.forms import LoginForm, TokenForm
from accounts.models import ApiToken, Kind, Notice, Role
from core.envelope import error_response
from core.errors import DomainError
from core.htmx import add_error, wants_partial

PAGE_SIZE = 50
HOMES = {Kind.OPERATOR: "clusters:overview", Kind.PROVIDER: "publishing:overview"}


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The first page of the persona."""
    organization = request.organization
    if organization is not None and organization.kind in HOMES:
        return redirect(HOMES[organization.kind])
    return render(request, "accounts/welcome.html")


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(_next(request))
    form = LoginForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        user = authenticate(request, **form.cleaned_data)
        if user is not None:
            login(request, user)
            signins.session_started(user=user)
            return redirect(_next(request))
        if not lockout.is_locked(request):
            left = lockout.tries_left(request, form.cleaned_data["username"])
            return _login_page(request, form, left=left, status=422)
    return _login_page(request, form, status=422 if form.errors else 200)


def locked_out(
    request: HttpRequest, original: Any = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """What AxesMiddleware sends instead of the answer that failed."""
    said = lockout.message()
    if request.path.startswith("/api/"):
        answer: HttpResponse = error_response(429, "locked", said)
    else:
        answer = _login_page(request, LoginForm(request.POST), locked=said, status=429)
    answer["Retry-After"] = "900"
    return answer


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        signins.session_ended(user=request.user)
    logout(request)
    return redirect("accounts:login")


@login_required
@require_POST
def switch(request: HttpRequest) -> HttpResponse:
    """Work in another organization of mine."""
    organization = organizations.by_id(request.user, request.POST.get("organization", ""))
    if organization is None:
        raise Http404
    request.session[organizations.SESSION_KEY] = str(organization.pk)
    return redirect("home")


@login_required
@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember the language in the profile."""
    try:
        services.set_locale(actor=request.user, locale=request.POST.get("language", ""))
    except DomainError as error:
        messages.error(request, error.message)
    response = redirect(_next(request))
    # The login page after signing out speaks it too.
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        request.user.locale,
        max_age=31_536_000,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        samesite=settings.LANGUAGE_COOKIE_SAMESITE,
    )
    return response


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    form, secret = TokenForm(request.POST if request.method == "POST" else None), None
    if request.method == "POST" and form.is_valid():
        try:
            _token, secret = services.create_api_token(
                actor=request.user,
                organization_id=_organization_id(request),
                name=form.cleaned_data["name"],
                expires_at=_expiry(form.cleaned_data["lifetime"]),
            )
            form = TokenForm()
        except DomainError as error:
            add_error(form, error)
    status = 422 if form.errors else 200
    return _tokens_page(request, form, secret=secret, status=status)


@login_required
@require_POST
def revoke_token(request: HttpRequest, pk: UUID) -> HttpResponse:
    get_object_or_404(ApiToken.objects.visible_to(request.user), pk=pk)
    token = services.revoke_api_token(actor=request.user, token_id=pk)
    messages.success(request, _("“%(name)s” is revoked.") % {"name": token.name})
    return redirect("accounts:tokens")


@login_required
@require_safe
def notice_list(request: HttpRequest) -> HttpResponse:
    rows = Notice.objects.visible_to(request.user).filter(organization=request.organization)
    found = Paginator(rows.marked_for(request.user), PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "accounts/notices.html", {"page": found})


@login_required
@require_POST
def read_notice(request: HttpRequest, pk: UUID) -> HttpResponse:
    get_object_or_404(Notice.objects.visible_to(request.user), pk=pk)
    notices.mark_read(actor=request.user, notice_id=pk)
    return HttpResponse() if wants_partial(request) else redirect(_next(request))


def _tokens_page(
    request: HttpRequest, form: TokenForm, *, secret: str | None, status: int
) -> HttpResponse:
    organization = request.organization
    rows = ApiToken.objects.visible_to(request.user).filter(organization=organization)
    is_admin = organization is not None and can(request.user, organization.pk, Role.ADMIN)
    if not is_admin:
        rows = rows.filter(user=request.user)
    context = {
        "form": form,
        "tokens": rows.select_related("user"),
        "secret": secret,
        "shows_owner": is_admin,
    }
    template = "accounts/tokens.html" + ("#tokens" if wants_partial(request) else "")
    response = render(request, template, context, status=status)
    if secret:
        response["Cache-Control"] = "no-store"
    return response


def _login_page(request: HttpRequest, form: LoginForm, *, status: int, **more: Any) -> HttpResponse:
    context = {"form": form, "next": request.POST.get("next") or request.GET.get("next", "")} | more
    return render(request, "accounts/login.html", context, status=status)


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if safe else reverse("home")


def _expiry(days: int):
    return timezone.now() + timedelta(days=days) if days else None


def _organization_id(request: HttpRequest) -> UUID:
    if request.organization is None:
        raise Http404
    return request.organization.pk
