"""One route at a time, for pages and programs that edit no more than that."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from catalog import rules
from catalog.models import Route
from catalog.services.apis import facts, touch
from catalog.services.parts import MAX_ROUTES, check_overlap, locked_service
from catalog.text import listing
from core import versions


@transaction.atomic
def create(*, actor: Any, service_id: UUID, **values: Any) -> Route:
    """Add a route. Two routes of a service never share a method of the same path and match."""
    service = locked_service(actor, service_id)
    before = facts(service)
    route = Route(service=service, **rules.route(values))
    siblings = list(service.routes.all())
    listing([*siblings, route], field="routes", limit=MAX_ROUTES)
    check_overlap([*map(vars, siblings), vars(route)])
    route.save()
    touch(service, actor, before=before)
    return route


@transaction.atomic
def update(*, actor: Any, route_id: UUID, seen: str = "", **values: Any) -> Route:
    """Describe the route anew: what is left out goes back to its default."""
    service, route = _locked(actor, route_id)
    versions.check(route, seen)
    before = facts(service)
    for name, value in rules.route(values).items():
        setattr(route, name, value)
    siblings = service.routes.exclude(pk=route.pk)
    check_overlap([*map(vars, siblings), vars(route)])
    route.save()
    touch(service, actor, before=before)
    return route


@transaction.atomic
def delete(*, actor: Any, route_id: UUID, seen: str = "") -> None:
    service, route = _locked(actor, route_id)
    versions.check(route, seen)
    before = facts(service)
    route.delete()
    touch(service, actor, before=before)


def _locked(actor: Any, route_id: UUID) -> tuple[Any, Route]:
    """The service first: that lock covers its routes."""
    rows = Route.objects.visible_to(actor)
    service = locked_service(actor, rows.values_list("service_id", flat=True).get(pk=route_id))
    return service, service.routes.get(pk=route_id)
