"""The life of a deployment: requested, sent, settled by the verdicts of its agents.

Whoever changes a deployment holds the lock of its publish, and takes the ClusterState's after it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from accounts import audit
from clusters.models import Agent, Cluster, ClusterState
from core import faultpoint, notify
from core.locks import hold
from publishing.models import (
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    PublishRevision,
)
from publishing.services import claims, quorum
from publishing.services.quorum import NO_AGENT
from publishing.services.timeline import tell
from publishing.states import (
    OPEN,
    Happening,
    Kind,
    Outcome,
    Progress,
    Status,
    check_deployment_move,
    check_publish_move,
)

UNDER_WAY = (Progress.DISPATCHED, Progress.APPLYING)
HAPPENINGS = {
    Progress.QUEUED: Happening.QUEUED,
    Progress.DISPATCHED: Happening.DISPATCHED,
    Progress.FAILED: Happening.FAILED,
    Progress.SUPERSEDED: Happening.SUPERSEDED,
    Progress.CANCELLED: Happening.CANCELLED,
}


# --- Locks -----------------------------------------------------------------------------------------


def locked(rows: QuerySet[ProductPublish]) -> QuerySet[ProductPublish]:
    """FOR NO KEY UPDATE: agents may report what they serve meanwhile."""
    return rows.select_related("cluster", "gateway").select_for_update(no_key=True, of=("self",))


def hold_cluster(cluster_id: UUID) -> ClusterState:
    """One change of a cluster's desired state at a time.

    The cluster's row first, as operators' edits do: claims refer to it and would lock it too late.
    """
    hold(Cluster, cluster_id)
    return ClusterState.objects.select_for_update().get(cluster_id=cluster_id)


def open_deployment(publish: ProductPublish) -> Deployment | None:
    return named(publish.deployments.filter(status__in=OPEN)).first()


def named(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """With the revision's number and digest; its document can be large."""
    return rows.select_related("revision").defer("revision__document")


# --- Requests --------------------------------------------------------------------------------------


def request(
    publish: ProductPublish,
    kind: Kind,
    revision: PublishRevision | None,
    *,
    actor: Any,
    note: str,
    told: Happening = Happening.REQUESTED,
) -> Deployment:
    """Want something else of the gateways; an older request that is still open gives way."""
    number = (publish.deployments.aggregate(last=Max("number"))["last"] or 0) + 1
    older = open_deployment(publish)
    if older is not None:
        _move(publish, older, Progress.SUPERSEDED, detail=f"#{number} took its place", actor=actor)
    generation = _want(publish, revision)
    deployment = Deployment.objects.create(
        publish=publish,
        number=number,
        kind=kind,
        revision=revision,
        note=note,
        generation=generation,
        detail=quorum.lacking(publish, timezone.now()),
        requested_by=actor,
    )
    transaction.on_commit(lambda: faultpoint.reach("request.committed"))
    tell(publish, told, actor=actor, deployment=deployment, note=note)
    return deployment


def cancel(publish: ProductPublish, deployment: Deployment, *, actor: Any) -> None:
    _move(publish, deployment, Progress.CANCELLED, actor=actor)
    _want(publish, publish.live_revision)


# --- Verdicts --------------------------------------------------------------------------------------


def advance(publish: ProductPublish, deployment: Deployment) -> bool:
    """Bring an open deployment as far as its agents' verdicts and presence allow. True if it moved."""
    now = timezone.now()
    asked = quorum.enlist(publish, deployment, now)
    if asked:
        notify.wake(publish.cluster_id)
    lost = quorum.let_go(publish, deployment, now)
    late = quorum.overdue(deployment, now) if deployment.status in UNDER_WAY else None
    if late:
        _give_up(publish, deployment, late, now)
        return True
    return _settle(publish, deployment, now) or asked or lost


def _give_up(
    publish: ProductPublish, deployment: Deployment, late: DeploymentVerdict, now: datetime
) -> None:
    """An agent that is connected and says nothing: nobody waits for it for ever."""
    minutes = settings.DEPLOYMENT_DEADLINE_SECONDS / 60
    late.outcome, late.updated_at = Outcome.FAILED, now
    late.error = f"connected, but gave no answer within {minutes:g} minutes"
    late.save(update_fields=["outcome", "error", "updated_at"])
    fail(publish, deployment, agent=late.agent, error=late.error)


