"""Who may call what: plans, applications, subscriptions, keys, and what gateways need to know of them."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.conf import settings
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization, TenantQuerySet
from clusters.models import Cluster
from publishing.models import ProductPublish, Visibility
from publishing.states import Status as PublishStatus
from subscriptions.states import DECIDED, OPEN, Status

CURRENCY = r"^[A-Z]{3}$"  # ISO 4217


class PlanQuerySet(TenantQuerySet):
    tenant = "publish__organization"

    def public(self) -> PlanQuerySet:
        """Of live publishes that everybody may find."""
        return self.filter(
            publish__status=PublishStatus.PUBLISHED, publish__visibility=Visibility.PUBLIC
        )

    def offered_to(self, user: Any) -> PlanQuerySet:
        """Plans a consumer may subscribe to: public ones, and those of the user's own live publishes."""
        if not user.is_authenticated:
            return self.none()
        own = self.filter(
            publish__status=PublishStatus.PUBLISHED,
            publish__in=ProductPublish.objects.visible_to(user),
        )
        return self.public() | own


class Plan(models.Model):
    """What a subscription to one publish costs and allows. Null means unlimited."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Goes with its publish. What must not be deleted is an open subscription: see the migration's trigger.
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="plans")
    name = models.CharField(_("name"), max_length=80)
    price = models.DecimalField(
        _("price per month"),
        max_digits=12,
        decimal_places=2,
        default=0,
        validators=[MinValueValidator(0)],
    )
    currency = models.CharField(
        _("currency"), max_length=3, default="USD", validators=[RegexValidator(CURRENCY)]
    )
    quota_per_day = models.PositiveBigIntegerField(
        _("quota per day"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    rate_per_minute = models.PositiveIntegerField(
        _("calls per minute"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    # None: as the publish says.
    approval_required = models.BooleanField(_("approval required"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering = ["price", "name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="subscriptions_plan_name_once",
                fields=["publish", "name"],
                violation_error_message=_("This publish already has a plan of this name."),
            ),
            models.CheckConstraint(
                name="subscriptions_plan_price_not_negative", condition=Q(price__gte=0)
            ),
            models.CheckConstraint(
                name="subscriptions_plan_currency_code", condition=Q(currency__regex=CURRENCY)
            ),
            models.CheckConstraint(
                name="subscriptions_plan_limits_positive",
                condition=(Q(quota_per_day=None) | Q(quota_per_day__gt=0))
                & (Q(rate_per_minute=None) | Q(rate_per_minute__gt=0)),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Application(models.Model):
    """A consumer's program that calls APIs."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="applications")
    name = models.CharField(_("name"), max_length=120)
    description = models.CharField(_("description"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                name="subscriptions_application_name_once",
                fields=["organization", "name"],
                violation_error_message=_("You already have an application of this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name


LISTED = (
    "status",
    "reason",
    "created_at",
    "decided_at",
    "application__name",
    "plan",
    "publish__environment",
    "publish__status",
    "publish__product__name",
    "publish__product__version",
)


class SubscriptionQuerySet(TenantQuerySet):
    tenant = "application__organization"

    def provided_by(self, user: Any) -> SubscriptionQuerySet:
        """Subscriptions to publishes of the user's provider organizations."""
        return self.tenants_of(user, "publish__organization")

    def listed(self, *beside: str) -> Self:
        """With the columns that lists show, and those `beside` them. Any other is a query for each row."""
        related = {column.rpartition("__")[0] for column in beside}
        rows = self.select_related("application", "plan", "publish__product", *related)
        return rows.only(*LISTED, *beside)


class Subscription(models.Model):
    """An application's right to call a publish; its plan can change without changing keys."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    application = models.ForeignKey(Application, models.PROTECT, related_name="subscriptions")
    # RESTRICT, not PROTECT: a publish may go with its plans and closed subscriptions all at once.
    plan = models.ForeignKey(Plan, models.RESTRICT, related_name="subscriptions")
    # The plan's publish; the database checks that it is.
    publish = models.ForeignKey(ProductPublish, models.CASCADE, related_name="subscriptions")
    status = models.CharField(
        _("status"), max_length=12, choices=Status, default=Status.PENDING, editable=False
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    decided_at = models.DateTimeField(_("decided"), null=True, editable=False)
    reason = models.CharField(_("reason"), max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField(_("requested"), default=timezone.now, editable=False)

    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                name="subscriptions_subscription_one_open",
                fields=["application", "publish"],
                condition=Q(status__in=OPEN),
                violation_error_message=_("This application is already subscribed."),
            ),
            models.CheckConstraint(
                name="subscriptions_subscription_status_known",
                condition=Q(status__in=Status.values),
            ),
            models.CheckConstraint(
                name="subscriptions_subscription_decided_has_time",
                condition=Q(status=Status.PENDING, decided_at=None)
                | Q(status__in=DECIDED, decided_at__isnull=False)
                | Q(status=Status.CANCELLED),
            ),
        ]
        indexes = [
            # Every page of a provider tells how many wait.
            models.Index(
                name="subscriptions_sub_waiting",
                fields=["publish"],
                condition=Q(status=Status.PENDING),
            )
        ]

    def __str__(self) -> str:
        return f"{self.application} → {self.publish}"


class CredentialQuerySet(TenantQuerySet):
    tenant = "subscription__application__organization"


class Credential(models.Model):
    """An API key, shown once: 256 random bits, so that a prefix and a plain SHA-256 are enough."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    subscription = models.ForeignKey(Subscription, models.CASCADE, related_name="credentials")
    name = models.CharField(_("name"), max_length=80, default="key")
    prefix = models.CharField(_("prefix"), max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    # The access version that carries the revocation: gateways at it or beyond refuse the key.
    revoked_version = models.PositiveBigIntegerField(null=True, editable=False)

    objects = CredentialQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "id"]
        constraints = [
            models.CheckConstraint(
                name="subscriptions_credential_revoked_has_version",
                condition=Q(revoked_at=None, revoked_version=None)
                | Q(revoked_at__isnull=False, revoked_version__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class EntryKind(models.TextChoices):
    KEY = "key"
    PLAN = "plan"


class AccessEntry(models.Model):
    """What gateways need to know of one key or plan, at the version that last changed it.

    Plain ids instead of foreign keys: a tombstone outlives what it buries.
    """

    # The id of the credential or plan, so that one object is one entry per cluster.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    cluster = models.ForeignKey(Cluster, models.CASCADE, related_name="access_entries")
    version = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=8, choices=EntryKind)
    digest = models.CharField(max_length=64, blank=True)
    publish_id = models.UUIDField()
    plan_id = models.UUIDField()
    subscription_id = models.UUIDField(null=True)
    suspended = models.BooleanField(default=False)
    rate_per_minute = models.PositiveIntegerField(default=0)  # 0 = unlimited
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "access entries"
        constraints = [
            models.CheckConstraint(
                name="subscriptions_accessentry_kind_known",
                condition=Q(kind=EntryKind.PLAN, digest="", subscription_id=None)
                | (Q(kind=EntryKind.KEY, subscription_id__isnull=False) & ~Q(digest="")),
            )
        ]
        indexes = [
            models.Index(name="subscriptions_access_cursor", fields=["cluster", "version", "id"]),
            models.Index(
                name="subscriptions_access_buried",
                fields=["cluster", "deleted_at"],
                condition=Q(deleted_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.version}"
