"""One policy at a time: a service has at most one of each kind, so its kind is its name."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from catalog import policies
from catalog.models import Policy
from catalog.services.apis import facts, touch
from catalog.services.parts import locked_service
from core import versions


@transaction.atomic
def put(*, actor: Any, service_id: UUID, kind: str, config: Any, seen: str = "") -> Policy:
    """Set the policy of this kind, whether there was one or not. It reaches gateways by a publish."""
    service = locked_service(actor, service_id)
    before = facts(service)
    values = policies.policy({"kind": kind, "config": config})
    if seen:
        _check(service.policies.filter(kind=kind).first(), seen)
    policy, _made = Policy.objects.update_or_create(
        service=service, kind=values["kind"], defaults={"config": values["config"]}
    )
    touch(service, actor, before=before)
    return policy


@transaction.atomic
def delete(*, actor: Any, service_id: UUID, kind: str, seen: str = "") -> None:
    """Without it, calls pass as they did before."""
    service = locked_service(actor, service_id)
    before = facts(service)
    policy = service.policies.get(kind=kind)
    versions.check(policy, seen)
    policy.delete()
    touch(service, actor, before=before)


def _check(policy: Policy | None, seen: str) -> None:
    """Whoever read one would bring it back if it is gone by now."""
    if policy is None:
        raise versions.stale()
    versions.check(policy, seen)
