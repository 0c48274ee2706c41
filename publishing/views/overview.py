"""The provider's first page."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from accounts.models import Kind
from core.htmx import shared_page
from publishing import overview


@login_required
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    organization = request.organization  # type: ignore[attr-defined]
    if organization is None or organization.kind != Kind.PROVIDER:
        return redirect("home")
    return _overview(request)


@shared_page("publishing/overview.html", "overview-live", roles=False)
def _overview(request: HttpRequest) -> dict[str, Any]:
    return {"overview": overview.of(request.organization)}  # type: ignore[attr-defined]
