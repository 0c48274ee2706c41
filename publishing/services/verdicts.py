"""What agents say became of deployments. A thousand of them say it at once, and may repeat it, or be late."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from clusters.models import Agent
from core import faultpoint
from core.errors import DomainError, InvalidInput
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    PublishEvent,
)
from publishing.services import deployments
from publishing.services.reports import StaleSession, observed
from publishing.services.timeline import announce
from publishing.states import OUTSTANDING, Happening, Outcome

log = logging.getLogger(__name__)

REPORTED = (Outcome.APPLYING, Outcome.APPLIED, Outcome.FAILED)
MUTABLE = {*OUTSTANDING, Outcome.STALE}  # what a word may still change
Answer = DomainError | None


@dataclass(frozen=True, slots=True)
class Word:
    """One agent's, on one deployment."""

    agent_id: UUID
    epoch: int
    deployment_id: UUID
    revision: str
    outcome: str
    error: str
    probe: list[dict[str, Any]]
    timings: dict[str, Any]


def record_result(**word: Any) -> None:
    """One alone: see record_results."""
    [refused] = record_results([Word(**word)])
    if refused:
        raise refused


def record_results(words: Sequence[Word]) -> list[Answer]:
    """For each None, or why it does not count. The first final word of an agent on a deployment stands;
    what no longer matches is moot.

    A transaction for each deployment: two never wait for each other's clusters.
    """
    answers: list[Answer] = [None] * len(words)
    places: dict[UUID, list[int]] = {}
    for place, word in enumerate(words):
        if word.outcome in REPORTED:
            places.setdefault(word.deployment_id, []).append(place)
        else:
            message = _("Unknown outcome “%s”.") % word.outcome
            answers[place] = InvalidInput(message, field="outcome")
    for deployment_id, mine in places.items():
        found = _record(deployment_id, [words[place] for place in mine])
        for place, answer in zip(mine, found, strict=True):
            answers[place] = answer
    return answers


@transaction.atomic
def _record(deployment_id: UUID, words: Sequence[Word]) -> list[Answer]:
    publish = deployments.locked(ProductPublish.objects.filter(deployments=deployment_id)).first()
    # After the lock: a session that ended while we waited for it has nothing more to say.
    sessions = _sessions(words)
    standing = [sessions.get((word.agent_id, word.epoch)) for word in words]
    if publish is None:
        log.info("%d words on deployment %s, which is gone", len(words), deployment_id)
    else:
        deployment = deployments.named(publish.deployments.all()).get(pk=deployment_id)
        _weigh(publish, deployment, [(a, w) for a, w in zip(standing, words, strict=True) if a])
    return [None if agent else StaleSession() for agent in standing]


def _sessions(words: Iterable[Word]) -> dict[tuple[UUID, int], Agent]:
    rows = Agent.objects.filter(pk__in={word.agent_id for word in words}, revoked_at=None)
    return {(agent.pk, agent.session_epoch): agent for agent in rows}


# --- One deployment ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Book:
    """What one transaction changes, written together."""

    verdicts: dict[UUID, DeploymentVerdict] = field(default_factory=dict)  # by agent
    events: list[PublishEvent] = field(default_factory=list)
    served: list[AgentPublish] = field(default_factory=list)

    def write(self) -> None:
        DeploymentVerdict.objects.bulk_create(
            self.verdicts.values(),
            update_conflicts=True,
            unique_fields=["deployment", "agent"],
            update_fields=["outcome", "error", "probe", "timings", "updated_at"],
        )
        PublishEvent.objects.bulk_create(self.events)
        if self.served:
            observed(self.served)


def _weigh(
    publish: ProductPublish, deployment: Deployment, words: Sequence[tuple[Agent, Word]]
) -> None:
    """In the order in which they came: a refusal ends the deployment, and what follows it is only kept."""
    agents = [agent for agent, _word in words]
    known = {row.agent_id: row for row in deployment.verdicts.filter(agent__in=agents)}
    book, refused = Book(), None
    for agent, word in words:
        verdict = known.get(agent.pk)
        if not _concerns(publish, deployment, agent, word):
            continue
        counts = deployment.is_open and refused is None
        if verdict is None and counts and publish.gateway.gateway_class in agent.gateway_classes:
            # An agent that took it from the manifest before it was asked is in the quorum too.
            verdict = known[agent.pk] = DeploymentVerdict(deployment=deployment, agent=agent)
        if verdict is None or not _accept(verdict, word):
            continue
        book.verdicts[agent.pk] = verdict
        if counts:
            deployments.reported(publish, deployment)
            _tell(book, publish, deployment, agent, verdict)
            refused = (agent, verdict) if verdict.outcome == Outcome.FAILED else None
    if book.verdicts:
        _conclude(publish, deployment, book, refused)


def _conclude(
    publish: ProductPublish,
    deployment: Deployment,
    book: Book,
    refused: tuple[Agent, DeploymentVerdict] | None,
) -> None:
    book.write()
    announce(publish)
    if refused:
        agent, verdict = refused
        deployments.fail(publish, deployment, agent=agent, error=_reason(verdict))
    elif deployment.is_open and book.served:
        deployments.advance(publish, deployment)
    faultpoint.reach("result.before_commit")
    transaction.on_commit(lambda: faultpoint.reach("result.committed"))


def _concerns(publish: ProductPublish, deployment: Deployment, agent: Agent, word: Word) -> bool:
    if publish.cluster_id != agent.cluster_id:
        log.info("Agent %s reports on deployment %s, which is not its own", agent, deployment.pk)
        return False
    if word.revision != (deployment.revision.digest if deployment.revision else ""):
        log.warning("Agent %s reports another revision of %s", agent, deployment.pk)
        return False
    return True


def _accept(verdict: DeploymentVerdict, word: Word) -> bool:
    """False for a repeat, or after the final word."""
    if verdict.outcome not in MUTABLE or verdict.outcome == word.outcome:
        return False
    verdict.outcome = word.outcome
    verdict.error = word.error
    verdict.probe = word.probe
    verdict.timings = word.timings
    verdict.updated_at = timezone.now()
    return True


def _tell(
    book: Book,
    publish: ProductPublish,
    deployment: Deployment,
    agent: Agent,
    verdict: DeploymentVerdict,
) -> None:
    about = {"publish": publish, "deployment": deployment, "agent": agent}
    if verdict.outcome == Outcome.FAILED:
        book.events.append(
            PublishEvent(kind=Happening.REFUSED, note=_reason(verdict), **about),
        )
    elif verdict.outcome == Outcome.APPLIED:
        book.events.append(PublishEvent(kind=Happening.APPLIED, **about))
        # The proof is an observation: pages need not wait for the next report to say where it is live.
        digest = deployment.revision.digest if deployment.revision else ""
        book.served.append(
            AgentPublish(agent=agent, publish=publish, revision=digest, applied=digest)
        )


def _reason(verdict: DeploymentVerdict) -> str:
    return verdict.error or "the agent gave no reason"
