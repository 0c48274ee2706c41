"""Applications: the consumer's programs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Kind, Role
from catalog.services.conflicts import refused_by
from catalog.text import line
from core import versions
from core.errors import DomainError, InvalidInput
from subscriptions.models import Application
from subscriptions.states import OPEN


@transaction.atomic
def create(*, actor: Any, organization_id: UUID, name: str, description: str = "") -> Application:
    """Register a program of a consumer. Its name is unique in the organization."""
    consumer = access.organization_for(actor, organization_id, kind=Kind.CONSUMER)
    application = Application(organization=consumer)
    _describe(application, name, description)
    audit.note(application, actor, "application.create", after=_facts(application))
    return application


@transaction.atomic
def update(
    *,
    actor: Any,
    application_id: UUID,
    name: str | None = None,
    description: str | None = None,
    seen: str = "",
) -> Application:
    """Rename or describe it anew; its subscriptions and keys stay. None leaves a field as it is."""
    application = locked(actor, application_id)
    versions.check(application, seen)
    before = _facts(application)
    _describe(
        application,
        application.name if name is None else name,
        application.description if description is None else description,
    )
    after = _facts(application)
    if after != before:
        audit.note(application, actor, "application.update", before=before, after=after)
    return application


@transaction.atomic
def delete(*, actor: Any, application_id: UUID, seen: str = "") -> None:
    """Admins only. Refused while it is subscribed to anything, naming what."""
    application = locked(actor, application_id, Role.ADMIN)
    versions.check(application, seen)
    rows = application.subscriptions.filter(status__in=OPEN)
    names = [str(row.publish) for row in rows.select_related("publish__product")]
    if names:
        raise DomainError(
            _("%(application)s is subscribed to %(names)s. Cancel that first.")
            % {"application": application, "names": ", ".join(names)},
            code="application_in_use",
            details={"subscriptions": [str(row.pk) for row in rows]},
        )
    audit.note(application, actor, "application.delete", after=_facts(application))
    application.subscriptions.all().delete()
    application.delete()


def locked(actor: Any, application_id: UUID, role: Role = Role.MEMBER) -> Application:
    rows = Application.objects.visible_to(actor)
    application = rows.select_for_update(of=("self",)).get(pk=application_id)
    access.require(actor, application.organization_id, role)
    return application


def _describe(application: Application, name: str, description: str) -> None:
    application.name = line(name, field="name", limit=120)
    application.description = line(description, field="description", limit=500, required=False)
    taken = InvalidInput(
        _("You already have an application named %(name)s.") % {"name": application.name},
        field="name",
        code="duplicate",
    )
    with refused_by("subscriptions_application_name_once", taken):
        application.save()


def _facts(application: Application) -> dict[str, Any]:
    return {"name": application.name, "description": application.description}
