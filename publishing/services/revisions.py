"""What was published, what would be, and how they differ. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Prefetch, prefetch_related_objects

from core.errors import DomainError
from publishing.compile import Definition, compile_bundle, definition_of, definitions_of
from publishing.differences import Comparison, compare
from publishing.models import ProductPublish, PublishRevision
from publishing.services import checks, claims, tls

__all__ = [
    "Affected",
    "Pending",
    "Preview",
    "affected",
    "compare",
    "compare_revisions",
    "pending",
    "refusal",
    "unpublished",
]

# Of a subscription; its own context lies above this one.
SERVED = ("active", "suspended")
OTHERS = 50  # revisions to compare one with


@dataclass(frozen=True, slots=True)
class Pending:
    """What publishing now would change at the gateways."""

    baseline: PublishRevision | None  # what is live; None: nothing
    comparison: Comparison
    digest: str


@dataclass(frozen=True, slots=True)
class Affected:
    """Who notices when what a publish serves changes."""

    subscriptions: int
    applications: int
    agents: int  # connected: they change their gateways at once


@dataclass(frozen=True, slots=True)
class Preview:
    """Of two revisions: what going from `before` to `after` changes."""

    before: PublishRevision | None
    after: PublishRevision
    comparison: Comparison


def pending(publish: ProductPublish, *, definition: Definition | None = None) -> Pending | None:
    """Changes not yet published: the product as it is defined now beside what is live. None: no change.

    `definition`, here and below: the rows, if they are at hand.
    """
    live, compiled = publish.live_revision, compile_bundle(definition or definition_of(publish))
    if live is not None and live.digest == compiled.digest:
        return None
    return Pending(live, compare(_document(live), compiled.bundle), compiled.digest)


def unpublished(publishes: Iterable[ProductPublish]) -> set[UUID]:
    """Of published ones: those whose product is defined otherwise by now than was last asked for.

    For lists: a handful of queries, however many publishes.
    """
    rows = [row for row in publishes if row.live_revision_id and row.wanted_revision_id]
    digests = Prefetch("wanted_revision", PublishRevision.objects.defer("document"))
    prefetch_related_objects(rows, digests)  # no query where they are at hand
    found = set()
    for definition in definitions_of(rows) if rows else ():
        publish = definition.publish
        assert publish.wanted_revision is not None
        try:
            same = compile_bundle(definition).digest == publish.wanted_revision.digest
        except DomainError:  # what cannot be sent as it is was changed since it was sent
            same = False
        if not same:
            found.add(publish.pk)
    return found


def affected(publish: ProductPublish) -> Affected:
    counts = publish.subscriptions.filter(status__in=SERVED).aggregate(
        subscriptions=Count("pk"), applications=Count("application", distinct=True)
    )
    # Read with its status, a cluster knows their number.
    known = getattr(publish.cluster, "active_agent_count", None)
    agents = publish.cluster.agents.live().count() if known is None else known
    return Affected(**counts, agents=agents)


def compare_revisions(publish: ProductPublish, *, number: int, other: int | None = None) -> Preview:
    """From revision `other` (what is live, when not given) to revision `number`, which knows the others."""
    numbers = PublishRevision.objects.filter(publish=publish).exclude(number=number)
    others = ArraySubquery(numbers.order_by("-number").values("number")[:OTHERS])
    after = publish.revisions.annotate(others=others).get(number=number)
    before = publish.live_revision if other is None else publish.revisions.get(number=other)
    return Preview(before, after, compare(_document(before), _document(after)))


def refusal(
    publish: ProductPublish, *, actor: Any, definition: Definition | None = None
) -> DomainError | None:
    """Why publishing now would be refused, as far as can be said without trying it."""
    definition = definition or definition_of(publish)
    certificates = [row.certificate for row in definition.listeners if row.certificate]
    try:
        compiled = compile_bundle(definition)
        around = claims.look_around(publish, compiled.bundle, actor=actor)
        checks.before_publish(publish, definition, around)
        checks.unoccupied(publish, around.occupant)
        tls.check(publish, compiled.bundle, around, at_hand=certificates)
        checks.something_new(publish, compiled.digest)
        claims.check(publish, compiled.bundle, around)
    except DomainError as error:
        return error
    return None


def _document(revision: PublishRevision | None) -> dict[str, Any] | None:
    return json.loads(revision.document) if revision else None
