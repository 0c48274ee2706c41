"""People, the organizations they work in, their API tokens and the audit trail."""

from __future__ import annotations

import uuid
from typing import Any, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.expressions import ArraySubquery
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, PermissionsMixin):
    """A person. Signs in with the email address; rights come from memberships."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(_("email"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    locale = models.CharField(
        _("language"), max_length=8, blank=True, choices=[("ko", "한국어"), ("en", "English")]
    )
    is_active = models.BooleanField(_("active"), default=True)
    is_staff = models.BooleanField(_("may use the admin"), default=False)
    date_joined = models.DateTimeField(_("joined"), default=timezone.now, editable=False)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    # Set by token authentication: the one organization this request may see and touch.
    scope: uuid.UUID | None = None

    objects = UserManager()

    class Meta:
        ordering = ["email"]
        constraints = [
            models.CheckConstraint(
                name="accounts_user_email_lower", condition=Q(email=Lower("email"))
            )
        ]

    def __str__(self) -> str:
        return self.name or self.email


class TenantQuerySet(models.QuerySet):
    """Rows that belong to an organization. `tenant` is the path to it."""

    tenant = "organization"

    def visible_to(self, user: Any) -> TenantQuerySet:
        """Rows of the organizations the user works in; a token sees only its own organization's.

        Every read on behalf of a user starts here, so that someone else's row does not exist.
        """
        return self.tenants_of(user, self.tenant)

    def tenants_of(self, user: Any, tenant: str) -> Self:
        """The same by another path, for rows that two organizations share."""
        if not user.is_authenticated:
            return self.none()
        if user.is_superuser and user.scope is None:
            return self
        mine = Membership.objects.filter(user=user).order_by()
        if user.scope is not None:
            mine = mine.filter(organization=user.scope)
        return self.filter(_Among(F(tenant), ArraySubquery(mine.values("organization"))))


class _Among(Func):
    """As `in` of a subquery, but asked first: PostgreSQL knows no statistics of a handful of memberships,
    takes their join for one that finds hardly a row, and goes through a long list row by row."""

    template = "%(expressions)s)"
    arg_joiner = " = ANY("
    output_field = models.BooleanField()


class OrganizationQuerySet(TenantQuerySet):
    tenant = "pk"


class Kind(models.TextChoices):
    OPERATOR = "operator", _("operator")
    PROVIDER = "provider", _("provider")
    CONSUMER = "consumer", _("consumer")


class Organization(models.Model):
    """A tenant. Its kind decides which part of the portal it works in."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=16, choices=Kind)
    name = models.CharField(_("name"), max_length=120, unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="accounts_organization_kind_known", condition=Q(kind__in=Kind.values)
            )
        ]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """Viewers read, members work, admins also manage people, tokens and deletions."""

    VIEWER = "viewer", _("viewer")
    MEMBER = "member", _("member")
    ADMIN = "admin", _("admin")


class Membership(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    role = models.CharField(_("role"), max_length=16, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["organization__name", "user__email"]
        constraints = [
            models.UniqueConstraint(
                name="accounts_membership_once", fields=["user", "organization"]
            ),
            models.CheckConstraint(
                name="accounts_membership_role_known", condition=Q(role__in=Role.values)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.organization} ({self.role})"


class ApiToken(models.Model):
    """A long-lived credential for programs: acts as its user inside one organization."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="api_tokens")
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(_("prefix"), max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} (imp_{self.prefix}_…)"

    @property
    def is_usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired


class SignIn(models.Model):
    """One log-in through the API: the family of all refresh tokens that descend from it.

    Each refresh raises `sequence`, and only the newest refresh token counts. An older one means that
    two parties hold the family, so it is revoked.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="sign_ins")
    organization = models.ForeignKey(
        Organization, models.CASCADE, null=True, related_name="sign_ins"
    )
    sequence = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)
    refreshed_at = models.DateTimeField(_("refreshed"), null=True, editable=False)
    expires_at = models.DateTimeField(_("expires"), editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    revoked_because = models.CharField(_("reason"), max_length=16, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                name="accounts_signin_revoked_with_reason",
                condition=Q(revoked_at__isnull=True, revoked_because="")
                | Q(revoked_at__isnull=False) & ~Q(revoked_because=""),
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.created_at:%Y-%m-%d %H:%M}"


class AuditQuerySet(TenantQuerySet):
    tenant = "organization_id"


class AuditEvent(models.Model):
    """Who changed what. The database refuses updates and deletions (see the migration's trigger)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(_("when"), default=timezone.now, editable=False)
    # Plain ids and labels, not foreign keys: the trail outlives what it tells about.
    organization_id = models.UUIDField(null=True, editable=False)
    actor_id = models.UUIDField(null=True, editable=False)
    actor_label = models.CharField(_("who"), max_length=200, editable=False)
    action = models.CharField(_("what"), max_length=64, editable=False)
    object_type = models.CharField(_("type"), max_length=64, editable=False)
    object_id = models.CharField(_("id"), max_length=64, editable=False)
    object_label = models.CharField(_("object"), max_length=200, editable=False)
    before = models.JSONField(_("before"), null=True, encoder=DjangoJSONEncoder, editable=False)
    after = models.JSONField(_("after"), null=True, encoder=DjangoJSONEncoder, editable=False)
    ip = models.GenericIPAddressField(_("address"), null=True, editable=False)
    user_agent = models.CharField(_("user agent"), max_length=300, blank=True, editable=False)
    request_id = models.CharField(_("request"), max_length=64, blank=True, editable=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(name="accounts_audit_object", fields=["object_id", "-created_at"]),
            models.Index(name="accounts_audit_org", fields=["organization_id", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action} {self.object_label}"


class NoticeQuerySet(TenantQuerySet):
    def open(self) -> NoticeQuerySet:
        """Still true: neither ended nor past its own end."""
        return self.filter(Q(until=None) | Q(until__gt=timezone.now()), ended_at=None)

    def unread_by(self, user: Any) -> NoticeQuerySet:
        return self.filter(~self._read_by(user))

    def marked_for(self, user: Any) -> NoticeQuerySet:
        """Annotate `read`: whether this user has."""
        return self.annotate(read=self._read_by(user))

    def _read_by(self, user: Any) -> models.Exists:
        readers = self.model.readers.through.objects
        return models.Exists(readers.filter(notice=models.OuterRef("pk"), user=user))


class Notice(models.Model):
    """Something that an organization should know, kept so that whoever comes later reads it, too.

    `text` is the English source with placeholders for `params`: each reader gets it in their language.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="notices")
    # One open notice for each topic: "cluster.maintenance:<id>".
    topic = models.CharField(max_length=120, editable=False)
    text = models.CharField(max_length=300, editable=False)
    params = models.JSONField(default=dict, encoder=DjangoJSONEncoder, editable=False)
    url = models.CharField(max_length=300, blank=True, editable=False)
    until = models.DateTimeField(_("until"), null=True, editable=False)
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)
    readers = models.ManyToManyField(User, related_name="+", editable=False)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                name="accounts_notice_one_open_per_topic",
                fields=["organization", "topic"],
                condition=Q(ended_at=None),
            )
        ]

    def __str__(self) -> str:
        return self.words

    @property
    def words(self) -> str:
        return gettext(self.text) % self.params

    @property
    def over(self) -> bool:
        return self.ended_at is not None or (
            self.until is not None and self.until <= timezone.now()
        )
