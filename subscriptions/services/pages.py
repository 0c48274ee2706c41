"""How agents read access entries: in pages, in (version, id) order, from where they stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, Q, QuerySet
from django.utils import timezone

from clusters.models import Agent, ClusterState
from core.errors import Gone
from subscriptions.models import AccessEntry

PAGE = 5000
TOMBSTONES_LIVE = timedelta(days=30)
LAST_ID = UUID(int=2**128 - 1)
# Between the version that a full read began at and an entry's id, in the cursor's `next_id`.
MARK = "~"
COLUMNS = (
    "id", "version", "kind", "digest", "publish_id", "plan_id", "subscription_id", "suspended",
    "rate_per_minute", "deleted_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the reader is. `began` is the version at which a full read began that is still under way."""

    version: int
    id: UUID
    began: int | None = None


def access_page(
    *, agent: Agent, lineage: str, after_version: int | str, after_id: str, limit: int = PAGE
) -> dict[str, Any]:
    """One AccessPage. An empty cursor starts a full read, which leaves tombstones out.

    Raises Gone for a cursor of another lineage, or one so old that tombstones after it may be gone: the
    reader must start anew. `next_id` is opaque.
    """
    # The state first: entries up to its version are all committed when they are read after it.
    state = ClusterState.objects.get(cluster_id=agent.cluster_id)
    if lineage and lineage != str(state.lineage):
        raise _gone("The access entries have another history: the database was restored.")
    fresh = not after_id and str(after_version) in {"", "0"}
    cursor = None if fresh else _parse(after_version, after_id, state)
    if cursor and not lineage:
        raise _gone("A cursor without its lineage means nothing.")
    _refuse_expired(cursor, state)
    limit = max(1, min(limit, PAGE))
    rows = list(_after(cursor, state).values_list(*COLUMNS)[: limit + 1])
    more, rows = len(rows) > limit, rows[:limit]
    next_version, next_id = _next(cursor, state, rows, more=more)
    return {
        "lineage": str(state.lineage),
        "version": state.access_version,
        "next_version": next_version,
        "next_id": next_id,
        "more": more,
        "full": cursor is None,
        "entries": [_entry(row) for row in rows],
    }


def purge(now: datetime | None = None) -> int:
    """Remove expired tombstones. Each cluster keeps its newest one: it marks which cursors are too old."""
    expired = _expired(now or timezone.now())
    removed = 0
    for cluster_id, floor in expired.values_list("cluster_id").annotate(Max("version")):
        removed += expired.filter(cluster_id=cluster_id, version__lt=floor).delete()[0]
    return removed


def _parse(after_version: int | str, after_id: str, state: ClusterState) -> Cursor:
    """Whatever we did not hand out, or would hand out only later, is as good as gone."""
    began, mark, entry = after_id.rpartition(MARK)
    try:
        cursor = Cursor(int(after_version), UUID(entry), int(began) if mark else None)
    except (ValueError, TypeError):
        raise _gone("This is not a cursor of ours.") from None
    if not 0 <= cursor.version <= state.access_version:
        raise _gone("The cursor is ahead of the cluster: the database was restored.")
    return cursor


def _refuse_expired(cursor: Cursor | None, state: ClusterState) -> None:
    if cursor is None:
        return
    known = cursor.version if cursor.began is None else cursor.began
    expired = _expired(timezone.now()).filter(cluster_id=state.cluster_id)
    floor = expired.aggregate(floor=Max("version"))["floor"] or 0
    if known < floor:
        days = TOMBSTONES_LIVE.days
        raise _gone(f"Tombstones live {days} days, and this cursor is older than some of them.")


def _expired(now: datetime) -> QuerySet[AccessEntry]:
    # order_by: the model's order would split the groups of an aggregate.
    return AccessEntry.objects.filter(deleted_at__lt=now - TOMBSTONES_LIVE).order_by()


def _after(cursor: Cursor | None, state: ClusterState) -> QuerySet[AccessEntry]:
    rows = AccessEntry.objects.filter(cluster_id=state.cluster_id).order_by("version", "id")
    if cursor is None:
        return rows.filter(deleted_at=None)
    if cursor.began is not None:
        # What was buried before the full read began was never told to this reader.
        rows = rows.filter(Q(deleted_at=None) | Q(version__gt=cursor.began))
    # The first condition is implied, and lets the index start at the cursor.
    return rows.filter(version__gte=cursor.version).filter(
        Q(version__gt=cursor.version) | Q(id__gt=cursor.id)
    )


def _next(
    cursor: Cursor | None, state: ClusterState, rows: list[tuple[Any, ...]], *, more: bool
) -> tuple[int, str]:
    """The cursor after this page: at its last entry, or at the cluster's version when all was read."""
    last = (rows[-1][1], rows[-1][0]) if rows else (0, UUID(int=0))
    if not more:
        version, entry = max((state.access_version, LAST_ID), last)
        return version, str(entry)
    began = state.access_version if cursor is None else cursor.began
    return last[0], str(last[1]) if began is None else f"{began}{MARK}{last[1]}"


def _entry(row: tuple[Any, ...]) -> dict[str, Any]:
    found = dict(zip(COLUMNS, row, strict=True))
    for name in ("id", "publish_id", "plan_id"):
        found[name] = str(found[name])
    found["subscription_id"] = str(found["subscription_id"] or "")
    found["deleted"] = found.pop("deleted_at") is not None
    return found


def _gone(why: str) -> Gone:
    return Gone(f"{why} Read everything again, without a cursor.", code="cursor_gone")
