"""Pages and their partials; domain errors in forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from core.errors import DomainError, InvalidInput


def wants_partial(request: Any) -> bool:
    """htmx asks for one panel. Boosted links and restored history want the whole page."""
    htmx = request.htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def add_error(form: BaseForm, error: DomainError) -> None:
    """Show a service's refusal beside the field it is about, else above the form."""
    field = error.field if isinstance(error, InvalidInput) and error.field in form.fields else None
    form.add_error(field, error.message)


def attempt(form: Any, act: Callable[[], object]) -> bool:
    """Whether the service agreed; else its words are in the form."""
    try:
        act()
    except DomainError as error:
        add_error(form, error)
        return False
    return True


def page(
    request: HttpRequest, template: str, partial: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """The whole page, or only the named part when htmx asks."""
    name = f"{template}#{partial}" if wants_partial(request) else template
    return render(request, name, context, status=status)


def leave(request: HttpRequest, to: str, *args: Any) -> HttpResponse:
    """Go to another page; from inside a dialog, too."""
    response = redirect(to, *args)
    if wants_partial(request):
        return HttpResponse(headers={"HX-Redirect": response.url})
    return response
