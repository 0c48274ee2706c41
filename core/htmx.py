"""Pages and their partials; domain errors in forms."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from core import answers
from core.errors import DomainError, InvalidInput

View = Callable[[HttpRequest], HttpResponse]


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


def shared_page(
    template: str,
    partial: str,
    *,
    roles: bool = True,
    own: Callable[[HttpRequest], dict[str, Any]] | None = None,
) -> Callable[[Callable[[HttpRequest], dict[str, Any]]], View]:
    """For a view that answers a context: what colleagues see alike is made once for all who ask just now.

    That is the template's partial `main`, or the named one when htmx asks. It tells nothing of the reader but
    language, organizations and, unless `roles` is false, what their roles let them do. `own`: what the page
    shows of one reader, beside `main`.
    """
    personal = PERSONAL if roles else PERSONAL | {"may_write": _Personal()}

    def decorate(view: Callable[[HttpRequest], dict[str, Any]]) -> View:
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponse:
            part = partial if wants_partial(request) else "main"
            sees, held = request.standing  # type: ignore[attr-defined]
            what = template, part, bool(request.htmx), sees, held if roles else None
            html = answers.shared(request, what, lambda: make(request, part))
            if part == partial:
                return HttpResponse(html)
            shown = {"main": SafeString(html)} | (own(request) if own else {})
            return render(request, template, shown)

        def make(request: HttpRequest, part: str) -> str:
            return render_to_string(f"{template}#{part}", view(request) | personal, request)

        return answer

    return decorate


class _Personal:
    def __str__(self, name: str = "") -> str:
        raise RuntimeError(f"What colleagues share cannot show what is one reader's own. {name}")

    __getattr__ = __bool__ = __str__


PERSONAL = {name: _Personal() for name in ("csrf_token", "messages", "notices", "user")}


def leave(request: HttpRequest, to: str, *args: Any) -> HttpResponse:
    """Go to another page; from inside a dialog, too."""
    response = redirect(to, *args)
    if wants_partial(request):
        return HttpResponse(headers={"HX-Redirect": response.url})
    return response
