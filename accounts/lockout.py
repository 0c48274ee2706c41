"""Five wrong passwords lock the pair of name and address for fifteen minutes (django-axes)."""

from __future__ import annotations

from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_failure_limit
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import User
from core.middleware import client_ip as address_of


def client_ip(request: HttpRequest) -> str | None:
    return address_of(request)


def username(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """One spelling per person, whatever was typed."""
    value = (credentials or {}).get("username") or request.POST.get("username", "")
    return str(value).strip().lower()


def is_locked(request: HttpRequest) -> bool:
    return bool(getattr(request, "axes_locked_out", False))


def tries_left(request: HttpRequest, email: str) -> int:
    credentials = {"username": email}
    failures = AxesProxyHandler.get_failures(request, credentials)
    return max(0, get_failure_limit(request, credentials) - failures)


def forget(request: HttpRequest, user: User) -> None:
    """Signing in through the API ends the count as well; pages do so by Django's own signal."""
    AxesProxyHandler.user_logged_in(sender=type(user), request=request, user=user)


def message() -> str:
    return _("Too many failed attempts. Sign-in is locked for 15 minutes.")
