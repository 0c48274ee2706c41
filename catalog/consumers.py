from __future__ import annotations

from typing import Any
from uuid import UUID

from catalog.models import ApiImport, Gateway, Product
from catalog.services import imports
from core.pulse import PulseConsumer


class ImportConsumer(PulseConsumer):
    """One import, while the worker fetches it."""

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        seen = await ApiImport.objects.visible_to(user).filter(pk=pk).aexists()
        return imports.group(pk) if seen else None


class DefinitionConsumer(PulseConsumer):
    """What is published of it: whatever happens to a publish of its organization."""

    model: Any

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        row = await self.model.objects.visible_to(user).filter(pk=pk).afirst()
        return f"publishes.org.{row.organization_id}" if row else None


class ProductConsumer(DefinitionConsumer):
    model = Product


class GatewayConsumer(DefinitionConsumer):
    model = Gateway
