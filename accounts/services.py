"""Organizations, people, memberships and API tokens: the only door for writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, signins
from accounts.access import can, require
from accounts.models import ApiToken, Kind, Membership, Organization, Role, User
from core import secrets
from core.errors import DomainError, InvalidInput

USED_RESOLUTION = timedelta(minutes=1)
TOKEN_KIND = "imp"  # noqa: S105 - the tokens' first letters, not one of them


# --- Organizations and people --------------------------------------------------------------------


@transaction.atomic
def create_organization(
    *, actor: User | None, kind: str, name: str, admin: User | None = None
) -> Organization:
    """Open a tenant. Only a superuser may, or the system itself (actor None)."""
    _require_superuser(actor)
    if kind not in Kind.values:
        raise InvalidInput(
            _("Choose one of %(kinds)s.") % {"kinds": ", ".join(Kind.values)}, field="kind"
        )
    name = _organization_name(name)
    organization = Organization.objects.create(kind=kind, name=name)
    audit.record(
        actor=actor,
        action="organization.create",
        target=organization,
        organization_id=organization.pk,
        after={"kind": kind, "name": name},
    )
    if admin is not None:
        _join(organization, admin, Role.ADMIN, actor=actor)
    return organization


@transaction.atomic
def create_user(
    *,
    actor: User | None,
    email: str,
    password: str | None,
    name: str = "",
    locale: str = "",
    superuser: bool = False,
) -> User:
    """Add a person. Without a password they sign in through OpenID Connect only."""
    _require_superuser(actor)
    email = email.strip().lower()
    _check("email", validate_email, email)
    if User.objects.filter(email=email).exists():
        raise InvalidInput(_("There is an account with this email already."), field="email")
    if password is not None:
        _check("password", validate_password, password, User(email=email, name=name))
    create = User.objects.create_superuser if superuser else User.objects.create_user
    user = create(email, password, name=name.strip(), locale=locale)
    audit.record(
        actor=actor,
        action="user.create",
        target=user,
        organization_id=None,
        after={"email": email, "superuser": superuser},
    )
    return user


@transaction.atomic
def rename_organization(*, actor: User | None, organization_id: UUID, name: str) -> Organization:
    _require_superuser(actor)
    organization = Organization.objects.select_for_update().get(pk=organization_id)
    before, name = organization.name, _organization_name(name, but=organization_id)
    organization.name = name
    organization.save(update_fields=["name"])
    audit.record(
        actor=actor,
        action="organization.rename",
        target=organization,
        organization_id=organization.pk,
        before={"name": before},
        after={"name": name},
    )
    return organization


@transaction.atomic
def save_user(*, actor: User | None, user: User) -> User:
    """Keep a person that the admin's form built or changed."""
    _require_superuser(actor)
    audited = ("email", "name", "is_active", "is_staff", "is_superuser")
    before = User.objects.filter(pk=user.pk).values(*audited).first()
    user.save()
    audit.record(
        actor=actor,
        action="user.change" if before else "user.create",
        target=user,
        organization_id=None,
        before=before,
        after={name: getattr(user, name) for name in audited},
    )
    return user


@transaction.atomic
def password_changed(*, actor: User | None, user_id: UUID) -> None:
    """Whoever was signed in to the API with the old password is signed out. API tokens stay."""
    _require_superuser(actor)
    user = User.objects.get(pk=user_id)
    ended = signins.end_all(user=user, because="password")
    audit.record(
        actor=actor,
        action="user.password",
        target=user,
        organization_id=None,
        after={"sign_ins_ended": ended},
    )


@transaction.atomic
def set_locale(*, actor: User, locale: str) -> User:
    """The language of this person's pages, on every device."""
    if locale not in dict(settings.LANGUAGES):
        raise InvalidInput(_("Choose one of the languages offered."), field="locale")
    before = actor.locale
    if before == locale:
        return actor
    User.objects.filter(pk=actor.pk).update(locale=locale)
    actor.locale = locale
    audit.record(
        actor=actor,
        action="user.locale",
        target=actor,
        organization_id=None,
        before={"locale": before},
        after={"locale": locale},
    )
    return actor


# --- Memberships -----------------------------------------------------------------------------------


@transaction.atomic
def add_member(*, actor: User | None, organization_id: UUID, email: str, role: str) -> Membership:
    """Give somebody who has an account a role in the organization."""
    organization = _locked_organization(actor, organization_id)
    role = _role(role)
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
    if user is None:
        raise InvalidInput(
            _("Nobody has an account with this email. Ask an administrator to create one."),
            field="email",
        )
    if Membership.objects.filter(user=user, organization=organization).exists():
        raise DomainError(
            _("%(user)s is a member already. Change the role instead.") % {"user": user},
            code="already_member",
        )
    return _join(organization, user, role, actor=actor)


@transaction.atomic
def change_role(*, actor: User | None, membership_id: UUID, role: str) -> Membership:
    """An organization keeps at least one admin."""
    membership = _locked_membership(actor, membership_id)
    target = _role(role)
    before = membership.role
    if before == target:
        return membership
    if before == Role.ADMIN:
        _keep_an_admin(membership)
    membership.role = target
    membership.save(update_fields=["role"])
    audit.record(
        actor=actor,
        action="membership.change",
        target=membership,
        organization_id=membership.organization_id,
        before={"role": before},
        after={"role": target},
    )
    return membership


