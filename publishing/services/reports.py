"""What agents say that their gateways serve. After a reconnect all of them say it at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from clusters.models import Agent
from core.errors import DomainError
from publishing.models import AgentPublish, ProductPublish
from publishing.services import drift
from publishing.services.drift import Known, Said
from publishing.services.timeline import announce, announce_cluster

NUMBERS = ("applied_generation", "settled_generation", "access_version", "last_error")
Pair = tuple[UUID, UUID]  # agent, publish


class StaleSession(DomainError):
    code = "stale_epoch"

    def __init__(self) -> None:
        super().__init__(
            _("This session is over: another one took its place, or the agent was revoked.")
        )


@dataclass(frozen=True, slots=True)
class Report:
    """Complete: what it does not name, the gateway does not serve."""

    agent_id: UUID
    epoch: int
    applied_generation: int
    settled_generation: int
    access_version: int
    publishes: Sequence[dict[str, Any]]  # id, revision, error, warning
    last_error: str

    @property
    def numbers(self) -> tuple[int, int, int, str]:
        return (
            self.applied_generation,
            self.settled_generation,
            self.access_version,
            self.last_error,
        )


def record_state(**report: Any) -> None:
    """One alone: see record_states."""
    [refused] = record_states([Report(**report)])
    if refused:
        raise refused


@transaction.atomic
def record_states(reports: Sequence[Report]) -> list[StaleSession | None]:
    """What their gateways serve now; for each None, or why it does not count. Most say nothing new."""
    ids = {report.agent_id for report in reports}
    agents = Agent.objects.select_related("cluster__state").filter(pk__in=ids, revoked_at=None)
    standing = {(row.pk, row.session_epoch): row for row in agents}
    valid = {
        standing[report.agent_id, report.epoch]: report
        for report in reports
        if (report.agent_id, report.epoch) in standing
    }
    moved = _move({agent: report for agent, report in valid.items() if _moves(agent, report)})
    changed = _serve(valid)
    for publish in changed:
        announce(publish)
    told = {publish.cluster_id for publish in changed}
    for cluster in {agent.cluster for agent in valid if agent.pk in moved}:
        if cluster.pk not in told:
            announce_cluster(cluster)
    return [
        None if (report.agent_id, report.epoch) in standing else StaleSession()
        for report in reports
    ]


def _moves(agent: Agent, report: Report) -> bool:
    return tuple(getattr(agent, name) for name in NUMBERS) != report.numbers


def _move(reports: dict[Agent, Report]) -> set[UUID]:
    """One statement for all; those whose session still stands by now."""
    if not reports:
        return set()
    rows = [(report.agent_id, report.epoch, *report.numbers) for report in reports.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH held AS (SELECT said.* FROM clusters_agent AS a JOIN"
            "  unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])"
            "   AS said (id, epoch, applied, settled, access, error)"
            "   ON said.id = a.id AND said.epoch = a.session_epoch"
            "  WHERE a.revoked_at IS NULL ORDER BY a.id FOR NO KEY UPDATE OF a)"
            " UPDATE clusters_agent AS agent SET applied_generation = held.applied,"
            "  settled_generation = held.settled, access_version = held.access,"
            "  last_error = held.error FROM held WHERE agent.id = held.id RETURNING agent.id",
            [list(column) for column in zip(*rows, strict=True)],
        )
        return {row[0] for row in cursor.fetchall()}


def _serve(reports: dict[Agent, Report]) -> list[ProductPublish]:
    """Write the rows that differ from what is known: none, for most reports."""
    known = _known(reports)
    said: dict[Pair, Said] = dict.fromkeys(known, ("", "", ""))
    for report in reports.values():
        for row in report.publishes:
            said[report.agent_id, row["id"]] = (row["revision"], row["error"], row["warning"])
    news = {pair: words for pair, words in said.items() if _is_news(known.get(pair), words)}
    if not news:
        return []
    return _write(news, known, {agent.pk: (agent, report) for agent, report in reports.items()})


def _is_news(before: Known | None, words: Said) -> bool:
    return before is None or before.said != words or drift.may_have_begun(before)


def _write(
    news: dict[Pair, Said], known: dict[Pair, Known], reports: dict[UUID, tuple[Agent, Report]]
) -> list[ProductPublish]:
    publishes = drift.publishes({publish_id for _, publish_id in news})
    now = timezone.now()
    rows, events = [], []
    for (agent_id, publish_id), (revision, error, warning) in news.items():
        publish, (agent, report) = publishes.get(publish_id), reports[agent_id]
        if publish is None or publish.cluster_id != agent.cluster_id:
            continue
        before = known.get((agent_id, publish_id))
        row = AgentPublish(
            agent_id=agent_id,
            publish=publish,
            revision=revision,
            error=error,
            warning=warning,
            observed_at=now,
        )
        settled = drift.settled(agent, report.settled_generation)
        events.append(drift.note(row, before, settled=settled, now=now))
        if before != Known(revision, error, warning, row.applied, row.drifted_at):
            rows.append(row)
    observed(rows)
    drift.tell(events)
    return list({row.publish_id: row.publish for row in rows}.values())


def _known(agents: Iterable[Agent]) -> dict[Pair, Known]:
    rows = AgentPublish.objects.filter(agent__in=list(agents))
    columns = rows.values_list("agent_id", "publish_id", *Known._fields)
    return {(agent, publish): Known(*rest) for agent, publish, *rest in columns}


def observed(rows: list[AgentPublish]) -> None:
    """In one order everywhere, or two writers could wait for each other."""
    AgentPublish.objects.bulk_create(
        sorted(rows, key=lambda row: (row.agent_id, row.publish_id)),
        update_conflicts=True,
        unique_fields=["agent", "publish"],
        update_fields=["revision", "error", "warning", "applied", "drifted_at", "observed_at"],
    )
