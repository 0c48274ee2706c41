from __future__ import annotations

from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async

from accounts import organizations
from core.pulse import PulseConsumer
from publishing.models import ProductPublish


class PublishListConsumer(PulseConsumer):
    """The publishes and deployments of the organization that the session works in."""

    async def group_for(self, user: Any) -> str | None:
        organization = await database_sync_to_async(organizations.of_session)(
            self.scope["session"], user
        )
        return f"publishes.org.{organization.pk}" if organization else None


class PublishConsumer(PulseConsumer):
    """One publish: its deployment's progress, verdicts and timeline."""

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        seen = await ProductPublish.objects.visible_to(user).filter(pk=pk).aexists()
        return f"publish.{pk}" if seen else None
