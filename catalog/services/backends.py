"""One backend at a time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from catalog import rules
from catalog.models import Backend
from catalog.services.apis import facts, touch
from catalog.services.parts import MAX_BACKENDS, check_addresses, locked_service
from catalog.text import listing
from core import versions


@transaction.atomic
def create(*, actor: Any, service_id: UUID, **values: Any) -> Backend:
    """Add an upstream host. Calls are spread over a service's backends by weight."""
    service = locked_service(actor, service_id)
    before = facts(service)
    backend = Backend(service=service, **rules.backend(values))
    siblings = list(service.backends.all())
    listing([*siblings, backend], field="backends", limit=MAX_BACKENDS)
    check_addresses([*map(vars, siblings), vars(backend)])
    backend.save()
    touch(service, actor, before=before)
    return backend


@transaction.atomic
def update(*, actor: Any, backend_id: UUID, seen: str = "", **values: Any) -> Backend:
    """Describe the backend anew: what is left out goes back to its default."""
    service, backend = _locked(actor, backend_id)
    versions.check(backend, seen)
    before = facts(service)
    for name, value in rules.backend(values).items():
        setattr(backend, name, value)
    siblings = service.backends.exclude(pk=backend.pk)
    check_addresses([*map(vars, siblings), vars(backend)])
    backend.save()
    touch(service, actor, before=before)
    return backend


@transaction.atomic
def delete(*, actor: Any, backend_id: UUID, seen: str = "") -> None:
    service, backend = _locked(actor, backend_id)
    versions.check(backend, seen)
    before = facts(service)
    backend.delete()
    touch(service, actor, before=before)


def _locked(actor: Any, backend_id: UUID) -> tuple[Any, Backend]:
    """The service first: that lock covers its backends."""
    rows = Backend.objects.visible_to(actor)
    service = locked_service(actor, rows.values_list("service_id", flat=True).get(pk=backend_id))
    return service, service.backends.get(pk=backend_id)
