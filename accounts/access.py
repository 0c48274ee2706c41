"""Who may do what: the one home of permission rules, for pages, API and admin."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

from accounts.models import Membership, Organization, Role, User

RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.ADMIN: 2}


def role_in(user: Any, organization_id: UUID) -> Role | None:
    """The user's role there; None for a stranger, and for a token of another organization."""
    if not user.is_authenticated or (user.scope is not None and user.scope != organization_id):
        return None
    if user.is_superuser and user.scope is None:
        return Role.ADMIN
    row = Membership.objects.filter(user=user, organization_id=organization_id).first()
    return Role(row.role) if row else None


def can(user: Any, organization_id: UUID, role: Role = Role.MEMBER) -> bool:
    held = role_in(user, organization_id)
    return held is not None and RANK[held] >= RANK[role]


def works_in(user: Any, organization: Organization) -> bool:
    """Whether the user is at least a member there; no query if the row knows the role
    (see organizations.choices)."""
    held = getattr(organization, "role", None)
    return RANK[held] >= RANK[Role.MEMBER] if held else can(user, organization.pk)


def require(user: Any, organization_id: UUID, role: Role = Role.MEMBER) -> None:
    """Raise PermissionDenied unless the user holds at least `role` there.

    Viewers read, members work, admins also manage people, tokens and deletions. Call it after the
    object was fetched through `visible_to`, so that strangers got their 404 already.
    """
    held = role_in(user, organization_id)
    if held is None:
        raise PermissionDenied(_("You are not a member of this organization."))
    if RANK[held] < RANK[role]:
        raise PermissionDenied(
            _("This needs the role %(needed)s; yours is %(held)s.")
            % {"needed": role.label, "held": held.label}
        )


def organization_for(
    user: User, organization_id: UUID, *, kind: str, role: Role = Role.MEMBER
) -> Organization:
    """The organization a new object will belong to. Raises PermissionDenied or DoesNotExist."""
    organization = Organization.objects.get(pk=organization_id)
    require(user, organization.pk, role)
    if organization.kind != kind:
        raise PermissionDenied(
            _("%(organization)s is of the kind %(kind)s, which cannot own this.")
            % {"organization": organization, "kind": organization.get_kind_display()}
        )
    return organization
