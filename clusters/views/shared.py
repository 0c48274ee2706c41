"""What the views of this context have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from clusters.models import Cluster
from core.errors import DomainError
from core.htmx import add_error, wants_partial

Act = Callable[[], object]


def visible(request: HttpRequest, pk: UUID) -> Cluster:
    rows = Cluster.objects.visible_to(request.user).select_related("organization")
    return get_object_or_404(rows, pk=pk)


def attempt(form: Any, act: Act) -> bool:
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
