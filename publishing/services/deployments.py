"""The life of a deployment: requested, sent, settled by the verdicts of its agents.

Whoever changes a deployment holds the lock of its publish, and takes the ClusterState's after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_noop

from clusters.models import HEARTBEAT_WINDOW, Agent, ClusterState, live_agents
from core import faultpoint, notify
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    PublishRevision,
)
from publishing.services import claims
from publishing.services.timeline import record, tell
from publishing.states import (
    OPEN,
    OUTSTANDING,
    Happening,
    Kind,
    Outcome,
    Progress,
    Status,
    check_deployment_move,
    check_publish_move,
)

# Details are stored in English: whoever caused them does not read them.
NO_AGENT = gettext_noop("no agent is connected")
NAMED = 5  # agents named in a sentence
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
    return rows.select_related("cluster").select_for_update(no_key=True, of=("self",))


def hold_cluster(cluster_id: UUID) -> ClusterState:
    """One change of a cluster's desired state at a time.

    The cluster's row first, as operators' edits do: claims refer to it and would lock it too late.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM clusters_cluster WHERE id = %s FOR KEY SHARE", [cluster_id])
    return ClusterState.objects.select_for_update().get(cluster_id=cluster_id)


def open_deployment(publish: ProductPublish) -> Deployment | None:
    return named(publish.deployments.filter(status__in=OPEN)).first()


def named(rows: QuerySet[Deployment]) -> QuerySet[Deployment]:
    """With the revision's number and digest; its document can be large."""
    return rows.select_related("revision").defer("revision__document")


# --- Requests --------------------------------------------------------------------------------------


def request(
    publish: ProductPublish, kind: Kind, revision: PublishRevision | None, *, actor: Any, note: str
) -> Deployment:
    """Want something else of the gateways; an older request that is still open gives way."""
    number = (publish.deployments.aggregate(last=Max("number"))["last"] or 0) + 1
    older = open_deployment(publish)
    if older is not None:
        _move(publish, older, Progress.SUPERSEDED, detail=f"#{number} took its place", actor=actor)
    generation = _want(publish, revision)
    agents = Agent.objects.filter(live_agents(), cluster_id=publish.cluster_id)
    deployment = Deployment.objects.create(
        publish=publish,
        number=number,
        kind=kind,
        revision=revision,
        note=note,
        generation=generation,
        detail="" if agents.exists() else NO_AGENT,
        requested_by=actor,
    )
    transaction.on_commit(lambda: faultpoint.reach("request.committed"))
    tell(publish, Happening.REQUESTED, actor=actor, deployment=deployment, note=note)
    return deployment


def cancel(publish: ProductPublish, deployment: Deployment, *, actor: Any) -> None:
    _move(publish, deployment, Progress.CANCELLED, actor=actor)
    _want(publish, publish.live_revision)


# --- Verdicts --------------------------------------------------------------------------------------


def advance(publish: ProductPublish, deployment: Deployment) -> bool:
    """Bring an open deployment as far as its agents' verdicts and presence allow. True if it moved."""
    now = timezone.now()
    asked = _enlist(publish, deployment, now)
    if asked:
        notify.wake(publish.cluster_id)
    lost = _let_go(publish, deployment, now)
    return _settle(publish, deployment, now) or asked or lost


def _settle(publish: ProductPublish, deployment: Deployment, now: datetime) -> bool:
    tally = _tally(deployment, now)
    waiting = deployment.status == Progress.QUEUED
    if waiting and not tally.live and (tally.reachable or tally.absent):
        return _explain(deployment, NO_AGENT)
    if tally.reachable:
        if waiting:
            _move(publish, deployment, Progress.DISPATCHED)
        missing = _missing(deployment, now) if tally.absent else ""
        return _explain(deployment, missing) or waiting
    if not tally.absent and (tally.applied or deployment.kind == Kind.WITHDRAW):
        _succeed(publish, deployment)
        return True
    if tally.applied:
        return _explain(deployment, _missing(deployment, now))
    if waiting:
        return _explain(deployment, NO_AGENT)
    _move(publish, deployment, Progress.QUEUED, detail=NO_AGENT)
    return True


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
    record(publish, agent, "deployment.fail", after=_about(deployment) | {"error": error})


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
    record(publish, None, "deployment.succeed", after=_about(deployment))


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


