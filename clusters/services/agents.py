"""An agent's life: it joins with a token, opens sessions, beats, and is revoked.

Every write on behalf of a session carries its epoch. A newer session, or a revocation, moved the epoch on,
so that whatever an old stream still sends changes nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Role
from clusters.models import DISCONNECT_GRACE, HEARTBEAT_WINDOW, Agent, Cluster
from clusters.services.clusters import announce
from clusters.services.joining import (
    check_invitation,
    clean_version,
    known_classes,
    register_agent,
)
from core import notify
from core.errors import DomainError, Unauthenticated

__all__ = [
    "AgentRevoked",
    "Opening",
    "Session",
    "agent_by_rest_token",
    "check_invitation",
    "close_session",
    "close_sessions",
    "open_session",
    "open_sessions",
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
class Opening:
    """What a connecting agent says of itself."""

    agent_id: UUID
    version: str
    gateway_classes: Iterable[str]


@dataclass(frozen=True, slots=True)
class Session:
    """One stream of one agent, and its cluster's numbers when it began."""

    agent_id: UUID
    cluster_id: UUID
    epoch: int
    rest_token: str = field(repr=False)
    generation: int
    access_version: int


def open_session(
    *, agent_id: UUID, version: str, gateway_classes: Iterable[str], owner: str
) -> Session:
    """One alone: see open_sessions."""
    opening = Opening(agent_id, version, gateway_classes)
    [session] = open_sessions(openings=[opening], owner=owner)
    if isinstance(session, Exception):
        raise session
    return session


@transaction.atomic
def open_sessions(*, openings: Sequence[Opening], owner: str) -> list[Session | Exception]:
    """Connecting moves the epoch on, so that the newest stream is the only one that counts.

    For each opening its session, or why there is none. No agent may be named twice.
    """
    now = timezone.now()
    tokens = {opening.agent_id: f"iga_{secrets.token_hex(32)}" for opening in openings}
    rows, refused = _checked(openings, tokens)
    opened = _move_epochs(rows, owner=owner[:80], now=now)
    clusters = _begin(opened, now)
    known = set(
        Agent.objects.filter(pk__in=tokens.keys() - opened.keys()).values_list("pk", flat=True)
    )

    def session(agent_id: UUID) -> Session | Exception:
        if agent_id in refused:
            return refused[agent_id]
        if agent_id not in opened:
            return AgentRevoked() if agent_id in known else Agent.DoesNotExist()
        epoch, cluster_id, _live = opened[agent_id]
        state = clusters[cluster_id].state
        return Session(
            agent_id=agent_id,
            cluster_id=cluster_id,
            epoch=epoch,
            rest_token=tokens[agent_id],
            generation=state.desired_generation,
            access_version=state.access_version,
        )

    return [session(opening.agent_id) for opening in openings]


def _checked(
    openings: Sequence[Opening], tokens: dict[UUID, str]
) -> tuple[list[tuple[UUID, str, str, str]], dict[UUID, DomainError]]:
    """Rows of id, version, classes and digest; and what was refused."""
    rows, refused = [], {}
    for each in openings:
        try:
            version, classes = clean_version(each.version), known_classes(each.gateway_classes)
        except DomainError as error:
            refused[each.agent_id] = error
            continue
        digest = _rest_digest(tokens[each.agent_id])
        rows.append((each.agent_id, version, ",".join(classes), digest))
    return rows, refused


def _move_epochs(
    rows: list[tuple[UUID, str, str, str]], *, owner: str, now: datetime
) -> dict[UUID, tuple[int, UUID, bool]]:
    """By agent: its new epoch, its cluster, and whether it was live before. One statement for all."""
    if not rows:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH asked AS (SELECT * FROM"
            "  unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS a (id, version, classes, digest)"
            # Locked in one order everywhere, or two batches could wait for each other.
            "), held AS (SELECT a.id, a.last_heartbeat_at > %s AND"
            "   (a.disconnected_at IS NULL OR a.disconnected_at > %s) AS live FROM clusters_agent AS a"
            "  WHERE a.id = ANY(%s) AND a.revoked_at IS NULL ORDER BY a.id FOR NO KEY UPDATE)"
            " UPDATE clusters_agent AS agent SET session_epoch = agent.session_epoch + 1, owner = %s,"
            "  version = asked.version, gateway_classes = string_to_array(asked.classes, ','),"
            "  rest_token_digest = asked.digest, connected_at = %s, last_heartbeat_at = %s,"
            "  disconnected_at = NULL"
            " FROM held JOIN asked ON asked.id = held.id WHERE agent.id = held.id"
            " RETURNING agent.id, agent.session_epoch, agent.cluster_id, COALESCE(held.live, FALSE)",
            [
                *map(list, zip(*rows, strict=True)),
                now - HEARTBEAT_WINDOW,
                now - DISCONNECT_GRACE,
                [row[0] for row in rows],
                owner,
                now,
                now,
            ],
        )
        return {pk: (epoch, cluster, live) for pk, epoch, cluster, live in cursor.fetchall()}


