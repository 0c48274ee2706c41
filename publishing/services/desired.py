"""What an agent reads: the desired state of its cluster, and the bundles that it names.

Each question is one statement, so that its parts are of one moment: a tag never names another state than
the document that carries it. Nearly every read finds nothing new, and then costs the tag alone.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import F, Q

from clusters.models import Agent, Cluster
from core.addresses import DENIED_NETWORKS
from publishing.models import PublishRevision
from publishing.states import OPEN, Kind

FORMAT = 1  # of the document: another one makes every tag another

STAMP = """
    SELECT state.desired_generation, state.access_version, state.lineage, cluster.allowed_networks,
        (SELECT count(*) FROM clusters_agent AS agent
            WHERE agent.cluster_id = cluster.id AND agent.revoked_at IS NULL),
        (SELECT coalesce(json_agg(json_build_array(d.publish_id, d.id, d.kind, d.revision_id)
                ORDER BY d.publish_id), '[]')
            FROM publishing_deployment AS d JOIN publishing_productpublish AS p ON p.id = d.publish_id
            WHERE p.cluster_id = cluster.id AND d.status = ANY(%s)),
        -- A revision belongs to one publish, so these say what is wanted of all of them.
        (SELECT bit_xor(uuid_hash_extended(p.wanted_revision_id, 0))
            FROM publishing_productpublish AS p WHERE p.cluster_id = cluster.id)
"""
WANTED = """,
        (SELECT coalesce(json_agg(json_build_array(p.id, p.wanted_revision_id, r.digest)
                ORDER BY p.id), '[]')
            FROM publishing_productpublish AS p
            JOIN publishing_publishrevision AS r ON r.id = p.wanted_revision_id
            WHERE p.cluster_id = cluster.id)
"""
SOURCE = """
    FROM clusters_cluster AS cluster JOIN clusters_clusterstate AS state ON state.cluster_id = cluster.id
    WHERE cluster.id = %s
"""


def manifest_tag(*, agent: Agent) -> str:
    """Changes with everything that the manifest says. One statement, however much is published."""
    return _tag(_read(STAMP + SOURCE, agent.cluster_id))


def manifest(*, agent: Agent) -> dict[str, Any]:
    """What the agent's cluster should run, as message Manifest."""
    return tagged_manifest(agent=agent)[1]


def tagged_manifest(*, agent: Agent) -> tuple[str, dict[str, Any]]:
    """The manifest, and the tag of the very state that it shows. One statement."""
    *stamp, rows = _read(STAMP + WANTED + SOURCE, agent.cluster_id)
    generation, access_version, lineage, allowed, agents, opened, _wanted = stamp
    waiting = {
        (publish, revision): pk for publish, pk, kind, revision in opened if kind == Kind.PUBLISH
    }
    return _tag(stamp), {
        "generation": generation,
        "access_version": access_version,
        "lineage": str(lineage),
        "cluster_id": str(agent.cluster_id),
        "agent_count": max(1, agents),
        "denied_networks": list(DENIED_NETWORKS),
        "allowed_networks": list(allowed),
        "publishes": [
            {
                "publish_id": publish,
                "revision": digest,
                "deployment_id": waiting.get((publish, revision), ""),
            }
            for publish, revision, digest in rows
        ],
        "withdrawals": [
            {"publish_id": publish, "deployment_id": pk}
            for publish, pk, kind, _revision in opened
            if kind == Kind.WITHDRAW
        ],
    }


def _read(statement: str, cluster_id: UUID) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(OPEN), cluster_id])
        row = cursor.fetchone()
    if row is None:
        raise Cluster.DoesNotExist
    return list(row)


def _tag(stamp: list[Any]) -> str:
    return hashlib.sha256(repr((FORMAT, DENIED_NETWORKS, *stamp)).encode()).hexdigest()


def bundle(*, agent: Agent, digest: str) -> str:
    """The canonical JSON behind a digest: of what is wanted or live on the agent's own cluster."""
    return PublishRevision.objects.values_list("document", flat=True).get(
        Q(publish__wanted_revision=F("pk")) | Q(publish__live_revision=F("pk")),
        digest=digest,
        publish__cluster=agent.cluster_id,
    )
