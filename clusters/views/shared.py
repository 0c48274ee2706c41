"""What the views of this context have in common."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest
from django.shortcuts import get_object_or_404

from clusters.models import Cluster


def visible(request: HttpRequest, pk: UUID) -> Cluster:
    rows = Cluster.objects.visible_to(request.user).select_related("organization")
    return get_object_or_404(rows, pk=pk)
