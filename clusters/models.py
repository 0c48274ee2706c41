"""Clusters, the agents that live in them, and the tokens agents join with."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import (
    Case,
    Exists,
    F,
    Func,
    Max,
    Min,
    OuterRef,
    Q,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership, Organization, TenantQuerySet
from core.queries import number

# RFC 1123 label, as Kubernetes takes it: 1-63 of a-z, 0-9, "-", starting and ending with a letter or digit.
DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
MAX_HOPS = 10
HEARTBEAT_WINDOW = timedelta(seconds=90)
DISCONNECT_GRACE = timedelta(seconds=20)

dns_label = RegexValidator(
    DNS_LABEL,
    _(
        "Use 1 to 63 lower-case letters, digits and hyphens; "
        "start and end with a letter or digit (the Kubernetes rule)."
    ),
)


class Status(models.TextChoices):
    """Derived, never stored, so that it cannot lie: see ClusterQuerySet.with_status."""

    PENDING = "pending", _("Pending")
    ACTIVE = "active", _("Active")
    INACTIVE = "inactive", _("Inactive")
    MAINTENANCE = "maintenance", _("Maintenance")


def live_agents(prefix: str = "", *, now: datetime | None = None) -> Q:
    """Unrevoked, a heartbeat within 90 s, and no disconnect older than 20 s; now by the database's clock."""
    moment: Any = now or Now()
    return (
        Q(**{f"{prefix}revoked_at": None})
        & Q(**{f"{prefix}last_heartbeat_at__gt": moment - HEARTBEAT_WINDOW})
        & (
            Q(**{f"{prefix}disconnected_at": None})
            | Q(**{f"{prefix}disconnected_at__gt": moment - DISCONNECT_GRACE})
        )
    )


def out_of_sync() -> Q:
    """Of a cluster: an agent lacks a generation or could not apply everything.

    As ClusterQuerySet.with_progress: its live agents count; where none is live, those that were.
    """
    heard = Agent.objects.filter(
        cluster=OuterRef("pk"), revoked_at=None, last_heartbeat_at__isnull=False
    )
    live = heard.filter(live_agents())
    lags = Q(applied_generation__lt=OuterRef("state__desired_generation")) | ~Q(last_error="")
    return Q(Exists(live.filter(lags))) | Q(~Exists(live), Exists(heard.filter(lags)))


class ClusterQuerySet(TenantQuerySet):
    def with_status(self) -> ClusterQuerySet:
        """Annotate status, status_since, agent_count, active_agent_count, last_heartbeat: one SQL truth.

        Subqueries and no joins: the order stays, and other annotations may be added freely.
        """
        joined = Agent.objects.filter(cluster=OuterRef("pk"), revoked_at=None)
        live = joined.filter(live_agents())
        return self.with_dated_status().annotate(
            agent_count=number(joined, by="cluster"),
            active_agent_count=number(live, by="cluster"),
            last_heartbeat=_of_each(joined, Max("last_heartbeat_at")),
        )

    def with_dated_status(self) -> ClusterQuerySet:
        """Annotate the status and since when."""
        heard = Agent.objects.filter(cluster=OuterRef("pk"), last_heartbeat_at__isnull=False)
        joined = Min("connected_at", filter=live_agents())
        lost = Max(Greatest("disconnected_at", "last_heartbeat_at"))
        return self.with_bare_status().annotate(
            # In the order of the status itself, without saying it once more for each.
            status_since=Case(
                When(in_maintenance(), then=F("maintenance_since")),
                default=Coalesce(_of_each(heard, Coalesce(joined, lost)), "created_at"),
            ),
        )

    def with_bare_status(self) -> ClusterQuerySet:
        """Annotate the status alone, without joins, for counting."""
        mine = Agent.objects.filter(cluster=OuterRef("pk"))
        # Joined is not enough to be missed: until its first heartbeat nothing was ever lost. A revoked
        # agent is missed, too: its gateway serves on, and nobody changes it any more.
        heard = mine.filter(last_heartbeat_at__isnull=False)
        return self.annotate(
            status=Case(
                When(in_maintenance(), then=Value(Status.MAINTENANCE)),
                When(Exists(mine.filter(live_agents())), then=Value(Status.ACTIVE)),
                When(~Exists(heard), then=Value(Status.PENDING)),
                default=Value(Status.INACTIVE),
                output_field=models.CharField(),
            )
        )

    def with_progress(self) -> ClusterQuerySet:
        """Annotate what is wanted, and the least that is applied by the live agents; where none is live,
        by those that were.
        """
        heard = Agent.objects.filter(
            cluster=OuterRef("pk"), revoked_at=None, last_heartbeat_at__isnull=False
        )
        least = Min("applied_generation", filter=live_agents())
        return self.annotate(
            desired_generation=F("state__desired_generation"),
            applied_generation=_of_each(heard, Coalesce(least, Min("applied_generation"))),
        )

    def with_capabilities(self) -> ClusterQuerySet:
        """Annotate the gateway classes that its live agents can drive."""
        live = Agent.objects.live().filter(cluster=OuterRef("pk"))
        classes = live.annotate(drives=Func("gateway_classes", function="unnest"))
        found = classes.order_by("drives").values("drives").distinct()
        return self.annotate(capabilities=ArraySubquery(found))

    def open_for(self, organization: Organization) -> ClusterQuerySet:
        """Clusters that this provider may publish to."""
        return self.filter(
            Q(open_to_all=True) | Q(pk__in=organization.offered_clusters.values("pk"))
        )

    def offered_to(self, user: Any) -> ClusterQuerySet:
        """Clusters a provider may publish to: open to all, or to an organization of theirs."""
        if not user.is_authenticated:
            return self.none()
        if user.is_superuser and user.scope is None:
            return self
        memberships = Membership.objects.filter(user=user, organization__kind="provider")
        if user.scope is not None:
            memberships = memberships.filter(organization=user.scope)
        return self.filter(
            (Q(open_to_all=True) & Exists(memberships))
            | Exists(
                Cluster.open_to.through.objects.filter(
                    cluster_id=OuterRef("pk"),
                    organization_id__in=memberships.values("organization"),
                )
            )
        )


