"""Who calls the API: a session with CSRF protection, an API token or a JWT."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.request import Request

from accounts import organizations, services, signins
from accounts.models import Organization, User
from core.errors import Unauthenticated

HEADER = "X-Organization"


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer …` with an API token or a JWT. It acts inside one organization."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user, organization, auth = _identify(token.strip())
        if organization is not None:
            if not Organization.objects.visible_to(user).filter(pk=organization.pk).exists():
                raise Unauthenticated(_("You are no longer a member of this organization."))
            user.scope = organization.pk
        # Of a token nobody looks up the roles: its answers are its user's alone.
        _work_in(request, user, organization, [])
        return user, auth

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="imp-gateway"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The portal's own session, for calls from its pages and from the API's documentation."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        found = super().authenticate(request)
        if found is not None:
            user = found[0]
            mine = organizations.choices(user)
            _work_in(request, user, organizations.of_session(request.session, user, mine), mine)
        return found


def _identify(token: str) -> tuple[User, Organization | None, Any]:
    if signins.looks_like_jwt(token):
        user, organization = signins.authenticate(token)
        return user, organization, None
    found = services.find_api_token(token)
    if found is None:
        raise Unauthenticated(_("The token is unknown, expired or revoked."))
    return found.user, found.organization, found


def _work_in(
    request: Request, user: User, organization: Organization | None, mine: list[Organization]
) -> None:
    """As organizations.work_in; X-Organization may choose another one of the user's, else 404."""
    wanted = request.headers.get(HEADER)
    if wanted:
        organization = organizations.by_id(user, wanted)
        if organization is None:
            raise Http404
    organizations.work_in(request._request, user, organization, mine)


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API token or a JWT."}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
