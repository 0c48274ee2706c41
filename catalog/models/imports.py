"""OpenAPI documents on their way to become services."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet, User
from catalog.models.services import ApiService


class ImportSource(models.TextChoices):
    PASTE = "paste", _("pasted")
    FILE = "file", _("file")
    URL = "url", _("link")


class ImportStatus(models.TextChoices):
    PENDING = "pending", _("pending")  # the worker fetches it
    READY = "ready", _("ready")
    FAILED = "failed", _("failed")
    APPLIED = "applied", _("applied")


class ApiImport(models.Model):
    """An OpenAPI document on its way to become a service, or the next version of one.

    `preview` is what the document says in our terms. What applying it would change is computed when it is
    asked for: the service may have been edited meanwhile.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="api_imports")
    # What it updates; once applied, what it became. Without one it makes a new service.
    service = models.ForeignKey(ApiService, models.CASCADE, null=True, related_name="imports")
    source = models.CharField(_("source"), max_length=8, choices=ImportSource)
    origin = models.CharField(_("from"), max_length=2000, blank=True)  # the URL, the file's name
    document = models.TextField(_("document"), blank=True)
    status = models.CharField(_("status"), max_length=8, choices=ImportStatus)
    problem = models.JSONField(
        default=dict, blank=True
    )  # {"code", "details"}, said by the reader's language
    preview = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    asked_at = models.DateTimeField(default=timezone.now, editable=False)  # of the worker, last
    applied_at = models.DateTimeField(_("applied"), null=True, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="catalog_apiimport_source_known", condition=Q(source__in=ImportSource.values)
            ),
            models.CheckConstraint(
                name="catalog_apiimport_status_known", condition=Q(status__in=ImportStatus.values)
            ),
            models.CheckConstraint(
                name="catalog_apiimport_url_has_origin",
                condition=~Q(source=ImportSource.URL) | ~Q(origin=""),
            ),
            models.CheckConstraint(
                name="catalog_apiimport_read_has_document",
                condition=~Q(status__in=[ImportStatus.READY, ImportStatus.APPLIED])
                | ~Q(document=""),
            ),
            models.CheckConstraint(
                name="catalog_apiimport_applied_iff_then",
                condition=Q(status=ImportStatus.APPLIED, applied_at__isnull=False)
                | (~Q(status=ImportStatus.APPLIED) & Q(applied_at__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return str(self.preview.get("name") or self.origin or self.get_source_display())
