"""What an agent reads: the desired state of its cluster, and the bundles that it names.

Each question is one statement, so that its parts are of one moment: a tag never names another state than
the document that carries it. Nearly every read finds nothing new, and then costs the tag alone.
"""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Exists, F, Q

from catalog.models import Certificate
from catalog.services.certificates import for_gateways
from clusters.models import Agent, Cluster
from core.addresses import DENIED_NETWORKS
from publishing.models import PublishRevision
from publishing.states import OPEN, Kind

FORMAT = 2  # of the document: another one makes every tag another

STAMP = """
    SELECT state.desired_generation, state.access_version, state.lineage, cluster.allowed_networks,
        cluster.trusted_hops,
        (SELECT count(*) FROM clusters_agent AS agent
            WHERE agent.cluster_id = cluster.id AND agent.revoked_at IS NULL
                AND agent.gateway_classes && %(classes)s::varchar[]),
        (SELECT coalesce(json_agg(json_build_array(d.publish_id, d.id, d.kind, d.revision_id)
                ORDER BY d.publish_id), '[]')
            FROM publishing_deployment AS d JOIN publishing_productpublish AS p ON p.id = d.publish_id
            WHERE p.cluster_id = cluster.id AND d.status = ANY(%(open)s)),
        -- A revision belongs to one publish, so these say what is wanted of all of them.
        (SELECT bit_xor(uuid_hash_extended(p.wanted_revision_id, 0))
            FROM publishing_productpublish AS p WHERE p.cluster_id = cluster.id),
        -- As Certificate.tag says it.
        (SELECT coalesce(json_agg(json_build_array(c.id, c.version || '-' || left(c.fingerprint, 16))
                ORDER BY c.id), '[]')
            FROM catalog_certificate AS c WHERE c.id IN (
                SELECT jsonb_array_elements_text(r.secret_ids)::uuid
                FROM publishing_productpublish AS p JOIN publishing_publishrevision AS r
                    ON r.publish_id = p.id AND r.id IN (p.wanted_revision_id, p.live_revision_id)
                WHERE p.cluster_id = cluster.id AND r.secret_ids <> '[]'::jsonb))
"""
WANTED = """,
        (SELECT coalesce(json_agg(json_build_array(p.id, p.wanted_revision_id, r.digest)
                ORDER BY p.id), '[]')
            FROM publishing_productpublish AS p
            JOIN publishing_publishrevision AS r ON r.id = p.wanted_revision_id
            JOIN catalog_gateway AS g ON g.id = p.gateway_id
            WHERE p.cluster_id = cluster.id AND g.gateway_class = ANY(%(classes)s))
"""
SOURCE = """
    FROM clusters_cluster AS cluster JOIN clusters_clusterstate AS state ON state.cluster_id = cluster.id
    WHERE cluster.id = %(cluster)s
"""


def manifest_tag(*, agent: Agent) -> str:
    """Changes with everything that the manifest says. One statement, however much is published."""
    return _tag(agent, _read(STAMP + SOURCE, agent))


def manifest(*, agent: Agent) -> dict[str, Any]:
    """What the agent's cluster should run of the classes that it drives, as message Manifest."""
    return tagged_manifest(agent=agent)[1]


def tagged_manifest(*, agent: Agent) -> tuple[str, dict[str, Any]]:
    """The manifest, and the tag of the very state that it shows. One statement."""
    *stamp, rows = _read(STAMP + WANTED + SOURCE, agent)
    generation, access_version, lineage, allowed, hops, agents, opened, _wanted, secrets = stamp
    waiting = {
        (publish, revision): pk for publish, pk, kind, revision in opened if kind == Kind.PUBLISH
    }
    return _tag(agent, stamp), {
        "generation": generation,
        "access_version": access_version,
        "lineage": str(lineage),
        "cluster_id": str(agent.cluster_id),
        "agent_count": max(1, agents),
        "denied_networks": list(DENIED_NETWORKS),
        "allowed_networks": list(allowed),
        "trusted_hops": hops,
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
        "secrets": [{"id": pk, "version": version} for pk, version in secrets],
    }


def _read(statement: str, agent: Agent) -> list[Any]:
    values: dict[str, Any] = {
        "open": list(OPEN),
        "classes": list(agent.gateway_classes),
        "cluster": agent.cluster_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    if row is None:
        raise Cluster.DoesNotExist
    return list(row)


def _tag(agent: Agent, stamp: list[Any]) -> str:
    """Agents that drive the same classes share it, and the document."""
    classes = tuple(sorted(agent.gateway_classes))
    return hashlib.sha256(repr((FORMAT, DENIED_NETWORKS, classes, *stamp)).encode()).hexdigest()


def bundle(*, agent: Agent, digest: str) -> str:
    """The canonical JSON behind a digest: of what is wanted or live on the agent's own cluster."""
    return PublishRevision.objects.values_list("document", flat=True).get(
        Q(publish__wanted_revision=F("pk")) | Q(publish__live_revision=F("pk")),
        digest=digest,
        publish__cluster=agent.cluster_id,
    )


def secret(*, agent: Agent, secret_id: UUID) -> dict[str, Any]:
    """As message Secret: of what is wanted or live on the agent's own cluster refers to, and no other."""
    named = PublishRevision.objects.filter(
        Q(publish__wanted_revision=F("pk")) | Q(publish__live_revision=F("pk")),
        publish__cluster=agent.cluster_id,
        publish__gateway__gateway_class__in=agent.gateway_classes,
        secret_ids__contains=[str(secret_id)],
    )
    row = Certificate.objects.filter(Exists(named), pk=secret_id).get()
    return for_gateways(row)
