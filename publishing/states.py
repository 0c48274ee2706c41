"""The lifecycle of a publish and of a deployment, each on one screen."""

from __future__ import annotations

from django.db.models import TextChoices
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.errors import InvalidTransition


class Status(TextChoices):
    """Of a ProductPublish. Stored as the specs write them."""

    DRAFT = "DRAFT", _("Draft")
    PUBLISHED = "PUBLISHED", _("Published")
    WITHDRAWN = "WITHDRAWN", _("Withdrawn")


PUBLISH_MOVES: dict[Status, tuple[Status, ...]] = {
    Status.DRAFT: (Status.PUBLISHED,),
    # PUBLISHED again: another revision went live without an outage.
    Status.PUBLISHED: (Status.PUBLISHED, Status.WITHDRAWN),
    Status.WITHDRAWN: (Status.PUBLISHED,),
}
EDITABLE = (Status.DRAFT, Status.WITHDRAWN)


class Kind(TextChoices):
    PUBLISH = "publish", _("Publish")
    WITHDRAW = "withdraw", _("Withdraw")


class Progress(TextChoices):
    """Of a Deployment."""

    QUEUED = "QUEUED", _("Queued")
    DISPATCHED = "DISPATCHED", _("Dispatched")
    APPLYING = "APPLYING", _("Applying")
    SUCCEEDED = "SUCCEEDED", _("Succeeded")
    FAILED = "FAILED", _("Failed")
    SUPERSEDED = "SUPERSEDED", _("Superseded")
    CANCELLED = "CANCELLED", _("Cancelled")


OPEN = (Progress.QUEUED, Progress.DISPATCHED, Progress.APPLYING)
_ENDS = (Progress.SUCCEEDED, Progress.FAILED, Progress.SUPERSEDED)
DEPLOYMENT_MOVES: dict[Progress, tuple[Progress, ...]] = {
    # SUCCEEDED at once: a withdrawal that no agent has to carry out.
    Progress.QUEUED: (
        Progress.DISPATCHED,
        Progress.CANCELLED,
        Progress.SUPERSEDED,
        Progress.SUCCEEDED,
    ),
    # Back to QUEUED: every agent of the quorum went stale before it answered.
    Progress.DISPATCHED: (Progress.APPLYING, Progress.QUEUED, *_ENDS),
    Progress.APPLYING: (Progress.QUEUED, *_ENDS),
    Progress.SUCCEEDED: (),
    Progress.FAILED: (),
    Progress.SUPERSEDED: (),
    Progress.CANCELLED: (),
}


class Outcome(TextChoices):
    """Of one agent's part in a deployment."""

    PENDING = "pending", _("Waiting")
    APPLYING = "applying", _("Applying")
    APPLIED = "applied", _("Succeeded")
    FAILED = "failed", _("Failed")
    STALE = "stale", _("Lost contact")
    WAIVED = "waived", _("Waived")


OUTSTANDING = (Outcome.PENDING, Outcome.APPLYING)


class Happening(TextChoices):
    """What the timeline of a publish tells."""

    CREATED = "created", _("Created")
    EDITED = "edited", _("Settings changed")
    REQUESTED = "requested", _("Requested")
    QUEUED = "queued", _("Waiting for an agent")
    DISPATCHED = "dispatched", _("Sent to the agents")
    APPLIED = "applied", _("Proved by an agent")
    REFUSED = "refused", _("Refused by an agent")
    PUBLISHED = "published", _("Published")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    FAILED = "failed", _("Failed")
    SUPERSEDED = "superseded", _("Superseded")
    CANCELLED = "cancelled", _("Cancelled")
    ROLL_BACK = "roll_back", _("Roll-back requested")  # instead of REQUESTED
    WAIVED = "waived", _("Agent waived")
    DRIFTED = "drifted", _("Drift seen")
    RESTORED = "restored", _("Drift over")
    RESTORE = "restore", _("Restore requested")


class DraftStep(TextChoices):
    """Of the wizard, in order: each follows from those before it."""

    CLUSTER = "cluster", _("Cluster")
    GATEWAY = "gateway", _("Gateway")
    SETTINGS = "settings", _("Environment · auth · access")
    REVIEW = "review", _("Review")


def in_words(label: object) -> str:
    """A state inside a sentence, in the reader's language."""
    return str(label).lower()


def check_publish_move(source: str, target: Status) -> None:
    if target not in PUBLISH_MOVES[Status(source)]:
        raise InvalidTransition(
            gettext("A publish cannot move from %(source)s to %(target)s.")
            % {"source": in_words(Status(source).label), "target": in_words(target.label)}
        )


def check_deployment_move(source: str, target: Progress) -> None:
    if target not in DEPLOYMENT_MOVES[Progress(source)]:
        raise InvalidTransition(
            gettext("A deployment cannot move from %(source)s to %(target)s.")
            % {"source": in_words(Progress(source).label), "target": in_words(target.label)}
        )
