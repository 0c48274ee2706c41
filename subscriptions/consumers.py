from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async

from accounts import organizations
from core.pulse import PulseConsumer


class RequestsConsumer(PulseConsumer):
    """Subscriptions to the publishes of the organization that the session works in."""

    async def group_for(self, user: Any) -> str | None:
        organization = await database_sync_to_async(organizations.of_session)(
            self.scope["session"], user
        )
        return f"publishes.org.{organization.pk}" if organization else None
