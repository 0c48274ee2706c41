"""What agentd asks and reports on behalf of agents. Whatever they say may be repeated, late or stale."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from publishing.models import Deployment, DeploymentVerdict, ProductPublish, should_serve
from publishing.services import deployments, quorum
from publishing.services.desired import bundle, manifest, manifest_tag, secret, tagged_manifest
from publishing.services.reports import record_state
from publishing.services.timeline import announce
from publishing.services.verdicts import record_result, record_results
from publishing.states import OPEN, OUTSTANDING, Kind, Outcome, Progress

__all__ = [
    "Command",
    "bundle",
    "dispatch",
    "manifest",
    "manifest_tag",
    "pending_commands",
    "record_result",
    "record_results",
    "record_state",
    "secret",
    "sweep",
    "tagged_manifest",
    "unanswered",
]

QUIET = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Command:
    """A hint that one deployment waits for an agent's verdict."""

    deployment_id: UUID
    publish_id: UUID
    generation: int


# --- Sending ---------------------------------------------------------------------------------------


def dispatch(*, cluster_id: UUID) -> None:
    """Ask every live agent for its part in the cluster's open deployments. One query when all are asked."""
    sweep(cluster_ids=[cluster_id])


def sweep(*, cluster_ids: Iterable[UUID]) -> None:
    """Move on what agents that came, went or were revoked have changed. One query when nothing did."""
    for publish_id in _unsettled(list(cluster_ids)):
        _advance(publish_id)


def unanswered() -> QuerySet[DeploymentVerdict]:
    """Of open deployments: those that were not begun, or begun and not ended for so long that the last
    word may have been lost."""
    quiet = timezone.now() - QUIET
    return DeploymentVerdict.objects.filter(
        Q(outcome=Outcome.PENDING) | Q(outcome=Outcome.APPLYING, updated_at__lt=quiet),
        deployment__status__in=OPEN,
    )


def pending_commands(*, agent_ids: Iterable[UUID]) -> dict[UUID, list[Command]]:
    """By agent: the deployments that wait for its word."""
    rows = unanswered().filter(agent__in=list(agent_ids)).order_by("deployment__generation")
    found: dict[UUID, list[Command]] = {}
    for agent_id, deployment_id, publish_id, generation in rows.values_list(
        "agent_id", "deployment_id", "deployment__publish_id", "deployment__generation"
    ):
        command = Command(deployment_id, publish_id, generation)
        found.setdefault(agent_id, []).append(command)
    return found


def _unsettled(cluster_ids: list[UUID]) -> list[UUID]:
    """Publishes with an open deployment that presence alone can move."""
    now = timezone.now()
    asked = DeploymentVerdict.objects.filter(
        deployment=OuterRef(OuterRef("pk")), agent=OuterRef("pk")
    ).exclude(outcome=Outcome.STALE)
    drivers = should_serve(
        OuterRef("publish__cluster"), OuterRef("publish__gateway__gateway_class")
    )
    newcomers = drivers.live(now).filter(~Exists(asked))
    verdicts = DeploymentVerdict.objects.filter(deployment=OuterRef("pk"))
    lost = verdicts.filter(
        quorum.absent_agents(now, "agent__") | Q(agent__revoked_at__isnull=False),
        outcome__in=OUTSTANDING,
    )
    late = verdicts.filter(quorum.overdue_verdicts(now))
    idle = Q(kind=Kind.WITHDRAW, status=Progress.QUEUED)
    rows = Deployment.objects.filter(
        Exists(newcomers) | Exists(lost) | Exists(late) | idle,
        status__in=OPEN,
        publish__cluster__in=cluster_ids,
    )
    return list(rows.order_by("created_at").values_list("publish_id", flat=True))


@transaction.atomic
def _advance(publish_id: UUID) -> None:
    publish = deployments.locked(ProductPublish.objects.filter(pk=publish_id)).first()
    deployment = deployments.open_deployment(publish) if publish else None
    if publish and deployment and deployments.advance(publish, deployment):
        announce(publish)
