"""Templates of gateways: class and listeners."""

from __future__ import annotations

import uuid

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet
from catalog.models.certificates import Certificate
from clusters.models import Cluster

# Only classes that have a driver are offered.
GATEWAY_CLASSES = [("envoy", "Envoy")]


class GatewayQuerySet(TenantQuerySet):
    def drivable_on(self, cluster: Cluster) -> GatewayQuerySet:
        """Those of a class that an agent of the cluster says it can drive.

        All of them while it has no agent that could say: a publish waits for one.
        """
        said = list(
            cluster.agents.filter(revoked_at=None).values_list("gateway_classes", flat=True)
        )
        if not said:
            return self
        return self.filter(gateway_class__in={name for names in said for name in names})


class Gateway(models.Model):
    """A template: class and listeners. Publishing a product to a cluster makes it real there."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="gateways")
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("description"), max_length=500, blank=True)
    gateway_class = models.CharField(_("class"), max_length=32, choices=GATEWAY_CLASSES)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = GatewayQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_gateway_name_once",
                fields=["organization", "name"],
                violation_error_message=_("You already have a gateway of this name."),
            ),
            models.CheckConstraint(
                name="catalog_gateway_class_known",
                condition=Q(gateway_class__in=[name for name, _label in GATEWAY_CLASSES]),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Protocol(models.TextChoices):
    HTTP = "HTTP", "HTTP"
    HTTPS = "HTTPS", "HTTPS"


class ListenerQuerySet(TenantQuerySet):
    tenant = "gateway__organization"


class Listener(models.Model):
    """A port that the gateway opens. Providers share one listener per cluster and port.

    With a hostname it is there for that host alone ("*.example.com": for every host below). Of several
    on one port the most specific serves a host.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    gateway = models.ForeignKey(Gateway, models.CASCADE, related_name="listeners")
    port = models.PositiveIntegerField(
        _("port"), validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    protocol = models.CharField(
        _("protocol"), max_length=8, choices=Protocol, default=Protocol.HTTP
    )
    hostname = models.CharField(_("hostname"), max_length=253, blank=True)  # lower case
    certificate = models.ForeignKey(
        Certificate,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="listeners",
        verbose_name=_("certificate"),
    )

    objects = ListenerQuerySet.as_manager()

    class Meta:
        ordering = ["port", "hostname"]
        constraints = [
            models.UniqueConstraint(
                name="catalog_listener_place_once", fields=["gateway", "port", "hostname"]
            ),
            models.CheckConstraint(
                name="catalog_listener_port_range", condition=Q(port__range=(1, 65535))
            ),
            models.CheckConstraint(
                name="catalog_listener_protocol_known", condition=Q(protocol__in=Protocol.values)
            ),
            models.CheckConstraint(
                name="catalog_listener_certificate_iff_https",
                condition=Q(protocol=Protocol.HTTPS, certificate__isnull=False)
                | Q(~Q(protocol=Protocol.HTTPS), certificate=None),
            ),
        ]

    def __str__(self) -> str:
        place = f"{self.port}/{self.protocol}"
        return f"{place} {self.hostname}" if self.hostname else place

    def serves(self, host: str) -> bool:
        """Exact, or below a wildcard: *.example.com is there for a.b.example.com too."""
        if self.hostname.startswith("*."):
            return host.endswith(self.hostname[1:])
        return self.hostname in ("", host)
