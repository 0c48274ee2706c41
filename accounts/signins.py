"""Log-ins. Those of the API are JWT: short access tokens, rotating refresh tokens, both revocable.

The session of a browser is Django's; here it is only put on the audit trail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit
from accounts.models import Membership, Organization, Role, SignIn, User
from core.errors import Unauthenticated

ALGORITHM = "HS256"
ISSUER = "imp-gateway"
ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Pair:
    access: str
    refresh: str
    sign_in: SignIn

    @property
    def expires_in(self) -> int:
        return int(ACCESS_LIFETIME.total_seconds())


@transaction.atomic
def start(*, user: User, organization: Organization | None) -> Pair:
    """A new family of tokens for one person in one organization."""
    sign_in = SignIn.objects.create(
        user=user,
        organization=organization,
        expires_at=timezone.now() + REFRESH_LIFETIME,
    )
    User.objects.filter(pk=user.pk).update(last_login=timezone.now())
    _record(sign_in, "sign_in.start")
    return _pair(sign_in)


def refresh(*, token: str) -> Pair:
    """Trade the newest refresh token for a new pair. An older one ends the whole family."""
    claims = _decode(token, kind="refresh")
    with transaction.atomic():
        sign_in = _locked(claims)
        reused = sign_in.sequence != claims["seq"]
        if reused:
            # Committed before the refusal is raised, or the refusal would undo it.
            _revoke(sign_in, "reuse")
        else:
            sign_in.sequence += 1
            sign_in.refreshed_at = timezone.now()
            sign_in.save(update_fields=["sequence", "refreshed_at"])
    if reused:
        raise Unauthenticated(
            _("This refresh token was used before. For safety you are signed out: sign in again."),
            code="token_reused",
        )
    return _pair(sign_in)


@transaction.atomic
def end(*, token: str) -> None:
    """Log out: neither token of the family works afterwards. Twice is once."""
    claims = _decode(token, kind="refresh")
    sign_in = SignIn.objects.select_for_update().filter(pk=claims["sid"]).first()
    if sign_in is not None and sign_in.revoked_at is None:
        _revoke(sign_in, "logout")


def end_all(*, user: User, because: str) -> int:
    """End every sign-in of a person through the API; answers how many stood."""
    return SignIn.objects.filter(user=user, revoked_at=None).update(
        revoked_at=timezone.now(), revoked_because=because
    )


def authenticate(token: str) -> tuple[User, Organization | None]:
    """The person and organization of an access token. Raises Unauthenticated."""
    claims = _decode(token, kind="access")
    sign_in = SignIn.objects.select_related("user", "organization").filter(pk=claims["sid"]).first()
    if sign_in is None or not _stands(sign_in):
        raise Unauthenticated(_("You are signed out. Sign in again."))
    return sign_in.user, sign_in.organization


def session_started(*, user: User) -> None:
    audit.record(actor=user, action="session.start", target=user, organization_id=None)


def session_ended(*, user: User) -> None:
    audit.record(actor=user, action="session.end", target=user, organization_id=None)


def looks_like_jwt(token: str) -> bool:
    return token.count(".") == 2


def _pair(sign_in: SignIn) -> Pair:
    user, now = sign_in.user, timezone.now()
    shared = {
        "iss": ISSUER,
        "sub": str(user.pk),
        "sid": str(sign_in.pk),
        "iat": now,
        "nbf": now,
    }
    access = shared | {
        "typ": "access",
        "exp": now + ACCESS_LIFETIME,
        "user_id": str(user.pk),
        "email": user.email,
        "role": _role(sign_in),
        "workspace_id": str(sign_in.organization_id) if sign_in.organization_id else None,
    }
    renew = shared | {"typ": "refresh", "exp": sign_in.expires_at, "seq": sign_in.sequence}
    return Pair(access=_encode(access), refresh=_encode(renew), sign_in=sign_in)


def _role(sign_in: SignIn) -> str:
    """For the client to show; every request looks the role up again."""
    if sign_in.organization_id is None:
        return Role.ADMIN if sign_in.user.is_superuser else ""
    membership = Membership.objects.filter(
        user=sign_in.user_id, organization=sign_in.organization_id
    ).first()
    if membership is None:
        return Role.ADMIN if sign_in.user.is_superuser else ""
    return membership.role


def _encode(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, settings.JWT_KEY, algorithm=ALGORITHM)


def _decode(token: str, *, kind: str) -> dict[str, Any]:
    try:
        claims = jwt.decode(
            token,
            settings.JWT_KEY,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={"require": ["exp", "iat", "nbf", "sid", "typ"]},
        )
        UUID(claims["sid"])
    except jwt.ExpiredSignatureError:
        raise Unauthenticated(
            _("The token has expired. Refresh it or sign in again."), code="token_expired"
        ) from None
    except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
        raise Unauthenticated(_("The token is not valid. Sign in again.")) from None
    if claims["typ"] != kind:
        raise Unauthenticated(_("This is the wrong kind of token."), code="wrong_token")
    return claims


def _locked(claims: dict[str, Any]) -> SignIn:
    sign_in = (
        SignIn.objects.select_for_update(of=("self",))
        .select_related("user")
        .filter(pk=claims["sid"])
        .first()
    )
    if sign_in is None or not _stands(sign_in):
        raise Unauthenticated(_("You are signed out. Sign in again."))
    return sign_in


def _stands(sign_in: SignIn) -> bool:
    return (
        sign_in.revoked_at is None
        and sign_in.expires_at > timezone.now()
        and sign_in.user.is_active
    )


def _revoke(sign_in: SignIn, reason: str) -> None:
    sign_in.revoked_at, sign_in.revoked_because = timezone.now(), reason
    sign_in.save(update_fields=["revoked_at", "revoked_because"])
    _record(sign_in, f"sign_in.{reason}")


def _record(sign_in: SignIn, action: str) -> None:
    audit.record(
        actor=sign_in.user,
        action=action,
        target=sign_in,
        organization_id=sign_in.organization_id,
    )
