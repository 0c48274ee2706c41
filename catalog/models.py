"""What providers define: pure descriptions, deployed nowhere by themselves."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet, User
from clusters.models import Cluster

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Only classes that have a driver are offered.
GATEWAY_CLASSES = [("envoy", "Envoy")]


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


EXPIRES_SOON = timedelta(days=30)


class Validity(models.TextChoices):
    VALID = "valid", _("valid")
    EXPIRING = "expiring", _("expires soon")
    EXPIRED = "expired", _("expired")


class GatewayQuerySet(TenantQuerySet):
    def drivable_on(self, cluster: Cluster) -> GatewayQuerySet:
        """Those of a class that an agent of the cluster says it can drive."""
        said = cluster.agents.filter(revoked_at=None).values_list("gateway_classes", flat=True)
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
