"""What becomes true because time passed. Nobody writes a row for it, so nobody else tells the open pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import F, Q, QuerySet

from clusters.models import (
    DISCONNECT_GRACE,
    HEARTBEAT_WINDOW,
    Agent,
    Cluster,
    RegistrationToken,
)
from clusters.services.clusters import announce, announce_to_providers
from core import answers


def announce_since(after: datetime | None) -> datetime:
    """Have pages re-read what changed by itself since then; answers until when that is.

    By the clock of the database, as it judges who is alive: a page that is told earlier sees no change.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        (until,) = cursor.fetchone()
    if after is not None:
        announce_lapsed(after=after, until=until)
    return until


def announce_lapsed(*, after: datetime, until: datetime) -> None:
    """Have pages re-read what changed by itself: later than `after`, and by `until`."""
    clusters = list(lapsed(after, until))
    if clusters:
        answers.outdate()
    for cluster in clusters:
        announce(cluster)
        if cluster.maintenance_until and after < cluster.maintenance_until <= until:
            announce_to_providers(cluster)


def lapsed(after: datetime, until: datetime) -> QuerySet[Cluster]:
    """Where an agent fell silent, a token expired unused, or the maintenance ended."""
    silent = Agent.objects.filter(revoked_at=None).filter(
        # As clusters.models.live_agents has it.
        _within("last_heartbeat_at", after - HEARTBEAT_WINDOW, until - HEARTBEAT_WINDOW)
        | _within("disconnected_at", after - DISCONNECT_GRACE, until - DISCONNECT_GRACE)
    )
    tokens = RegistrationToken.objects.filter(
        _within("expires_at", after, until), revoked_at=None, use_count__lt=F("max_uses")
    )
    return Cluster.objects.filter(
        _within("maintenance_until", after, until)
        | Q(pk__in=silent.values("cluster"))
        | Q(pk__in=tokens.values("cluster"))
    )


def _within(field: str, after: Any, until: Any) -> Q:
    return Q(**{f"{field}__gt": after, f"{field}__lte": until})
