"""What the shell of every page shows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString

from accounts import navigation
from accounts.access import works_in
from accounts.models import Notice, Organization
from core import answers

THEMES = {"light", "dark"}
NOTICES = 3


def shell(request: HttpRequest) -> dict[str, Any]:
    theme = request.COOKIES.get("theme", "")
    context: dict[str, Any] = {
        "theme": theme if theme in THEMES else "",
        "oidc_enabled": settings.OIDC_ENABLED,
    }
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated or request.path.startswith("/admin/"):
        return context
    organization = getattr(request, "organization", None)
    return context | {
        "organization": organization,
        "organizations": getattr(request, "organizations", []),
        "persona": organization.kind if organization else "",
        "may_write": organization is not None and works_in(user, organization),
        # Lazy: a partial does not show them.
        "navigation": SimpleLazyObject(lambda: _navigation(request, organization)),
        "notices": SimpleLazyObject(lambda: _notices(user, organization)),
    }


def _navigation(request: Any, organization: Organization | None) -> SafeString:
    def make() -> str:
        links = navigation.links(request, organization)
        return render_to_string("accounts/_navigation.html", {"links": links})

    sees, _roles = request.standing
    what = "navigation", sees, request.user.is_staff
    return SafeString(answers.shared(request, what, make, asks_again=False))


def _notices(user: Any, organization: Organization | None) -> list[Notice]:
    """What everybody here should know now and this reader has not put away."""
    if organization is None:
        return []
    rows = Notice.objects.filter(organization=organization)
    return list(rows.open().unread_by(user)[:NOTICES])