def _settle(publish: ProductPublish, deployment: Deployment, now: datetime) -> bool:
    tally = quorum.tally(deployment, now)
    waiting = deployment.status == Progress.QUEUED
    if waiting and not tally.live and (tally.reachable or tally.absent):
        return _explain(deployment, quorum.lacking(publish, now) or NO_AGENT)
    if tally.reachable:
        if waiting:
            _move(publish, deployment, Progress.DISPATCHED)
        missing = quorum.missing(deployment, now) if tally.absent else ""
        return _explain(deployment, missing) or waiting
    if not tally.absent and (tally.applied or deployment.kind == Kind.WITHDRAW):
        _succeed(publish, deployment)
        return True
    if tally.applied:
        return _explain(deployment, quorum.missing(deployment, now))
    reason = quorum.lacking(publish, now) or NO_AGENT
    if waiting:
        return _explain(deployment, reason)
    _move(publish, deployment, Progress.QUEUED, detail=reason)
    return True


def waive(
    publish: ProductPublish, deployment: Deployment, verdict: DeploymentVerdict, *, actor: Any
) -> None:
    """The withdrawal no longer waits for this agent; it drops the publish when it comes back."""
    verdict.outcome, verdict.updated_at = Outcome.WAIVED, timezone.now()
    verdict.save(update_fields=["outcome", "updated_at"])
    tell(publish, Happening.WAIVED, actor=actor, deployment=deployment, agent=verdict.agent)
    advance(publish, deployment)


def renew(publish: ProductPublish) -> None:
    """The same is wanted, under a new generation: agents look at their gateways again."""
    _want(publish, publish.wanted_revision)


def reported(publish: ProductPublish, deployment: Deployment) -> None:
    """An agent gave a sign of work on it."""
    if deployment.status == Progress.QUEUED:
        _move(publish, deployment, Progress.DISPATCHED)
    if deployment.status == Progress.DISPATCHED:
        _move(publish, deployment, Progress.APPLYING)


def fail(publish: ProductPublish, deployment: Deployment, *, agent: Agent, error: str) -> None:
    """One refusal is enough: every gateway goes back to what was live, whoever joins later too."""
    _move(publish, deployment, Progress.FAILED, detail=f"{agent.name}: {error}")
    _want(publish, publish.live_revision)
    audit.note(publish, agent, "deployment.fail", after=_about(deployment) | {"error": error})


def _succeed(publish: ProductPublish, deployment: Deployment) -> None:
    now = timezone.now()
    _move(publish, deployment, Progress.SUCCEEDED)
    publish.live_revision = deployment.revision
    if deployment.kind == Kind.PUBLISH:
        _move_publish(publish, Status.PUBLISHED)
        publish.published_at, publish.published_by = now, deployment.requested_by
        publish.withdrawn_at, publish.withdrawn_by, publish.withdraw_reason = None, None, ""
    else:
        _move_publish(publish, Status.WITHDRAWN)
        publish.withdrawn_at, publish.withdrawn_by = now, deployment.requested_by
        publish.withdraw_reason = deployment.note
    publish.save()
    hold_cluster(publish.cluster_id)
    claims.sync(publish)
    published = deployment.kind == Kind.PUBLISH
    happening = Happening.PUBLISHED if published else Happening.WITHDRAWN
    tell(publish, happening, actor=deployment.requested_by, deployment=deployment)
    audit.note(publish, None, "deployment.succeed", after=_about(deployment))


def _want(publish: ProductPublish, revision: PublishRevision | None) -> int:
    """Set what the gateways should serve; the generation that says so."""
    publish.wanted_revision = revision
    publish.save(update_fields=["wanted_revision", "updated_at"])
    state = hold_cluster(publish.cluster_id)
    state.desired_generation += 1
    state.save(update_fields=["desired_generation"])
    claims.sync(publish)
    notify.wake(publish.cluster_id)
    return state.desired_generation


def _move(
    publish: ProductPublish,
    deployment: Deployment,
    target: Progress,
    *,
    detail: str = "",
    actor: Any = None,
) -> None:
    """The only place that changes a deployment's status."""
    check_deployment_move(deployment.status, target)
    now = timezone.now()
    deployment.status, deployment.detail = target, detail
    if target == Progress.DISPATCHED:
        deployment.dispatched_at = now
    elif target not in OPEN:
        deployment.finished_at = now
    deployment.save(update_fields=["status", "detail", "dispatched_at", "finished_at"])
    if target in HAPPENINGS:
        tell(publish, HAPPENINGS[target], actor=actor, deployment=deployment)


def _move_publish(publish: ProductPublish, target: Status) -> None:
    check_publish_move(publish.status, target)
    publish.status = target


def _explain(deployment: Deployment, detail: str) -> bool:
    if deployment.detail == detail:
        return False
    deployment.detail = detail
    deployment.save(update_fields=["detail"])
    return True


def _about(deployment: Deployment) -> dict[str, Any]:
    return {
        "deployment": str(deployment.pk),
        "number": deployment.number,
        "kind": deployment.kind,
        "revision": deployment.revision.digest if deployment.revision else None,
    }
