"""Products: what consumers subscribe to. Where one runs is decided by its publishes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Kind, Role
from catalog import rules
from catalog.models import ApiService, Product
from catalog.services.conflicts import refused_by
from catalog.services.pulses import announce
from catalog.text import line, listing, prose, url
from core import versions
from core.errors import DomainError, InvalidInput

MAX_SERVICES = 100


@transaction.atomic
def create(
    *,
    actor: Any,
    organization_id: UUID,
    name: str,
    version: str = "1.0",
    description: str = "",
    categories: Iterable[str] = (),
    docs_url: str = "",
    service_ids: Iterable[UUID] = (),
) -> Product:
    """Bundle services of the same organization under one name. Name and version are unique together."""
    provider = access.organization_for(actor, organization_id, kind=Kind.PROVIDER)
    product = Product(organization=provider)
    _describe(product, name, version, description, categories, docs_url)
    _save(product)
    product.services.set(_services(actor, product, service_ids))
    audit.note(product, actor, "product.create", after=facts(product))
    return product


@transaction.atomic
def update(
    *,
    actor: Any,
    product_id: UUID,
    name: str | None = None,
    version: str | None = None,
    description: str | None = None,
    categories: Iterable[str] | None = None,
    docs_url: str | None = None,
    service_ids: Iterable[UUID] | None = None,
    seen: str = "",
) -> Product:
    """Change what is given. What is live stays as it is until the product is published again.

    `seen` is the version that the caller read: see core.versions.
    """
    product = locked(actor, product_id)
    versions.check(product.updated_at, seen)
    before = facts(product)
    _describe(
        product,
        product.name if name is None else name,
        product.version if version is None else version,
        product.description if description is None else description,
        product.categories if categories is None else categories,
        product.docs_url if docs_url is None else docs_url,
    )
    _save(product)
    if service_ids is not None:
        product.services.set(_services(actor, product, service_ids))
    after = facts(product)
    if after != before:
        audit.note(product, actor, "product.update", before=before, after=after)
        announce(product)
    return product


@transaction.atomic
def delete(*, actor: Any, product_id: UUID, seen: str = "") -> None:
    """Admins only. Refused while the product has a publish, live or not, naming each."""
    product = locked(actor, product_id, Role.ADMIN)
    versions.check(product.updated_at, seen)
    refuse_published(product, "product_in_use")
    audit.note(product, actor, "product.delete", before=facts(product))
    logo = product.logo
    product.delete()
    if logo is not None:
        logo.delete()


def refuse_published(definition: Any, code: str) -> None:
    """A product or gateway stays while a publish is made of it."""
    publishes = list(definition.publishes.select_related("product", "cluster"))
    if not publishes:
        return
    names = ", ".join(f"{row} ({row.status}, {row.cluster})" for row in publishes)
    raise DomainError(
        _("%(definition)s is used by: %(names)s. Withdraw and delete them first.")
        % {"definition": definition, "names": names},
        code=code,
        details={
            "publishes": [
                {"id": str(row.pk), "name": str(row), "status": row.status} for row in publishes
            ]
        },
    )


def facts(product: Product) -> dict[str, Any]:
    """For the audit trail."""
    return {
        "name": product.name,
        "version": product.version,
        "description": product.description[:500],
        "categories": product.categories,
        "docs_url": product.docs_url,
        "logo": str(product.logo_id or ""),
        "services": [f"{row} {row.version}" for row in product.services.all()],
    }


def _describe(
    product: Product,
    name: str,
    version: str,
    description: str,
    categories: Iterable[str],
    docs_url: str,
) -> None:
    product.name = line(name, field="name", limit=120)
    product.version = line(version, field="version", limit=40)
    product.description = prose(description, field="description")
    product.categories = rules.categories(categories)
    product.docs_url = url(docs_url, field="docs_url")


def _services(actor: Any, product: Product, ids: Iterable[UUID]) -> list[ApiService]:
    """Locked, so that none is deleted while it becomes part of a product."""
    wanted = set(listing(ids, field="service_ids", limit=MAX_SERVICES))
    rows = ApiService.objects.visible_to(actor).filter(pk__in=wanted).order_by("pk")
    found = list(rows.select_for_update(of=("self",), no_key=True))
    if len(found) < len(wanted):
        raise ApiService.DoesNotExist
    strangers = [row for row in found if row.organization_id != product.organization_id]
    if strangers:
        raise InvalidInput(
            _("%(services)s: not a service of %(organization)s.")
            % {
                "services": ", ".join(map(str, strangers)),
                "organization": product.organization,
            },
            field="service_ids",
        )
    return found


def locked(actor: Any, product_id: UUID, role: Role = Role.MEMBER) -> Product:
    rows = Product.objects.visible_to(actor)
    product = rows.select_for_update(of=("self",)).get(pk=product_id)
    access.require(actor, product.organization_id, role)
    return product


def _save(product: Product) -> None:
    taken = InvalidInput(
        _("You already have %(name)s in version %(version)s.")
        % {"name": product.name, "version": product.version},
        field="name",
        code="duplicate",
    )
    with refused_by("catalog_product_name_version_once", taken):
        product.save()
