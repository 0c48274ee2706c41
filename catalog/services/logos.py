"""The picture of a product."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import audit
from catalog.logos import redrawn
from catalog.models import Logo, Product
from catalog.services.products import facts, locked
from core import versions


@transaction.atomic
def put(*, actor: Any, product_id: UUID, data: bytes, seen: str = "") -> Product:
    """Draw it anew and keep that; see catalog.logos for what is refused. The same picture changes nothing."""
    product = locked(actor, product_id)
    versions.check(product.updated_at, seen)
    image = redrawn(data)
    digest = hashlib.sha256(image).hexdigest()
    if product.logo is None or product.logo.digest != digest:
        _replace(product, Logo.objects.create(digest=digest, image=image), actor)
    return product


@transaction.atomic
def remove(*, actor: Any, product_id: UUID, seen: str = "") -> Product:
    """Without a logo the product shows its initials. Nothing to remove is no error."""
    product = locked(actor, product_id)
    versions.check(product.updated_at, seen)
    if product.logo is not None:
        _replace(product, None, actor)
    return product


def _replace(product: Product, logo: Logo | None, actor: Any) -> None:
    before, old = facts(product), product.logo
    product.logo = logo
    product.save(update_fields=["logo", "updated_at"])
    if old is not None:
        old.delete()
    audit.note(product, actor, "product.logo", before=before, after=facts(product))
