"""The list of regions grows with what operators use."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Kind, Organization
from clusters import rules
from clusters.models import Region
from core.errors import InvalidInput


@transaction.atomic
def create(*, actor: Any, organization_id: UUID, name: str) -> Region:
    """Put a region on the operator's own list."""
    operator = access.organization_for(actor, organization_id, kind=Kind.OPERATOR)
    name = rules.text(name, field="name", limit=100, required=True)
    region = remember(organization_id=operator.pk, name=name)
    if region is None:
        raise InvalidInput(
            _("%(name)s is in the list already.") % {"name": name}, field="name", code="duplicate"
        )
    audit.record(actor=actor, action="region.create", target=region, organization_id=operator.pk)
    return region


def remember(*, organization_id: UUID, name: str) -> Region | None:
    """The new row; None if the list has that name already."""
    if Region.objects.filter(organization=None, name=name).exists():
        return None
    region, made = Region.objects.get_or_create(organization_id=organization_id, name=name)
    return region if made else None


def names(organization: Organization | None) -> list[str]:
    """What a form offers."""
    return sorted(set(Region.objects.offered_to(organization).values_list("name", flat=True)))
