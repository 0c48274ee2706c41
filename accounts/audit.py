"""The audit trail's only writer. Called inside the transaction of the change it tells about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import Model

from accounts.models import AuditEvent
from core.context import origin


def record(
    *,
    actor: Any,
    action: str,
    target: Model,
    organization_id: UUID | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Note that `actor` (a User, an Agent, None for the system) did `action` to `target`.

    Actions read "cluster.create". Never pass a secret in `before` or `after`.
    """
    where = origin.get()
    return AuditEvent.objects.create(
        organization_id=organization_id,
        actor_id=getattr(actor, "pk", None),
        actor_label=str(actor)[:200] if actor is not None else "system",
        action=action,
        object_type=target._meta.label_lower,
        object_id=str(target.pk),
        object_label=str(target)[:200],
        before=before,
        after=after,
        ip=where.ip,
        user_agent=where.user_agent[:300],
        request_id=where.request_id,
    )


def note(target: Model, actor: Any, action: str, **change: Any) -> None:
    """In the trail of the organization whose row `target` is."""
    organization_id = target.organization_id  # type: ignore[attr-defined]
    record(actor=actor, action=action, target=target, organization_id=organization_id, **change)


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of two accounts of the same fields, only what changed."""
    changed = [field for field in after if after[field] != before[field]]
    return {
        "before": {field: before[field] for field in changed},
        "after": {field: after[field] for field in changed},
    }
