"""The only door for writes. What people do is here; what agents report is in `services.agents`."""

from publishing.services.publishes import (
    MissingReference,
    cancel,
    create,
    delete,
    publish,
    update,
    withdraw,
)
from publishing.services.recovery import restore, roll_back, waive

__all__ = [
    "MissingReference",
    "cancel",
    "create",
    "delete",
    "publish",
    "restore",
    "roll_back",
    "update",
    "waive",
    "withdraw",
]
