"""What consumers subscribe to."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet
from catalog.models.services import ApiService


class Product(models.Model):
    """What consumers subscribe to: services under one name. It has no environment and no auth."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="products")
    name = models.CharField(_("name"), max_length=120)
    version = models.CharField(_("version"), max_length=40, default="1.0")
    description = models.TextField(_("description"), blank=True)
    categories = ArrayField(
        models.CharField(max_length=40), default=list, blank=True, verbose_name=_("categories")
    )
    docs_url = models.URLField(_("documentation"), max_length=500, blank=True)
    logo = models.OneToOneField(
        "Logo", models.SET_NULL, null=True, related_name="product", editable=False
    )
    services = models.ManyToManyField(
        ApiService, related_name="products", blank=True, verbose_name=_("API services")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name", "version", "id"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_product_name_version_once",
                fields=["organization", "name", "version"],
                violation_error_message=_("You already have a product of this name and version."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def logo_path(self) -> str:
        """On this host; empty without a logo. Known without reading the picture."""
        return reverse("catalog:logo", args=[self.logo_id]) if self.logo_id else ""

    @property
    def logo_url(self) -> str:
        return f"{settings.PUBLIC_URL}{self.logo_path}" if self.logo_id else ""


class Logo(models.Model):
    """A product's picture, as catalog.logos drew it. It never changes: another picture is another row.

    In the database, so that every web process serves it, and apart from the product, so that no list
    reads the bytes.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    image = models.BinaryField()  # PNG
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.digest[:12]
