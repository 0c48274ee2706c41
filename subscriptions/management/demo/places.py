"""Where things run: three clusters, one of which the demo's agent joins."""

from __future__ import annotations

from typing import Any

from clusters.models import Cluster
from clusters.services import clusters, tokens
from subscriptions.management.demo.people import People

MAIN = "kr-central-main"
CLUSTERS: dict[str, dict[str, Any]] = {
    MAIN: {
        "region": "kr-central",
        "description": "Production. The demo's agent and gateway run here.",
        "cloud_provider": "On-premises",
        "labels": {"tier": "production", "site": "seoul-1"},
        # The sample backend listens on loopback, which gateways refuse unless the operator allows it.
        "allowed_networks": ["127.0.0.0/8"],
    },
    "kr-central-stage": {
        "region": "kr-central",
        "description": "Staging. No agent has joined yet.",
        "cloud_provider": "On-premises",
        "labels": {"tier": "staging", "site": "seoul-1"},
    },
    "ap-northeast-dr": {
        "region": "ap-northeast",
        "description": "Disaster recovery.",
        "cloud_provider": "AWS",
        "labels": {"tier": "recovery"},
    },
}


def ensure(people: People) -> Cluster:
    """All three; the one to join is returned."""
    for name, settings in CLUSTERS.items():
        rows = Cluster.objects.filter(organization=people.platform, name=name)
        if rows.exists():
            continue
        made = clusters.create(
            actor=people.operator, organization_id=people.platform.pk, name=name, **settings
        )
        if name == "ap-northeast-dr":
            clusters.set_maintenance(
                actor=people.operator, cluster_id=made.pk, enabled=True, reason="Recovery drill"
            )
    return Cluster.objects.get(organization=people.platform, name=MAIN)


def joining(people: People, cluster: Cluster) -> str | None:
    """A registration token, unless an agent has joined already."""
    if cluster.agents.filter(revoked_at=None).exists():
        return None
    return tokens.create_token(actor=people.operator, cluster_id=cluster.pk)[1]
