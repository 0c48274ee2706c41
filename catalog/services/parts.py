"""The rows a definition is made of: routes, backends and policies of a service, listeners of a gateway."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.utils.translation import gettext as _

from accounts import access
from catalog import policies, rules
from catalog.addresses import canonical
from catalog.models import ApiService, Backend, Gateway, Listener, Policy, Route
from catalog.services import listeners
from catalog.text import listing
from core.errors import DomainError, InvalidInput

Values = Mapping[str, Any]
MAX_ROUTES = 2_000
MAX_BACKENDS = 50
MAX_LISTENERS = 20


def locked_service(actor: Any, service_id: UUID) -> ApiService:
    """Every change of a service's parts locks the service, so that their rules hold among siblings."""
    rows = ApiService.objects.visible_to(actor)
    service = rows.select_for_update(of=("self",)).get(pk=service_id)
    access.require(actor, service.organization_id)
    return service


def set_routes(service: ApiService, wanted: Iterable[Values]) -> None:
    values = _clean(wanted, rules.route, "routes", MAX_ROUTES)
    check_overlap(values)
    _replace(Route, {"service": service}, values, key=("match", "path", "methods"))


def set_backends(service: ApiService, wanted: Iterable[Values]) -> None:
    values = _clean(wanted, rules.backend, "backends", MAX_BACKENDS)
    check_addresses(values)
    _replace(Backend, {"service": service}, values, key=("host", "port"))


def set_policies(service: ApiService, wanted: Iterable[Values]) -> None:
    values = _clean(wanted, policies.policy, "policies", len(policies.CONFIGS))
    _once((item["kind"] for item in values), "policy_exists", _("Each kind of policy fits once."))
    _replace(Policy, {"service": service}, values, key=("kind",))


def set_listeners(gateway: Gateway, wanted: Iterable[Values]) -> None:
    values = _clean(wanted, rules.listener, "listeners", MAX_LISTENERS)
    if not values:
        raise InvalidInput(_("A gateway listens on at least one port."), field="listeners")
    listeners.check(gateway, values)
    _replace(Listener, {"gateway": gateway}, values, key=("port", "hostname"))


def check_overlap(routes: Iterable[Values]) -> None:
    """A method of a path belongs to one route, or which one answers would be chance.

    /users/{id} and /users/{name} are one path. /users/me is another, and more specific.
    """
    taken: set[tuple[str, str, str]] = set()
    for route in routes:
        for method in route["methods"]:
            call = (route["match"], canonical(route["path"]), method)
            if call in taken:
                raise DomainError(
                    _(
                        "Another route of this service already takes %(method)s %(path)s (%(match)s)."
                    )
                    % {"method": method, "path": route["path"], "match": route["match"]},
                    code="route_exists",
                    details={"match": call[0], "path": route["path"], "method": method},
                )
            taken.add(call)


def check_addresses(backends: Iterable[Values]) -> None:
    pairs = [(item["host"], item["port"]) for item in backends]
    _once(pairs, "backend_exists", _("Each host and port can be a backend of a service once."))


def _once(keys: Iterable[Any], code: str, message: str) -> None:
    seen: set[Any] = set()
    for key in keys:
        if key in seen:
            raise DomainError(message, code=code, details={"twice": key})
        seen.add(key)


def _clean(
    wanted: Iterable[Values], rule: Callable[..., dict[str, Any]], name: str, limit: int
) -> list[dict[str, Any]]:
    """The values by their rule, each with the id it asks to keep."""
    items = listing(wanted, field=name, limit=limit)
    return [
        {"id": item.get("id"), **rule(item, at=f"{name}.{place}.")}
        for place, item in enumerate(items)
    ]


def _replace(
    model: type[Model], owner: dict[str, Any], wanted: list[dict[str, Any]], key: tuple[str, ...]
) -> None:
    """Make the owner's rows exactly `wanted`. A row keeps its id by naming it, or by its natural key.

    What differs is deleted before it is written anew under its id: no order of updates could hit a
    unique key that way.
    """
    rows = model._default_manager.filter(**owner)
    existing = {row.pk: row for row in rows}
    _keep_ids(wanted, existing, key)
    changed = [item for item in wanted if _values(existing.get(item["id"]), item) != item]
    unchanged = {item["id"] for item in wanted} - {item["id"] for item in changed}
    rows.exclude(pk__in=unchanged).delete()
    model._default_manager.bulk_create([model(**owner, **item) for item in changed])


def _keep_ids(
    wanted: list[dict[str, Any]], existing: Mapping[UUID, Model], key: tuple[str, ...]
) -> None:
    named = {item["id"] for item in wanted if item["id"]}
    strangers = named - set(existing)
    if strangers:
        raise InvalidInput(
            _("There is no part %(id)s here. Leave the id out to add a new one.")
            % {"id": next(iter(strangers))},
            field="id",
        )
    if len(named) < sum(1 for item in wanted if item["id"]):
        raise InvalidInput(_("An id is there twice."), field="id")
    by_key = {_key(vars(row), key): pk for pk, row in existing.items() if pk not in named}
    for item in wanted:
        item["id"] = item["id"] or by_key.pop(_key(item, key), None) or uuid.uuid4()


def _key(values: Values, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(tuple(v) if isinstance(v := values[name], list) else v for name in names)


def _values(row: Model | None, like: Values) -> dict[str, Any] | None:
    return {name: getattr(row, name) for name in like} if row else None
