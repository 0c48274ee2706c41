"""After a commit: tell open pages and agent servers to look again. Lost messages cost seconds, never data."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

WAKE_GROUP = "agentd"


def on_commit(group: str, event: str = "pulse", **payload: Any) -> None:
    """Send `event` to every socket in `group` once the transaction is committed."""
    send = async_to_sync(get_channel_layer().group_send)
    # robust: a lost broadcast must not turn a committed write into a 500.
    transaction.on_commit(lambda: send(group, {"type": event, **payload}), robust=True)


def wake(cluster_id: UUID) -> None:
    """Tell every agentd process that this cluster's desired state or access version moved."""
    on_commit(WAKE_GROUP, "wake", cluster_id=str(cluster_id))
