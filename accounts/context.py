"""What the shell of every page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import organizations
from accounts.access import can
from accounts.models import Kind, Organization, Role

THEMES = {"light", "dark"}


@dataclass(frozen=True, slots=True)
class Link:
    label: str
    icon: str
    url: str
    current: bool
    heading: str = ""


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
        "navigation": _navigation(request, organization),
    }


def _navigation(request: HttpRequest, organization: Organization | None) -> list[Link]:
    """Only pages that exist."""
    kind = organization.kind if organization else None
    links = []
    if kind == Kind.OPERATOR:
        links.append(_link(request, _("Clusters"), "server-2", "clusters:list"))
    elif kind == Kind.PROVIDER:
        links.append(_link(request, _("Publishes"), "world-upload", "publishing:list"))
    else:
        links.append(_link(request, _("Start"), "layout-dashboard", "home"))
    links.append(_link(request, _("API tokens"), "key", "accounts:tokens", _("Account")))
    if request.user.is_staff:
        links.append(_link(request, _("Administration"), "settings", "admin:index"))
    return links


def _link(request: HttpRequest, label: str, icon: str, name: str, heading: str = "") -> Link:
    """A page counts as current with all pages below its path."""
    url = reverse(name)
    current = request.path == url or (request.path.startswith(f"{url.rstrip('/')}/") and url != "/")
    return Link(label, icon, url, current, heading)