# --- The quorum ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tally:
    applied: int
    live: int  # owe a verdict and are connected
    reachable: int  # owe a verdict and were heard of within 90 s
    absent: int  # owe a verdict and were not: only withdrawals wait for them


def absent_agents(now: datetime, prefix: str = "") -> Q:
    """Not heard of for 90 s. A dropped connection alone is no absence: agents come back in seconds."""
    return Q(**{f"{prefix}last_heartbeat_at": None}) | Q(
        **{f"{prefix}last_heartbeat_at__lte": now - HEARTBEAT_WINDOW}
    )


def _tally(deployment: Deployment, now: datetime) -> Tally:
    owing, absent = Q(outcome__in=OUTSTANDING), absent_agents(now, "agent__")
    counts = deployment.verdicts.filter(agent__revoked_at=None).aggregate(
        applied=Count("pk", filter=Q(outcome=Outcome.APPLIED)),
        live=Count("pk", filter=owing & live_agents("agent__", now=now)),
        reachable=Count("pk", filter=owing & ~absent),
        absent=Count("pk", filter=owing & absent),
    )
    return Tally(**counts)


def _enlist(publish: ProductPublish, deployment: Deployment, now: datetime) -> bool:
    """Ask every live agent that was not asked yet, or had been lost; a withdrawal asks all that served it."""
    live = Agent.objects.filter(live_agents(now=now), cluster_id=publish.cluster_id)
    asked = live | _served_by(publish) if deployment.kind == Kind.WITHDRAW else live
    new = asked.exclude(pk__in=deployment.verdicts.values("agent")).values_list("pk", flat=True)
    rows = [
        DeploymentVerdict(deployment=deployment, agent_id=pk, created_at=now, updated_at=now)
        for pk in new
    ]
    DeploymentVerdict.objects.bulk_create(rows, ignore_conflicts=True)
    back = deployment.verdicts.filter(outcome=Outcome.STALE, agent__in=live)
    found = back.update(outcome=Outcome.PENDING, updated_at=now)
    return bool(rows or found)


def _let_go(publish: ProductPublish, deployment: Deployment, now: datetime) -> bool:
    """Absent and revoked agents leave the quorum, but for those whose gateway may still serve
    what a withdrawal takes away."""
    gone = deployment.verdicts.filter(outcome__in=OUTSTANDING).filter(
        absent_agents(now, "agent__") | Q(agent__revoked_at__isnull=False)
    )
    if deployment.kind == Kind.WITHDRAW:
        gone = gone.exclude(agent__in=_served_by(publish))
    return bool(gone.update(outcome=Outcome.STALE, updated_at=now))


def _served_by(publish: ProductPublish) -> QuerySet[Agent]:
    """Unrevoked agents that ever applied it, live or not."""
    proved = DeploymentVerdict.objects.filter(
        agent=OuterRef("pk"),
        deployment__publish=publish,
        deployment__kind=Kind.PUBLISH,
        outcome=Outcome.APPLIED,
    )
    seen = AgentPublish.objects.filter(agent=OuterRef("pk"), publish=publish).exclude(revision="")
    return Agent.objects.filter(
        Exists(proved) | Exists(seen), cluster_id=publish.cluster_id, revoked_at=None
    )


def _missing(deployment: Deployment, now: datetime) -> str:
    """The agents that a withdrawal waits for although they are away."""
    rows = deployment.verdicts.filter(absent_agents(now, "agent__"), outcome__in=OUTSTANDING)
    names = list(rows.order_by("agent__name").values_list("agent__name", flat=True)[: NAMED + 1])
    more = ", …" if len(names) > NAMED else ""
    return f"waiting for {', '.join(names[:NAMED])}{more}, which may still serve it and is not connected"


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
