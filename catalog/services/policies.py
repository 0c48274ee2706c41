"""One policy at a time: a service has at most one of each kind, so its kind is its name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from catalog import policies
from catalog.models import Policy
from catalog.services.apis import facts, touch
from catalog.services.parts import locked_service


@transaction.atomic
def put(*, actor: Any, service_id: UUID, kind: str, config: Any) -> Policy:
    """Set the policy of this kind, whether there was one or not. It reaches gateways by a publish."""
    service = locked_service(actor, service_id)
    before = facts(service)
    values = policies.policy({"kind": kind, "config": config})
    policy, _made = Policy.objects.update_or_create(
        service=service, kind=values["kind"], defaults={"config": values["config"]}
    )
    touch(service, actor, before=before)
    return policy


@transaction.atomic
def delete(*, actor: Any, service_id: UUID, kind: str) -> None:
    """Without it, calls pass as they did before."""
    service = locked_service(actor, service_id)
    before = facts(service)
    service.policies.get(kind=kind).delete()
    touch(service, actor, before=before)
