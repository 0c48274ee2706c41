from __future__ import annotations

from typing import Any
from uuid import UUID

from catalog.models import ApiImport, Product
from catalog.services import imports
from core.pulse import PulseConsumer


class ImportConsumer(PulseConsumer):
    """One import, while the worker fetches it."""

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        seen = await ApiImport.objects.visible_to(user).filter(pk=pk).aexists()
        return imports.group(pk) if seen else None


class ProductConsumer(PulseConsumer):
    """One product's environments: whatever happens to a publish of its organization."""

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        product = await Product.objects.visible_to(user).filter(pk=pk).afirst()
        return f"publishes.org.{product.organization_id}" if product else None
