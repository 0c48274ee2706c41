"""One API: its routes, the backends that answer, and what happens to every call."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class ApiService(models.Model):
    """One API as its provider describes it: routes below a base path, and the backends that answer."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="api_services")
    name = models.CharField(_("name"), max_length=120)
    version = models.CharField(_("version"), max_length=40, default="1.0")
    description = models.TextField(_("description"), blank=True)
    base_path = models.CharField(_("base path"), max_length=200, default="/")
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name", "version", "id"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_apiservice_name_version_once",
                fields=["organization", "name", "version"],
                violation_error_message=_("You already have a service of this name and version."),
            ),
            models.CheckConstraint(
                name="catalog_apiservice_base_path_absolute",
                condition=Q(base_path__startswith="/"),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ServicePartQuerySet(TenantQuerySet):
    tenant = "service__organization"


class Backend(models.Model):
    """One upstream host of a service. Weights are relative among its siblings."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(ApiService, models.CASCADE, related_name="backends")
    host = models.CharField(_("host"), max_length=253)
    port = models.PositiveIntegerField(
        _("port"), validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    tls = models.BooleanField(_("TLS"), default=False)
    weight = models.PositiveIntegerField(
        _("weight"), default=1, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    health_check_path = models.CharField(_("health check path"), max_length=200, blank=True)

    objects = ServicePartQuerySet.as_manager()

    class Meta:
        ordering = ["host", "port", "id"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_backend_address_once", fields=["service", "host", "port"]
            ),
            models.CheckConstraint(
                name="catalog_backend_port_range", condition=Q(port__range=(1, 65535))
            ),
            models.CheckConstraint(
                name="catalog_backend_weight_range", condition=Q(weight__range=(1, 1000))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Match(models.TextChoices):
    PREFIX = "prefix", _("prefix")  # by whole path segments: /a matches /a and /a/b, never /ab
    EXACT = "exact", _("exact")


class Route(models.Model):
    """Which calls go to the service. The path is relative to the service's base path.

    Whole segments may be parameters, /users/{id}: each stands for one segment, whatever its name.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(ApiService, models.CASCADE, related_name="routes")
    match = models.CharField(_("match"), max_length=8, choices=Match, default=Match.PREFIX)
    path = models.CharField(_("path"), max_length=500, default="/")
    methods = ArrayField(models.CharField(max_length=8), verbose_name=_("methods"))  # sorted
    rewrite = models.CharField(_("rewrite to"), max_length=500, blank=True)
    timeout_ms = models.PositiveIntegerField(
        _("timeout (ms)"),
        default=15_000,
        validators=[MinValueValidator(1), MaxValueValidator(300_000)],
    )
    retries = models.PositiveIntegerField(
        _("retries"), default=0, validators=[MaxValueValidator(5)]
    )

    retry_unsafe = models.BooleanField(
        _("retry unsafe methods"),
        default=False,
        help_text=_("Repeat POST and PATCH, too, although the backend may have seen the call."),
    )

    objects = ServicePartQuerySet.as_manager()

    class Meta:
        ordering = ["path", "match", "id"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_route_once", fields=["service", "match", "path", "methods"]
            ),
            models.CheckConstraint(
                name="catalog_route_match_known", condition=Q(match__in=Match.values)
            ),
            models.CheckConstraint(
                name="catalog_route_path_absolute", condition=Q(path__startswith="/")
            ),
            models.CheckConstraint(
                name="catalog_route_methods_known",
                condition=Q(methods__contained_by=list(METHODS), methods__len__gt=0),
            ),
            models.CheckConstraint(
                name="catalog_route_rewrite_absolute",
                condition=Q(rewrite="") | Q(rewrite__startswith="/"),
            ),
            models.CheckConstraint(
                name="catalog_route_timeout_range", condition=Q(timeout_ms__range=(1, 300_000))
            ),
            models.CheckConstraint(name="catalog_route_retries_range", condition=Q(retries__lte=5)),
        ]

    def __str__(self) -> str:
        return f"{','.join(self.methods)} {self.path}"


class PolicyKind(models.TextChoices):
    CORS = "cors", _("CORS")
    HEADERS = "headers", _("Header transforms")
    IP = "ip", _("IP allow and deny lists")
    REQUEST_SIZE = "request_size", _("Request size")


class Policy(models.Model):
    """What happens to every call of a service. `catalog.policies` says what each configuration holds."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    service = models.ForeignKey(ApiService, models.CASCADE, related_name="policies")
    kind = models.CharField(_("kind"), max_length=16, choices=PolicyKind)
    config = models.JSONField(_("configuration"), default=dict)

    objects = ServicePartQuerySet.as_manager()

    class Meta:
        ordering = ["kind"]
        verbose_name_plural = _("policies")
        constraints = [
            models.UniqueConstraint(name="catalog_policy_kind_once", fields=["service", "kind"]),
            models.CheckConstraint(
                name="catalog_policy_kind_known", condition=Q(kind__in=PolicyKind.values)
            ),
        ]

    def __str__(self) -> str:
        return self.kind
