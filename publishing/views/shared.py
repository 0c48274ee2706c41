"""What the views of this context have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from accounts.models import TenantQuerySet
from core.errors import DomainError, InvalidInput
from publishing import stories


def own(request: HttpRequest, rows: TenantQuerySet) -> Any:
    """Those of the active organization; a superuser without one sees all."""
    mine = rows.visible_to(request.user)
    organization = request.organization  # type: ignore[attr-defined]
    return mine.filter(**{rows.tenant: organization}) if organization else mine


def told(request: HttpRequest, pk: UUID) -> Any:
    """One publish with what its pages show, or a 404."""
    return get_object_or_404(stories.told(request.user), pk=pk)


def typed(request: HttpRequest) -> Any:
    """What to bind a form to. An empty POST is one too: every field may be blank."""
    return request.POST if request.method == "POST" else None


def attempt(form: Any, act: Callable[[], object]) -> bool:
    """Whether the service agreed; else its words are in the form, at their field."""
    try:
        act()
    except DomainError as error:
        explain(form, error)
        return False
    return True


def explain(form: Any, error: DomainError) -> None:
    """ "auth_config.issuer" is the form's issuer."""
    named = error.field.rpartition(".")[2] if isinstance(error, InvalidInput) else None
    form.add_error(named if named in form.fields else None, error.message)
