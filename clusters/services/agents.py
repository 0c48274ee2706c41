"""An agent's life: it joins with a token, opens sessions, beats, and is revoked.

Every write on behalf of a session carries its epoch. A newer session, or a revocation, moved the epoch on,
so that whatever an old stream still sends changes nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Role
from clusters.models import Agent, Cluster
from clusters.services.clusters import announce
from clusters.services.joining import clean_version, known_classes, register_agent
from core import notify
from core.errors import DomainError, Unauthenticated

__all__ = [
    "AgentRevoked",
    "Session",
    "agent_by_rest_token",
    "close_session",
    "open_session",
    "record_heartbeats",
    "register_agent",
    "revoke_agent",
]

REST_TOKEN_WINDOW = timedelta(minutes=5)
Beat = tuple[UUID, int, datetime]  # agent, epoch, when it was received


class AgentRevoked(DomainError):
    """The operator revoked this agent: PERMISSION_DENIED in gRPC."""

    status = 403
    code = "agent_revoked"

    def __init__(self) -> None:
        super().__init__(
            _(
                "The operator revoked this agent. "
                "To come back, it must join again with a new registration token."
            )
        )


@dataclass(frozen=True, slots=True)
class Session:
    """One stream of one agent. `agent` comes with its cluster and the cluster's state."""

    epoch: int
    rest_token: str = field(repr=False)
    agent: Agent


@transaction.atomic
def open_session(
    *, agent_id: UUID, version: str, gateway_classes: Iterable[str], owner: str
) -> Session:
    """Connecting moves the epoch on, so that the newest stream is the only one that counts."""
    now, rest_token = timezone.now(), f"iga_{secrets.token_hex(32)}"
    opened = Agent.objects.filter(pk=agent_id, revoked_at=None).update(
        session_epoch=F("session_epoch") + 1,
        owner=owner[:80],
        version=clean_version(version),
        gateway_classes=known_classes(gateway_classes),
        rest_token_digest=_rest_digest(rest_token),
        connected_at=now,
        last_heartbeat_at=now,
        disconnected_at=None,
    )
    agent = Agent.objects.select_related("cluster__state").get(pk=agent_id)
    if not opened:
        raise AgentRevoked
    if agent.cluster.first_active_at is None:
        Cluster.objects.filter(pk=agent.cluster_id, first_active_at=None).update(
            first_active_at=now
        )
    announce(agent.cluster)
    return Session(epoch=agent.session_epoch, rest_token=rest_token, agent=agent)


@transaction.atomic
def close_session(*, agent_id: UUID, epoch: int) -> None:
    """The stream ended. A late word of a replaced stream must not mark the new one as gone."""
    closed = Agent.objects.filter(pk=agent_id, session_epoch=epoch, revoked_at=None).update(
        disconnected_at=timezone.now()
    )
    if closed:
        announce(Cluster.objects.get(agents=agent_id))


@transaction.atomic
def record_heartbeats(beats: Iterable[Beat]) -> None:
    """All beats in one statement; never backwards, and only of the session that stands."""
    rows = sorted(beats)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE clusters_agent AS a"
            " SET last_heartbeat_at = GREATEST(a.last_heartbeat_at, beat.at)"
            " FROM unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) AS beat (id, epoch, at)"
            " WHERE a.id = beat.id AND a.session_epoch = beat.epoch AND a.revoked_at IS NULL"
            " RETURNING a.cluster_id",
            [list(column) for column in zip(*rows, strict=True)],
        )
        clusters = {row[0] for row in cursor.fetchall()}
    for cluster_id in clusters:
        notify.on_commit(f"cluster.{cluster_id}")


def agent_by_rest_token(token: str) -> Agent:
    """The agent behind a REST token: of its newest session, not revoked, heard of within five minutes."""
    agent = (
        Agent.objects.select_related("cluster__state")
        .filter(
            rest_token_digest=_rest_digest(token),
            revoked_at=None,
            last_heartbeat_at__gt=timezone.now() - REST_TOKEN_WINDOW,
        )
        .first()
    )
    if agent is None:
        raise Unauthenticated(
            _("The token is not one of a connected agent. Connect again to get a new one."),
            code="rest_token_invalid",
        )
    return agent


@transaction.atomic
def revoke_agent(*, actor: Any, agent_id: UUID) -> Agent:
    """Cut an agent off for good; its gateways keep what they have. Admins only; a repeat changes nothing."""
    rows = Agent.objects.visible_to(actor).select_related("cluster")
    agent = rows.select_for_update(of=("self",)).get(pk=agent_id)
    access.require(actor, agent.cluster.organization_id, Role.ADMIN)
    if agent.revoked_at is not None:
        return agent
    agent.revoked_at = timezone.now()
    agent.session_epoch += 1
    agent.rest_token_digest = ""
    agent.save(update_fields=["revoked_at", "session_epoch", "rest_token_digest"])
    audit.record(
        actor=actor,
        action="agent.revoke",
        target=agent,
        organization_id=agent.cluster.organization_id,
        after={"cluster": agent.cluster.name},
    )
    announce(agent.cluster)
    notify.wake(agent.cluster_id)
    return agent


def _rest_digest(token: str) -> str:
    """Plain SHA-256: the token has 256 random bits."""
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
