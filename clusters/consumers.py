from __future__ import annotations

from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async

from accounts import organizations
from clusters.models import Cluster
from core.pulse import PulseConsumer


class ClusterListConsumer(PulseConsumer):
    """The clusters of the organization that the session works in."""

    async def group_for(self, user: Any) -> str | None:
        organization = await database_sync_to_async(organizations.of_session)(
            self.scope["session"], user
        )
        return f"clusters.org.{organization.pk}" if organization else None


class ClusterConsumer(PulseConsumer):
    async def group_for(self, user: Any, pk: UUID) -> str | None:
        seen = await Cluster.objects.visible_to(user).filter(pk=pk).aexists()
        return f"cluster.{pk}" if seen else None
