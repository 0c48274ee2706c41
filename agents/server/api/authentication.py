"""Agents and nobody else: a portal session or an API token opens nothing here."""

from __future__ import annotations

from typing import NoReturn

from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from clusters.models import Agent
from clusters.services.agents import agent_by_rest_token
from core.errors import Unauthenticated


class AgentAuthentication(BaseAuthentication):
    """`Authorization: Bearer <rest_token of ConnectResponse>`; the agent is then `request.auth`."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, Agent]:
        kind, _space, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token:
            _refuse()
        return AnonymousUser(), agent_by_rest_token(token.strip())

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class IsAgent(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Agent)


def _refuse() -> NoReturn:
    raise Unauthenticated(
        _("Send the REST token of your session: Authorization: Bearer <token>."),
        code="rest_token_missing",
    )
