"""Access entries: what gateways must know of keys and plans. Nothing else writes them.

A writer takes the cluster's next access version and holds the row it came from until the commit, so versions
are committed in their order and a reader who has seen one has seen all before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from clusters.models import ClusterState
from core import notify
from subscriptions.models import AccessEntry, Credential, EntryKind, Plan, Subscription
from subscriptions.services.pages import access_page
from subscriptions.states import Status

__all__ = [
    "access_page",
    "bury_keys",
    "bury_ownerless",
    "bury_plan",
    "put_keys",
    "put_plan",
    "refresh_keys",
]

BATCH = 2000
FIELDS = [field.name for field in AccessEntry._meta.concrete_fields if not field.primary_key]


def put_plan(plan: Plan) -> int:
    """Tell the gateways a plan's limits."""
    entry = AccessEntry(
        id=plan.pk,
        kind=EntryKind.PLAN,
        publish_id=plan.publish_id,
        plan_id=plan.pk,
        rate_per_minute=plan.rate_per_minute or 0,
    )
    return _write(plan.publish.cluster_id, [entry])


def put_keys(subscription: Subscription, credentials: Iterable[Credential]) -> int | None:
    """Tell the gateways keys that they must know from now on."""
    entries = [
        AccessEntry(
            id=credential.pk,
            kind=EntryKind.KEY,
            digest=credential.digest,
            publish_id=subscription.publish_id,
            plan_id=subscription.plan_id,
            subscription_id=subscription.pk,
            suspended=subscription.status == Status.SUSPENDED,
        )
        for credential in credentials
    ]
    return _write(subscription.publish.cluster_id, entries) if entries else None


def refresh_keys(subscription: Subscription) -> int | None:
    """The subscription moved to another plan, or was suspended or resumed: its keys stay what they are."""
    return _change(
        subscription.publish.cluster_id,
        _keys(subscription.credentials.all()),
        plan_id=subscription.plan_id,
        suspended=subscription.status == Status.SUSPENDED,
    )


def bury_keys(subscription: Subscription, credentials: QuerySet[Credential]) -> int | None:
    """Leave tombstones, so that gateways which come back later learn that the keys are gone."""
    cluster_id = subscription.publish.cluster_id
    return _change(cluster_id, _keys(credentials), deleted_at=timezone.now())


def bury_plan(plan: Plan) -> int | None:
    rows = AccessEntry.objects.filter(pk=plan.pk)
    return _change(plan.publish.cluster_id, rows, deleted_at=timezone.now())


def bury_ownerless() -> int:
    """Limits of plans that were deleted together with their publish."""
    found = AccessEntry.objects.filter(kind=EntryKind.PLAN, deleted_at=None).exclude(
        pk__in=Plan.objects.values("pk")
    )
    clusters = set(found.order_by().values_list("cluster_id", flat=True))
    for cluster_id in clusters:
        with transaction.atomic():
            _change(cluster_id, found, deleted_at=timezone.now())
    return len(clusters)


def _keys(credentials: QuerySet[Credential]) -> QuerySet[AccessEntry]:
    return AccessEntry.objects.filter(pk__in=credentials.values("pk"))


def _write(cluster_id: UUID, entries: Sequence[AccessEntry]) -> int:
    version = _next_version(cluster_id)
    for entry in entries:
        entry.cluster_id, entry.version = cluster_id, version
    AccessEntry.objects.bulk_create(
        entries,
        batch_size=BATCH,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=FIELDS,
    )
    return version


def _change(cluster_id: UUID, rows: QuerySet[AccessEntry], **values: Any) -> int | None:
    """All rows at one new version; none, when there is nothing to change."""
    rows = rows.filter(cluster_id=cluster_id, deleted_at=None)
    if not rows.exists():
        return None
    version = _next_version(cluster_id)
    rows.update(version=version, **values)
    return version


def _next_version(cluster_id: UUID) -> int:
    """Last of all locks: whoever holds the state row waits for nobody."""
    with connection.cursor() as cursor:
        # An entry's foreign key is checked at commit, and the check locks the cluster. An edit that holds
        # the cluster may be waiting for its state row by then, so this lock comes first.
        cursor.execute("SELECT FROM clusters_cluster WHERE id = %s FOR KEY SHARE", [cluster_id])
        cursor.execute(
            "UPDATE clusters_clusterstate SET access_version = access_version + 1"
            " WHERE cluster_id = %s RETURNING access_version",
            [cluster_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise ClusterState.DoesNotExist(f"Cluster {cluster_id} has no state row.")
    notify.wake(cluster_id)
    return row[0]
