"""TLS certificates with their private keys."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet

EXPIRES_SOON = timedelta(days=30)


class Validity(models.TextChoices):
    VALID = "valid", _("valid")
    EXPIRING = "expiring", _("expires soon")
    EXPIRED = "expired", _("expired")


class Certificate(models.Model):
    """A TLS certificate with its private key, which no answer, page or log ever shows again.

    Replacing it makes the next version, in place: gateways take it over without a new publish.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="certificates")
    name = models.CharField(_("name"), max_length=120)
    version = models.PositiveIntegerField(_("version"), default=1, editable=False)
    chain = models.TextField(_("certificate"))  # PEM: the server's certificate first
    sealed_key = models.TextField(editable=False)  # core.sealing, at the place of `sealing_place`
    fingerprint = models.CharField(_("SHA-256"), max_length=64, editable=False)  # hex, of the first
    subject = models.CharField(_("subject"), max_length=500, blank=True, editable=False)
    issuer = models.CharField(_("issuer"), max_length=500, blank=True, editable=False)
    hosts = ArrayField(models.CharField(max_length=253), verbose_name=_("hosts"), editable=False)
    key_type = models.CharField(_("key"), max_length=32, editable=False)
    not_before = models.DateTimeField(_("valid from"), editable=False)
    not_after = models.DateTimeField(_("valid until"), editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_certificate_name_once",
                fields=["organization", "name"],
                violation_error_message=_("You already have a certificate of this name."),
            ),
            models.CheckConstraint(
                name="catalog_certificate_has_hosts", condition=Q(hosts__len__gt=0)
            ),
            models.CheckConstraint(
                name="catalog_certificate_ends_after_it_begins",
                condition=Q(not_after__gt=F("not_before")),
            ),
            models.CheckConstraint(
                name="catalog_certificate_key_is_sealed", condition=Q(sealed_key__startswith="v1.")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def sealing_place(self) -> str:
        return f"catalog.certificate:{self.pk}"

    @property
    def days_left(self) -> int:
        """Whole days until it ends; negative once it has."""
        return (self.not_after - timezone.now()) // timedelta(days=1)

    @property
    def status(self) -> Validity:
        left = self.not_after - timezone.now()
        if left <= timedelta(0):
            return Validity.EXPIRED
        return Validity.EXPIRING if left < EXPIRES_SOON else Validity.VALID

    @property
    def tag(self) -> str:
        """Another one is another content, after a restored backup too."""
        return f"{self.version}-{self.fingerprint[:16]}"

    def covers(self, host: str) -> bool:
        """By RFC 6125: a wildcard stands for one label."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts

    def fits(self, hostname: str) -> bool:
        """For a listener's hostname: of "*.example.com" it covers at least one host."""
        if hostname.startswith("*."):
            return any(host.endswith(hostname[1:]) for host in self.hosts)
        return self.covers(hostname)