def _of_each(agents: AgentQuerySet, aggregate: models.Aggregate) -> Subquery:
    """One number of each cluster's agents."""
    return Subquery(agents.order_by().values("cluster").annotate(found=aggregate).values("found"))


def in_maintenance() -> Q:
    return Q(maintenance_since__lte=Now()) & (
        Q(maintenance_until=None) | Q(maintenance_until__gt=Now())
    )


class RegionQuerySet(models.QuerySet):
    def offered_to(self, organization: Organization | None) -> RegionQuerySet:
        """Those of everybody, and the organization's own."""
        return self.filter(Q(organization=None) | Q(organization=organization))


class Region(models.Model):
    """A name that operators choose when they register a cluster. The list grows with what they type."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="regions",
        verbose_name=_("operator"),
        help_text=_("Empty: every operator is offered it."),
    )
    name = models.CharField(_("name"), max_length=100)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = RegionQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="clusters_region_name_once",
                fields=["organization", "name"],
                nulls_distinct=False,
                violation_error_message=_("This region is in the list already."),
            ),
            models.CheckConstraint(name="clusters_region_named", condition=~Q(name="")),
        ]

    def __str__(self) -> str:
        return self.name


class Cluster(models.Model):
    """A Kubernetes cluster (or plain host) whose gateways agents drive."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="clusters")
    name = models.CharField(_("name"), max_length=63, validators=[dns_label])
    description = models.CharField(_("description"), max_length=500, blank=True)
    region = models.CharField(_("region"), max_length=100)
    cloud_provider = models.CharField(_("cloud provider"), max_length=50, blank=True)
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    # Inclusive [first, last] pairs, flattened: {80, 80, 8000, 8999}.
    allowed_ports = ArrayField(
        models.PositiveIntegerField(), default=list, blank=True, verbose_name=_("allowed ports")
    )
    # CIDR blocks that backends may resolve into although they are loopback, link-local or metadata.
    allowed_networks = ArrayField(
        models.CharField(max_length=43),
        default=list,
        blank=True,
        verbose_name=_("allowed networks"),
    )
    trusted_hops = models.PositiveSmallIntegerField(
        _("trusted proxies"), default=0, validators=[MaxValueValidator(MAX_HOPS)]
    )
    open_to_all = models.BooleanField(_("open to every provider"), default=True)
    open_to = models.ManyToManyField(
        Organization, related_name="offered_clusters", blank=True, verbose_name=_("open to")
    )
    maintenance_since = models.DateTimeField(_("in maintenance since"), null=True, editable=False)
    maintenance_until = models.DateTimeField(_("until"), null=True, editable=False)
    maintenance_reason = models.CharField(_("reason"), max_length=300, blank=True, editable=False)
    first_active_at = models.DateTimeField(_("first active"), null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)

    objects = ClusterQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="clusters_cluster_name_per_operator",
                fields=["organization", "name"],
                violation_error_message=_("You already have a cluster of this name."),
            ),
            models.CheckConstraint(
                name="clusters_cluster_name_dns_label", condition=Q(name__regex=DNS_LABEL)
            ),
            models.CheckConstraint(
                name="clusters_cluster_trusted_hops_few", condition=Q(trusted_hops__lte=MAX_HOPS)
            ),
            models.CheckConstraint(
                name="clusters_cluster_maintenance_ends_after_start",
                condition=Q(maintenance_until=None)
                | Q(maintenance_since__isnull=False, maintenance_until__gt=F("maintenance_since")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def allows_port(self, port: int) -> bool:
        pairs = zip(self.allowed_ports[::2], self.allowed_ports[1::2], strict=True)
        return not self.allowed_ports or any(low <= port <= high for low, high in pairs)

    @property
    def maintained(self) -> bool:
        """In maintenance right now."""
        now = timezone.now()
        since, until = self.maintenance_since, self.maintenance_until
        return since is not None and since <= now and (until is None or until > now)


class ClusterState(models.Model):
    """The cluster's desired state, apart from Cluster so that edits and publishes do not lock each other."""

    cluster = models.OneToOneField(Cluster, models.CASCADE, primary_key=True, related_name="state")
    desired_generation = models.PositiveBigIntegerField(default=0, editable=False)
    access_version = models.PositiveBigIntegerField(default=0, editable=False)
    lineage = models.UUIDField(default=uuid.uuid4, editable=False)

    def __str__(self) -> str:
        return f"{self.cluster_id} at {self.desired_generation}"


class AgentQuerySet(TenantQuerySet):
    tenant = "cluster__organization"

    def live(self, now: datetime | None = None) -> AgentQuerySet:
        return self.filter(live_agents(now=now))


class Agent(models.Model):
    """The program beside the gateways. Its key is its identity; the server stores nothing secret of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cluster = models.ForeignKey(Cluster, models.PROTECT, related_name="agents")
    name = models.CharField(_("name"), max_length=63, validators=[dns_label])
    public_key = models.BinaryField(max_length=32, editable=False)
    gateway_classes = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    version = models.CharField(_("version"), max_length=40, blank=True)
    session_epoch = models.PositiveBigIntegerField(default=0, editable=False)
    owner = models.CharField(max_length=80, blank=True, editable=False)  # agentd process
    rest_token_digest = models.CharField(max_length=64, blank=True, editable=False)
    connected_at = models.DateTimeField(_("connected"), null=True, editable=False)
    last_heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True, editable=False)
    disconnected_at = models.DateTimeField(_("disconnected"), null=True, editable=False)
    applied_generation = models.PositiveBigIntegerField(default=0, editable=False)
    settled_generation = models.PositiveBigIntegerField(default=0, editable=False)
    access_version = models.PositiveBigIntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_at = models.DateTimeField(_("joined"), default=timezone.now, editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="clusters_agent_name_per_cluster",
                fields=["cluster", "name"],
                condition=Q(revoked_at=None),
            ),
            models.UniqueConstraint(
                name="clusters_agent_key_once", fields=["public_key"], condition=Q(revoked_at=None)
            ),
            models.CheckConstraint(
                name="clusters_agent_name_dns_label", condition=Q(name__regex=DNS_LABEL)
            ),
        ]
        indexes = [
            models.Index(
                name="clusters_agent_rest_token",
                fields=["rest_token_digest"],
                condition=~Q(rest_token_digest=""),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_live(self) -> bool:
        """The same rule as `live_agents`, for a row in hand."""
        now = timezone.now()
        beat, gone = self.last_heartbeat_at, self.disconnected_at
        return (
            self.revoked_at is None
            and beat is not None
            and beat > now - HEARTBEAT_WINDOW
            and (gone is None or gone > now - DISCONNECT_GRACE)
        )

    @property
    def liveness(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.is_live else "inactive"


class RegistrationTokenQuerySet(TenantQuerySet):
    tenant = "cluster__organization"


class RegistrationToken(models.Model):
    """Lets an agent join: shown once, stored hashed, single use and one hour unless said otherwise."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cluster = models.ForeignKey(Cluster, models.CASCADE, related_name="registration_tokens")
    prefix = models.CharField(_("prefix"), max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    max_uses = models.PositiveIntegerField(_("uses allowed"), default=1)
    use_count = models.PositiveIntegerField(_("used"), default=0, editable=False)
    expires_at = models.DateTimeField(_("expires"))
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = RegistrationTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="clusters_registrationtoken_uses_bounded",
                condition=Q(use_count__lte=F("max_uses")),
            )
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"

    @property
    def usable(self) -> bool:
        return (
            self.revoked_at is None
            and self.use_count < self.max_uses
            and self.expires_at > timezone.now()
        )
