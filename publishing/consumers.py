from __future__ import annotations

from typing import Any
from uuid import UUID

from core.pulse import PulseConsumer
from publishing.models import ProductPublish


class PublishConsumer(PulseConsumer):
    """One publish: its deployment's progress, verdicts and timeline."""

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        seen = await ProductPublish.objects.visible_to(user).filter(pk=pk).aexists()
        return f"publish.{pk}" if seen else None
