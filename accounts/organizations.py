"""Which organization a request works in."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F, Value

from accounts.models import Organization, Role, User
from core import answers

SESSION_KEY = "organization"
MOST = 200  # of the switcher


def choices(user: User) -> list[Organization]:
    """What the switcher offers, each with the user's `role`; to a superuser all of them.

    Each with the `snapshot`, too, in which that was so: see core.answers.
    """
    rows = Organization.objects.annotate(snapshot=answers.Snapshot())
    if user.is_superuser:
        return list(rows.annotate(role=Value(Role.ADMIN))[:MOST])
    mine = rows.filter(memberships__user=user)
    return list(mine.annotate(role=F("memberships__role"))[:MOST])


def of_session(
    session: Any, user: User, mine: list[Organization] | None = None
) -> Organization | None:
    """The one chosen in this session, else the first of the user's own.

    `mine` are the choices, if they are at hand: then it costs no query.
    """
    wanted = session.get(SESSION_KEY, "")
    chosen = next((row for row in mine or [] if str(row.pk) == wanted), None)
    chosen = chosen or by_id(user, wanted)
    if chosen:
        return chosen
    if mine and not user.is_superuser:
        return mine[0]
    return Organization.objects.filter(memberships__user=user).first()


def work_in(
    request: Any, user: User, organization: Organization | None, mine: list[Organization]
) -> None:
    """Set request.organization; for core.answers .standing, and the .snapshot of the choices `mine`."""
    request.organization = organization
    request.standing = _standing(user, organization, mine)
    request.snapshot = mine[0].snapshot if mine else None


def _standing(
    user: User, organization: Organization | None, mine: list[Organization]
) -> tuple[tuple[Any, ...], list[Role]]:
    """All that decides what somebody sees, and the roles: whose are equal may do the same, too."""
    here = organization and organization.pk
    # There may be more, which are not told here; or none, and then no snapshot in which that was so.
    of_one = user.pk if len(mine) in {0, MOST} else None
    sees = here, user.is_superuser, user.scope, of_one, [row.pk for row in mine]
    return sees, [row.role for row in mine]


def by_id(user: User, value: str) -> Organization | None:
    """The organization of this id, if the user works in it."""
    wanted = _uuid(value)
    return Organization.objects.visible_to(user).filter(pk=wanted).first() if wanted else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value)) if value else None
    except ValueError:
        return None
