"""What is told of a publish: its timeline, the audit trail, and the pages that show it."""

from __future__ import annotations

from typing import Any

from clusters.models import Agent
from clusters.services.clusters import announce as announce_cluster
from core import notify
from publishing.models import Deployment, ProductPublish, PublishEvent
from publishing.states import Happening


def tell(
    publish: ProductPublish,
    kind: Happening,
    *,
    actor: Any = None,
    deployment: Deployment | None = None,
    agent: Agent | None = None,
    note: str = "",
) -> None:
    """The pages hear of it once, when the caller is done: see `announce`."""
    PublishEvent.objects.create(
        publish=publish, kind=kind, actor=actor, deployment=deployment, agent=agent, note=note
    )


def announce(publish: ProductPublish) -> None:
    """Pages that show the publish, its organization's, its cluster or the list of clusters look again."""
    notify.on_commit(f"publish.{publish.pk}")
    notify.on_commit(f"publishes.org.{publish.organization_id}")
    announce_cluster(publish.cluster)
