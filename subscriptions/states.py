"""The lifecycle of a subscription."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidTransition


class Status(TextChoices):
    PENDING = "pending", _("Pending")
    ACTIVE = "active", _("Active")
    REJECTED = "rejected", _("Rejected")
    SUSPENDED = "suspended", _("Suspended")
    CANCELLED = "cancelled", _("Cancelled")


TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (Status.ACTIVE, Status.REJECTED, Status.CANCELLED),
    Status.ACTIVE: (Status.SUSPENDED, Status.CANCELLED),
    Status.SUSPENDED: (Status.ACTIVE, Status.CANCELLED),
    Status.REJECTED: (),
    Status.CANCELLED: (),
}
OPEN = (Status.PENDING, Status.ACTIVE, Status.SUSPENDED)
DECIDED = (Status.ACTIVE, Status.REJECTED, Status.SUSPENDED)
# Gateways know the keys of these; a suspended one is refused with its own code.
KNOWN = (Status.ACTIVE, Status.SUSPENDED)


def check_move(source: str, target: Status) -> None:
    if target not in TRANSITIONS[Status(source)]:
        raise InvalidTransition(
            gettext("A subscription cannot move from %(source)s to %(target)s.")
            % {
                "source": str(Status(source).label).lower(),
                "target": str(target.label).lower(),
            }
        )
