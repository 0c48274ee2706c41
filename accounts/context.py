"""What the shell of every page shows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from accounts import navigation, organizations
from accounts.access import can
from accounts.models import Role

THEMES = {"light", "dark"}


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
        "organizations": organizations.choices(user),
        "persona": organization.kind if organization else "",
        "may_write": organization is not None and can(user, organization.pk, Role.MEMBER),
        "navigation": navigation.links(request, organization),
    }