@transaction.atomic
def remove_member(*, actor: User | None, membership_id: UUID) -> None:
    """Their API tokens in the organization end with the membership."""
    membership = _locked_membership(actor, membership_id)
    if membership.role == Role.ADMIN:
        _keep_an_admin(membership)
    ApiToken.objects.filter(
        user=membership.user_id, organization=membership.organization_id, revoked_at=None
    ).update(revoked_at=timezone.now())
    audit.record(
        actor=actor,
        action="membership.remove",
        target=membership,
        organization_id=membership.organization_id,
        before={"user": membership.user.email, "role": membership.role},
    )
    membership.delete()


# --- API tokens ------------------------------------------------------------------------------------


@transaction.atomic
def create_api_token(
    *, actor: User, organization_id: UUID, name: str, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """A token acts as its user inside one organization. The secret is returned once, here."""
    organization = Organization.objects.visible_to(actor).get(pk=organization_id)
    require(actor, organization.pk, Role.MEMBER)
    name = name.strip()
    if not name or len(name) > 80:
        raise InvalidInput(_("Enter a name of 1 to 80 characters."), field="name")
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInput(_("Choose a time in the future."), field="expires_at")
    minted = secrets.mint(TOKEN_KIND)
    token = ApiToken.objects.create(
        user_id=actor.pk,
        organization=organization,
        name=name,
        prefix=minted.prefix,
        digest=minted.digest,
        expires_at=expires_at,
    )
    audit.record(
        actor=actor,
        action="api_token.create",
        target=token,
        organization_id=organization.pk,
        after={"name": name, "expires_at": expires_at},
    )
    return token, minted.text


@transaction.atomic
def revoke_api_token(*, actor: User, token_id: UUID) -> ApiToken:
    """Members revoke their own tokens, admins everybody's. Twice is once."""
    token = ApiToken.objects.visible_to(actor).select_for_update(of=("self",)).get(pk=token_id)
    require(actor, token.organization_id, Role.MEMBER)
    if token.user_id != actor.pk and not can(actor, token.organization_id, Role.ADMIN):
        raise PermissionDenied(_("Only an admin may revoke somebody else's token."))
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        audit.record(
            actor=actor,
            action="api_token.revoke",
            target=token,
            organization_id=token.organization_id,
        )
    return token


def find_api_token(secret: str) -> ApiToken | None:
    """The usable token behind a secret; notes its use at most once a minute."""
    prefix = secrets.prefix_of(TOKEN_KIND, secret)
    if prefix is None:
        return None
    token = ApiToken.objects.select_related("user", "organization").filter(prefix=prefix).first()
    if token is None or not secrets.matches(secret, token.digest):
        return None
    if not token.is_usable or not token.user.is_active:
        return None
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_RESOLUTION)
    if token.last_used_at is None or token.last_used_at < now - USED_RESOLUTION:
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    return token


# --- Shared -----------------------------------------------------------------------------------------


def _require_superuser(actor: User | None) -> None:
    if actor is not None and not (actor.is_superuser and actor.scope is None):
        raise PermissionDenied(_("Only an administrator of the portal may do this."))


def _locked_organization(actor: User | None, organization_id: UUID) -> Organization:
    """Locked, so that two admins who remove each other do not both succeed."""
    rows = Organization.objects.all() if actor is None else Organization.objects.visible_to(actor)
    organization = rows.select_for_update(of=("self",)).get(pk=organization_id)
    if actor is not None:
        require(actor, organization.pk, Role.ADMIN)
    return organization


def _locked_membership(actor: User | None, membership_id: UUID) -> Membership:
    rows = Membership.objects.all() if actor is None else Membership.objects.visible_to(actor)
    organization_id = rows.values_list("organization_id", flat=True).get(pk=membership_id)
    _locked_organization(actor, organization_id)
    return Membership.objects.select_related("user", "organization").get(pk=membership_id)


def _join(organization: Organization, user: User, role: Role, *, actor: User | None) -> Membership:
    membership = Membership.objects.create(organization=organization, user=user, role=role)
    audit.record(
        actor=actor,
        action="membership.add",
        target=membership,
        organization_id=organization.pk,
        after={"user": user.email, "role": role},
    )
    return membership


def _organization_name(name: str, *, but: UUID | None = None) -> str:
    name = name.strip()
    if not name or len(name) > 120:
        raise InvalidInput(_("Enter a name of 1 to 120 characters."), field="name")
    namesakes = Organization.objects.filter(name=name)
    if (namesakes.exclude(pk=but) if but else namesakes).exists():
        raise InvalidInput(_("There is an organization of this name already."), field="name")
    return name


def _role(role: str) -> Role:
    if role not in Role.values:
        raise InvalidInput(
            _("Choose one of %(roles)s.") % {"roles": ", ".join(Role.values)}, field="role"
        )
    return Role(role)


def _keep_an_admin(membership: Membership) -> None:
    others = Membership.objects.filter(
        organization=membership.organization_id, role=Role.ADMIN, user__is_active=True
    ).exclude(pk=membership.pk)
    if not others.exists():
        raise DomainError(
            _("%(user)s is the last admin of %(organization)s. Make somebody else an admin first.")
            % {"user": membership.user, "organization": membership.organization},
            code="last_admin",
        )


def _check(field: str, validator: Callable[..., object], *values: object) -> None:
    try:
        validator(*values)
    except ValidationError as error:
        raise InvalidInput(" ".join(error.messages), field=field) from None
