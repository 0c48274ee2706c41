"""Sign-in through the company's OpenID Connect provider. Accounts are made here, not there."""

from __future__ import annotations

from typing import Any

from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from accounts.models import User


class OIDCBackend(OIDCAuthenticationBackend):
    """Knows people by their verified email address; a stranger stays outside."""

    def verify_claims(self, claims: dict[str, Any]) -> bool:
        return bool(claims.get("email")) and claims.get("email_verified") is True

    def filter_users_by_claims(self, claims: dict[str, Any]) -> Any:
        return User.objects.filter(email=claims["email"].strip().lower(), is_active=True)
