"""What the views of this context have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import access
from accounts.models import Kind, Organization, Role
from core.errors import DomainError
from core.htmx import leave, page


def mine(request: HttpRequest, rows: Any) -> QuerySet:
    """Of a manager's or a queryset's rows those of the organization that the request works in."""
    organization = request.organization
    rows = rows.visible_to(request.user)
    return rows.filter(organization=organization) if organization else rows.none()


def visible(request: HttpRequest, model: Any, pk: UUID) -> Any:
    rows = model.objects.visible_to(request.user).select_related("organization")
    return get_object_or_404(rows, pk=pk)


def may_create(request: HttpRequest) -> bool:
    organization = request.organization
    return bool(
        organization
        and organization.kind == Kind.PROVIDER
        and access.works_in(request.user, organization)
    )


def creating_in(request: HttpRequest) -> Organization:
    """The provider that a new object will belong to."""
    organization = request.organization
    if organization is None or organization.kind != Kind.PROVIDER:
        raise PermissionDenied(
            _("This belongs to provider organizations. Switch to one to define it.")
        )
    access.require(request.user, organization.pk)
    return organization


def rights(request: HttpRequest, row: Any) -> dict[str, bool]:
    held = access.role_in(request.user, row.organization_id)
    return {"may_work": held in {Role.MEMBER, Role.ADMIN}, "may_admin": held == Role.ADMIN}


def delete_page(
    request: HttpRequest,
    row: Any,
    kind: str,
    *,
    act: Callable[[], object],
    users: Callable[[], dict[str, Any]],
    means: str,
    list_label: str,
) -> HttpResponse:
    """Ask, then delete and go to the list of its kind; or say what refuses it, and its `users`."""
    refusal = ""
    if request.method == "POST":
        try:
            act()
        except DomainError as error:
            refusal = error.message
        else:
            messages.success(request, _("“%(name)s” is deleted.") % {"name": row.name})
            return leave(request, f"catalog:{kind}s")
    context = users() | {
        "row": row,
        "refusal": refusal,
        "means": means,
        "back": reverse(f"catalog:{kind}", args=[row.pk]),
        "list": reverse(f"catalog:{kind}s"),
        "list_label": list_label,
    }
    return page(request, "catalog/delete.html", "confirm", context, 422 if refusal else 200)
