"""An agent that served what is live and says that its gateway no longer does: told once, and again when it
is over.

What is on its way, was refused or was never applied is no drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.utils.translation import gettext as _

from clusters.models import Agent
from publishing.models import AgentPublish, ProductPublish, PublishEvent, PublishRevision
from publishing.states import Happening

Said = tuple[str, str, str]  # revision, error, warning


class Known(NamedTuple):
    """What the database has of an agent's publish."""

    revision: str
    error: str
    warning: str
    applied: str
    drifted_at: datetime | None

    @property
    def said(self) -> Said:
        return self.revision, self.error, self.warning


def note(
    row: AgentPublish, known: Known | None, *, settled: bool, now: datetime
) -> PublishEvent | None:
    """Complete `row`, which says what an agent serves now, by what is known of it.

    `settled`: the agent has carried out all that was asked of it, so what it serves is what came of that.
    """
    publish = row.publish
    live, wanted = _digest(publish.live_revision), _digest(publish.wanted_revision)
    before = known.applied if known else ""
    since = known.drifted_at if known else None
    row.drifted_at = None
    if row.revision and row.revision in {live, wanted}:
        row.applied = row.revision
    else:
        row.applied = before if live else ""
    if not live:
        return None
    if row.revision == live:
        return _event(row, Happening.RESTORED) if since else None
    if since:
        row.drifted_at = since
    elif settled and live == wanted and before == live:
        row.drifted_at = now
        return _event(row, Happening.DRIFTED, served=row.revision, error=row.error)
    return None


def may_have_begun(known: Known) -> bool:
    """Seen while more was on its way, so that it could not be told yet."""
    return bool(known.applied) and known.revision != known.applied and known.drifted_at is None


def settled(agent: Agent, generation: int) -> bool:
    return generation >= agent.cluster.state.desired_generation


def tell(events: Iterable[PublishEvent | None]) -> None:
    PublishEvent.objects.bulk_create([event for event in events if event])


def publishes(ids: Iterable[UUID]) -> dict[UUID, ProductPublish]:
    """With all that `note` asks of them."""
    rows = ProductPublish.objects.select_related("cluster", "live_revision", "wanted_revision")
    deferred = rows.defer("live_revision__document", "wanted_revision__document")
    return {row.pk: row for row in deferred.filter(pk__in=list(ids))}


def in_words(event: PublishEvent) -> str:
    """An event's note for its reader; of a drift, what the agent serves instead and its own error."""
    if event.kind != Happening.DRIFTED:
        return event.note
    served = (
        _("It serves revision %(revision)s instead.") % {"revision": event.served[:8]}
        if event.served
        else _("It does not serve it.")
    )
    return f"{served} {event.note}" if event.note else served


def _event(
    row: AgentPublish, kind: Happening, *, served: str = "", error: str = ""
) -> PublishEvent:
    return PublishEvent(
        publish=row.publish, kind=kind, agent_id=row.agent_id, served=served, note=error
    )


def _digest(revision: PublishRevision | None) -> str:
    return revision.digest if revision else ""
