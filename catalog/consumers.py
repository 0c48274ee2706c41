from __future__ import annotations

from typing import Any
from uuid import UUID

from catalog.models import ApiImport
from catalog.services import imports
from core.pulse import PulseConsumer


class ImportConsumer(PulseConsumer):
    """One import, while the worker fetches it."""

    async def group_for(self, user: Any, pk: UUID) -> str | None:
        seen = await ApiImport.objects.visible_to(user).filter(pk=pk).aexists()
        return imports.group(pk) if seen else None