def _begin(opened: dict[UUID, tuple[int, UUID, bool]], now: datetime) -> dict[UUID, Cluster]:
    """Their clusters with their numbers. Pages hear of agents that were not live before."""
    ids = {cluster_id for _epoch, cluster_id, _live in opened.values()}
    clusters = {row.pk: row for row in Cluster.objects.select_related("state").filter(pk__in=ids)}
    first = [row.pk for row in clusters.values() if row.first_active_at is None]
    if first:
        Cluster.objects.filter(pk__in=first, first_active_at=None).update(first_active_at=now)
    for cluster_id in {pk for _epoch, pk, live in opened.values() if not live}:
        announce(clusters[cluster_id])
    return clusters


def close_session(*, agent_id: UUID, epoch: int) -> None:
    """One alone: see close_sessions."""
    close_sessions(ended=[(agent_id, epoch)])


@transaction.atomic
def close_sessions(*, ended: Collection[tuple[UUID, int]]) -> None:
    """The streams ended. A late word of a replaced stream must not mark the new one as gone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH held AS (SELECT a.id FROM clusters_agent AS a"
            "  JOIN unnest(%s::uuid[], %s::bigint[]) AS gone (id, epoch)"
            "   ON gone.id = a.id AND gone.epoch = a.session_epoch"
            "  WHERE a.revoked_at IS NULL ORDER BY a.id FOR NO KEY UPDATE OF a)"
            " UPDATE clusters_agent AS agent SET disconnected_at = %s FROM held"
            " WHERE agent.id = held.id RETURNING agent.cluster_id",
            [*map(list, zip(*ended, strict=True)), timezone.now()],
        )
        ids = {row[0] for row in cursor.fetchall()}
    for cluster in Cluster.objects.filter(pk__in=ids):
        announce(cluster)


@transaction.atomic
def record_heartbeats(beats: Iterable[Beat]) -> None:
    """All beats in one statement; never backwards, and only of the session that stands."""
    rows = list(beats)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH held AS (SELECT a.id, beat.at, c.organization_id FROM clusters_agent AS a"
            "  JOIN unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) AS beat (id, epoch, at)"
            "   ON beat.id = a.id AND beat.epoch = a.session_epoch"
            "  JOIN clusters_cluster AS c ON c.id = a.cluster_id"
            "  WHERE a.revoked_at IS NULL ORDER BY a.id FOR NO KEY UPDATE OF a)"
            " UPDATE clusters_agent AS agent"
            " SET last_heartbeat_at = GREATEST(agent.last_heartbeat_at, held.at) FROM held"
            " WHERE agent.id = held.id RETURNING agent.cluster_id, held.organization_id",
            [list(column) for column in zip(*rows, strict=True)],
        )
        heard = cursor.fetchall()
    for cluster_id, organization_id in set(heard):
        notify.on_commit(f"cluster.{cluster_id}")
        notify.on_commit(f"clusters.org.{organization_id}")


def agent_by_rest_token(token: str) -> Agent:
    """The agent behind a REST token: of its newest session, not revoked, heard of within five minutes."""
    # Raw: every read of every agent asks this, and building the statement costs more than running it.
    rows = Agent.objects.raw(
        "SELECT * FROM clusters_agent WHERE rest_token_digest = %s AND revoked_at IS NULL"
        " AND last_heartbeat_at > %s",
        [_rest_digest(token), timezone.now() - REST_TOKEN_WINDOW],
    )
    agent = next(iter(rows), None)
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
