"""Gateways: templates of a class and its listeners, deployed nowhere by themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Kind, Role
from catalog import rules
from catalog.models import Gateway, Listener
from catalog.services import parts
from catalog.services.conflicts import refused_by
from catalog.services.parts import Values
from catalog.services.products import refuse_published
from catalog.services.pulses import announce
from catalog.text import line
from core import versions
from core.errors import InvalidInput


@transaction.atomic
def create(
    *,
    actor: Any,
    organization_id: UUID,
    name: str,
    gateway_class: str,
    listeners: Iterable[Values],
    description: str = "",
) -> Gateway:
    """Describe a gateway of a class that has a driver. Its name is unique in the organization."""
    provider = access.organization_for(actor, organization_id, kind=Kind.PROVIDER)
    gateway = Gateway(organization=provider)
    _describe(gateway, name, gateway_class, description)
    _save(gateway)
    parts.set_listeners(gateway, listeners)
    audit.note(gateway, actor, "gateway.create", after=facts(gateway))
    return gateway


@transaction.atomic
def update(
    *,
    actor: Any,
    gateway_id: UUID,
    name: str | None = None,
    gateway_class: str | None = None,
    description: str | None = None,
    listeners: Iterable[Values] | None = None,
    seen: str = "",
) -> Gateway:
    """Change what is given. What is live keeps its revision until it is published again.

    `seen` is the version that the caller read: see core.versions.
    """
    gateway = _locked(actor, gateway_id)
    versions.check(gateway.updated_at, seen)
    before = facts(gateway)
    _describe(
        gateway,
        gateway.name if name is None else name,
        gateway.gateway_class if gateway_class is None else gateway_class,
        gateway.description if description is None else description,
    )
    _save(gateway)
    if listeners is not None:
        parts.set_listeners(gateway, listeners)
    after = facts(gateway)
    if after != before:
        audit.note(gateway, actor, "gateway.update", before=before, after=after)
        announce(gateway)
    return gateway


@transaction.atomic
def delete(*, actor: Any, gateway_id: UUID, seen: str = "") -> None:
    """Admins only. Refused while a publish goes through it, naming each."""
    gateway = _locked(actor, gateway_id, Role.ADMIN)
    versions.check(gateway.updated_at, seen)
    refuse_published(gateway, "gateway_in_use")
    audit.note(gateway, actor, "gateway.delete", before=facts(gateway))
    gateway.delete()


def facts(gateway: Gateway) -> dict[str, Any]:
    """For the audit trail."""
    return {
        "name": gateway.name,
        "description": gateway.description,
        "gateway_class": gateway.gateway_class,
        "listeners": [_listener(row) for row in gateway.listeners.select_related("certificate")],
    }


def _listener(row: Listener) -> str:
    return f"{row} ({row.certificate})" if row.certificate else str(row)


def _describe(gateway: Gateway, name: str, gateway_class: str, description: str) -> None:
    gateway.name = line(name, field="name", limit=120)
    gateway.gateway_class = rules.gateway_class(gateway_class)
    gateway.description = line(description, field="description", limit=500, required=False)


def _locked(actor: Any, gateway_id: UUID, role: Role = Role.MEMBER) -> Gateway:
    rows = Gateway.objects.visible_to(actor)
    gateway = rows.select_for_update(of=("self",)).get(pk=gateway_id)
    access.require(actor, gateway.organization_id, role)
    return gateway


def _save(gateway: Gateway) -> None:
    taken = InvalidInput(
        _("You already have a gateway named %(name)s.") % {"name": gateway.name},
        field="name",
        code="duplicate",
    )
    with refused_by("catalog_gateway_name_once", taken):
        gateway.save()
