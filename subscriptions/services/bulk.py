"""One word on many subscriptions: each is decided by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts import access
from catalog.text import line, listing
from core.errors import DomainError, InvalidInput
from subscriptions.models import Subscription
from subscriptions.services import subscriptions
from subscriptions.services.subscriptions import MAX_REASON

MOST = 200


class Verb(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    SUSPEND = "suspend"
    RESUME = "resume"


REASONED = (Verb.REJECT, Verb.SUSPEND)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one of them. `code` and `message` are empty when it was done."""

    id: UUID
    subscription: Subscription | None
    code: str = ""
    message: str = ""

    @property
    def ok(self) -> bool:
        return not self.code


def decide(
    *, actor: Any, subscription_ids: Iterable[UUID], verb: Verb, reason: str = ""
) -> list[Result]:
    """In the order given, each in its own transaction: one that cannot be does not stop the others.

    PermissionDenied before anything is done if the actor may not write to one of them.
    """
    ids = list(dict.fromkeys(listing(subscription_ids, field="ids", limit=MOST)))
    if not ids:
        raise InvalidInput(_("Choose at least one subscription."), field="ids")
    said = {"reason": line(reason, field="reason", limit=MAX_REASON)} if verb in REASONED else {}
    rows = Subscription.objects.provided_by(actor).select_related("publish").in_bulk(ids)
    for organization_id in {row.publish.organization_id for row in rows.values()}:
        access.require(actor, organization_id)
    act = getattr(subscriptions, verb.value)
    return [_one(row_id, lambda i: act(actor=actor, subscription_id=i, **said)) for row_id in ids]


def _one(row_id: UUID, act: Callable[[UUID], Subscription]) -> Result:
    try:
        return Result(row_id, act(row_id))
    except DomainError as error:
        return Result(row_id, None, error.code, error.message)
    except Subscription.DoesNotExist:
        return Result(row_id, None, "not_found", _("There is no such subscription."))
