"""What agentd asks and reports on behalf of agents. Whatever they say may be repeated, late or stale."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from clusters.models import Agent, live_agents
from core import faultpoint
from core.errors import InvalidInput
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    ProductPublish,
)
from publishing.services import deployments, quorum
from publishing.services.desired import bundle, manifest, manifest_tag, secret, tagged_manifest
from publishing.services.reports import StaleSession, observed, record_state
from publishing.services.timeline import announce, tell
from publishing.states import OPEN, OUTSTANDING, Happening, Kind, Outcome, Progress

__all__ = [
    "Command",
    "bundle",
    "dispatch",
    "manifest",
    "manifest_tag",
    "pending_commands",
    "record_result",
    "record_state",
    "secret",
    "sweep",
    "tagged_manifest",
    "unanswered",
]

log = logging.getLogger(__name__)

QUIET = timedelta(seconds=20)
REPORTED = (Outcome.APPLYING, Outcome.APPLIED, Outcome.FAILED)


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
    newcomers = Agent.objects.filter(
        live_agents(now=now),
        ~Exists(asked),
        cluster=OuterRef("publish__cluster"),
        gateway_classes__contains=[OuterRef("publish__gateway__gateway_class")],
    )
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


# --- Reports ---------------------------------------------------------------------------------------


@transaction.atomic
def record_result(
    *,
    agent_id: UUID,
    epoch: int,
    deployment_id: UUID,
    revision: str,
    outcome: str,
    error: str,
    probe: list[dict[str, Any]],
    timings: dict[str, Any],
) -> None:
    """One agent's word on one deployment. The first final word counts; what no longer matches is moot."""
    if outcome not in REPORTED:
        raise InvalidInput(_("Unknown outcome “%s”.") % outcome, field="outcome")
    publish = deployments.locked(ProductPublish.objects.filter(deployments=deployment_id)).first()
    # After the lock: a session that ended while we waited for it has nothing more to say.
    agent = _session(agent_id, epoch)
    if publish is None or publish.cluster_id != agent.cluster_id:
        log.info("Agent %s reports on deployment %s, which is not its own", agent, deployment_id)
        return
    deployment = deployments.named(publish.deployments.all()).get(pk=deployment_id)
    if revision != (deployment.revision.digest if deployment.revision else ""):
        log.warning("Agent %s reports another revision of %s", agent, deployment_id)
        return
    verdict = _verdict(publish, deployment, agent)
    if verdict is None or not _accept(verdict, outcome, error, probe, timings):
        return
    announce(publish)
    if deployment.is_open:
        _weigh(publish, deployment, agent, verdict)
    faultpoint.reach("result.before_commit")
    transaction.on_commit(lambda: faultpoint.reach("result.committed"))


def _session(agent_id: UUID, epoch: int) -> Agent:
    agent = Agent.objects.filter(pk=agent_id, session_epoch=epoch, revoked_at=None).first()
    if agent is None:
        raise StaleSession
    return agent


def _verdict(
    publish: ProductPublish, deployment: Deployment, agent: Agent
) -> DeploymentVerdict | None:
    """An agent that took it from the manifest before it was asked is in the quorum too."""
    if deployment.is_open and publish.gateway.gateway_class in agent.gateway_classes:
        return DeploymentVerdict.objects.get_or_create(deployment=deployment, agent=agent)[0]
    return DeploymentVerdict.objects.filter(deployment=deployment, agent=agent).first()


def _accept(
    verdict: DeploymentVerdict, outcome: str, error: str, probe: Any, timings: dict[str, Any]
) -> bool:
    """False for a repeat, or after the final word."""
    if verdict.outcome not in {*OUTSTANDING, Outcome.STALE} or verdict.outcome == outcome:
        return False
    verdict.outcome = outcome
    verdict.error = error
    verdict.probe = probe
    verdict.timings = timings
    verdict.updated_at = timezone.now()
    verdict.save(update_fields=["outcome", "error", "probe", "timings", "updated_at"])
    return True


def _weigh(
    publish: ProductPublish, deployment: Deployment, agent: Agent, verdict: DeploymentVerdict
) -> None:
    deployments.reported(publish, deployment)
    if verdict.outcome == Outcome.FAILED:
        words = verdict.error or "the agent gave no reason"
        tell(publish, Happening.REFUSED, deployment=deployment, agent=agent, note=words)
        deployments.fail(publish, deployment, agent=agent, error=words)
    elif verdict.outcome == Outcome.APPLIED:
        tell(publish, Happening.APPLIED, deployment=deployment, agent=agent)
        _observed(agent, publish, deployment)
        others = deployment.verdicts.filter(outcome__in=OUTSTANDING, agent__revoked_at=None)
        if not others.exists():
            deployments.advance(publish, deployment)


def _observed(agent: Agent, publish: ProductPublish, deployment: Deployment) -> None:
    """The proof is an observation: pages need not wait for the next report to say where it is live."""
    digest = deployment.revision.digest if deployment.revision else ""
    observed([AgentPublish(agent=agent, publish=publish, revision=digest)])
