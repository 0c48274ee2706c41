"""What an agent reads: the desired state of its cluster, and the bundles that it names."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet

from clusters.models import Agent, Cluster
from core.addresses import DENIED_NETWORKS
from publishing.models import Deployment, ProductPublish, PublishRevision
from publishing.states import OPEN, Kind


def manifest(*, agent: Agent) -> dict[str, Any]:
    """What the agent's cluster should run, as message Manifest."""
    # The numbers first: what is read after them is at least as new as they say.
    cluster = Cluster.objects.select_related("state").get(pk=agent.cluster_id)
    agents = Agent.objects.filter(cluster=cluster, revoked_at=None).count()
    opened = Deployment.objects.filter(publish__cluster=cluster, status__in=OPEN)
    wanted = _wanted(cluster.pk, opened)
    return {
        "generation": cluster.state.desired_generation,
        "access_version": cluster.state.access_version,
        "lineage": str(cluster.state.lineage),
        "cluster_id": str(cluster.pk),
        "agent_count": max(1, agents),
        "denied_networks": list(DENIED_NETWORKS),
        "allowed_networks": list(cluster.allowed_networks),
        "publishes": wanted,
        "withdrawals": _withdrawals(opened, besides={row["publish_id"] for row in wanted}),
    }


def bundle(*, agent: Agent, digest: str) -> str:
    """The canonical JSON behind a digest: of what is wanted or live on the agent's own cluster."""
    return PublishRevision.objects.values_list("document", flat=True).get(
        Q(publish__wanted_revision=F("pk")) | Q(publish__live_revision=F("pk")),
        digest=digest,
        publish__cluster=agent.cluster_id,
    )


def _wanted(cluster_id: UUID, opened: QuerySet[Deployment]) -> list[dict[str, str]]:
    waiting = {
        (publish_id, revision_id): str(pk)
        for pk, publish_id, revision_id in opened.filter(kind=Kind.PUBLISH).values_list(
            "pk", "publish_id", "revision_id"
        )
    }
    rows = ProductPublish.objects.filter(cluster=cluster_id, wanted_revision__isnull=False)
    wanted = rows.order_by("pk").values_list("pk", "wanted_revision_id", "wanted_revision__digest")
    return [
        {
            "publish_id": str(pk),
            "revision": digest,
            "deployment_id": waiting.get((pk, revision_id), ""),
        }
        for pk, revision_id, digest in wanted
    ]


def _withdrawals(opened: QuerySet[Deployment], *, besides: set[str]) -> list[dict[str, str]]:
    """Never both wanted and absent: one that began since the wanted ones were read comes next time."""
    rows = opened.filter(kind=Kind.WITHDRAW).order_by("publish_id")
    return [
        {"publish_id": str(publish_id), "deployment_id": str(pk)}
        for pk, publish_id in rows.values_list("pk", "publish_id")
        if str(publish_id) not in besides
    ]
