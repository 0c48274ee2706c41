"""API services: pure definitions. A publish keeps the revision it was made from, so edits never reach one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Kind, Role
from catalog.addresses import path
from catalog.models import ApiService, Policy, PolicyKind
from catalog.services import parts
from catalog.services.conflicts import refused_by
from catalog.services.parts import Values
from catalog.services.pulses import announce
from catalog.text import line, prose
from core import versions
from core.errors import DomainError, InvalidInput


@transaction.atomic
def create(
    *,
    actor: Any,
    organization_id: UUID,
    name: str,
    version: str = "1.0",
    description: str = "",
    base_path: str = "/",
    routes: Iterable[Values] = (),
    backends: Iterable[Values] = (),
    policies: Iterable[Values] = (),
) -> ApiService:
    """Define an API with its routes, backends and policies. Name and version are unique together."""
    provider = access.organization_for(actor, organization_id, kind=Kind.PROVIDER)
    service = ApiService(organization=provider)
    _describe(service, name, version, description, base_path)
    _save(service)
    _set_parts(service, routes, backends, policies)
    audit.note(service, actor, "api_service.create", after=facts(service))
    return service


@transaction.atomic
def update(
    *,
    actor: Any,
    service_id: UUID,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    base_path: str | None = None,
    routes: Iterable[Values] | None = None,
    backends: Iterable[Values] | None = None,
    policies: Iterable[Values] | None = None,
    seen: str = "",
) -> ApiService:
    """Change what is given. Parts that are given replace all of their kind; unchanged ones keep their id.

    `seen` is the state that the caller read: see core.versions.
    """
    service = parts.locked_service(actor, service_id)
    versions.check(service.updated_at, seen)
    before = facts(service)
    _describe(
        service,
        service.name if name is None else name,
        service.version if version is None else version,
        service.description if description is None else description,
        service.base_path if base_path is None else base_path,
    )
    _save(service)
    _set_parts(service, routes, backends, policies)
    after = facts(service)
    if after != before:
        audit.note(service, actor, "api_service.update", **_differing(before, after))
        announce(service)
    return service


@transaction.atomic
def delete(*, actor: Any, service_id: UUID, seen: str = "") -> None:
    """Admins only. Refused while a product has it, naming the products."""
    service = parts.locked_service(actor, service_id)
    access.require(actor, service.organization_id, Role.ADMIN)
    versions.check(service.updated_at, seen)
    products = list(service.products.all())
    if products:
        names = ", ".join(map(str, products))
        raise DomainError(
            _("%(service)s is part of %(products)s. Take it out of them first.")
            % {"service": service, "products": names},
            code="service_in_use",
            details={"products": [{"id": str(row.pk), "name": str(row)} for row in products]},
        )
    audit.note(service, actor, "api_service.delete", before=facts(service))
    service.delete()


def facts(service: ApiService) -> dict[str, Any]:
    """For the audit trail. Header values may be secrets, so only their names are told."""
    return {
        "name": service.name,
        "version": service.version,
        "description": service.description[:500],
        "base_path": service.base_path,
        "routes": [
            f"{row} ({row.match}) → {row.rewrite or '='} {row.timeout_ms} ms × {row.retries + 1}"
            f"{' unsafe' if row.retry_unsafe else ''}"
            for row in service.routes.all()
        ],
        "backends": [
            f"{row}{' TLS' if row.tls else ''} weight {row.weight} {row.health_check_path}".rstrip()
            for row in service.backends.all()
        ],
        "policies": [{row.kind: _told(row)} for row in service.policies.all()],
    }


def _told(policy: Policy) -> dict[str, Any]:
    if policy.kind != PolicyKind.HEADERS:
        return policy.config
    return {side: list(names) for side, names in policy.config.items()}


def touch(service: ApiService, actor: Any, *, before: dict[str, Any]) -> None:
    """One part changed: note it on the service."""
    service.save(update_fields=["updated_at"])
    after = facts(service)
    if after != before:
        audit.note(service, actor, "api_service.update", **_differing(before, after))
        announce(service)


def _differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Of lists only what comes and goes: one route among 2,000 is one line on the trail."""

    def without(state: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        return {
            name: _missing(value, other[name]) if isinstance(value, list) else value
            for name, value in state.items()
        }

    return {"before": without(before, after), "after": without(after, before)}


def _missing(items: list[Any], other: list[Any]) -> list[Any]:
    known = {str(item) for item in other}
    return [item for item in items if str(item) not in known]


def _describe(
    service: ApiService, name: str, version: str, description: str, base_path: str
) -> None:
    service.name = line(name, field="name", limit=120)
    service.version = line(version, field="version", limit=40)
    service.description = prose(description, field="description")
    service.base_path = path(base_path, field="base_path", limit=200)


def _set_parts(
    service: ApiService,
    routes: Iterable[Values] | None,
    backends: Iterable[Values] | None,
    policies: Iterable[Values] | None,
) -> None:
    if routes is not None:
        parts.set_routes(service, routes)
    if backends is not None:
        parts.set_backends(service, backends)
    if policies is not None:
        parts.set_policies(service, policies)


def _save(service: ApiService) -> None:
    taken = InvalidInput(
        _("You already have %(name)s in version %(version)s.")
        % {"name": service.name, "version": service.version},
        field="name",
        code="duplicate",
    )
    with refused_by("catalog_apiservice_name_version_once", taken):
        service.save()
