"""/api/v1/auth/…"""

from __future__ import annotations

import django_filters
from django.contrib.auth import authenticate
from django.db.models import QuerySet
from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, permissions, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from accounts import lockout, notices, services, signins
from accounts.access import can
from accounts.api import serializers
from accounts.models import ApiToken, Notice, Organization, Role
from core.api import VisibleMixin, ok, validated
from core.errors import DomainError, Unauthenticated
from core.filters import Flag


class Open(APIView):
    """Needs no token, and looks at none: an expired one must not block signing in."""

    authentication_classes = ()
    permission_classes = (permissions.AllowAny,)
    throttle_classes = (ScopedRateThrottle,)
    throttle_scope = "login"


class Login(Open):
    @extend_schema(
        summary="Sign in", request=serializers.LoginSerializer, responses=serializers.PairSerializer
    )
    def post(self, request: Request) -> Response:
        """Sign in with email and password. `organization_id` chooses among several."""
        body = validated(serializers.LoginSerializer, request)
        user = authenticate(request._request, username=body["email"], password=body["password"])
        if lockout.is_locked(request._request):
            raise TooManyAttempts(lockout.message())
        if user is None:
            raise Unauthenticated(_("The email or the password is wrong."), code="bad_credentials")
        organization = _organization(user, body.get("organization_id"))
        lockout.forget(request._request, user)
        return _answer(signins.start(user=user, organization=organization))


class Refresh(Open):
    @extend_schema(
        summary="Renew a sign-in",
        request=serializers.RefreshSerializer,
        responses=serializers.PairSerializer,
    )
    def post(self, request: Request) -> Response:
        """Trade the newest refresh token for a new pair."""
        body = validated(serializers.RefreshSerializer, request)
        return _answer(signins.refresh(token=body["refresh_token"]))


class Logout(Open):
    @extend_schema(summary="Sign out", request=serializers.RefreshSerializer, responses=None)
    def post(self, request: Request) -> Response:
        """End the sign-in that the refresh token belongs to, its access tokens included."""
        body = validated(serializers.RefreshSerializer, request)
        signins.end(token=body["refresh_token"])
        return ok(message=_("You are signed out."))


class Me(APIView):
    roles = {"get": "self"}

    @extend_schema(summary="Read who you are", responses=serializers.MeSerializer)
    def get(self, request: Request) -> Response:
        """With your organizations, and which of them the request works in."""
        user, organization = request.user, request.organization
        user.organization_id = organization.pk if organization else None
        rows = user.memberships.select_related("organization")
        if user.scope is not None:
            rows = rows.filter(organization=user.scope)
        data = serializers.MeSerializer(user).data
        return Response(
            data | {"memberships": serializers.MembershipSerializer(rows, many=True).data}
        )


class InPerson(permissions.BasePermission):
    """A leaked API token must not be able to make itself a longer-lived one."""

    message = "API tokens cannot manage API tokens. Sign in."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.method in permissions.SAFE_METHODS or not isinstance(request.auth, ApiToken)


class ApiTokenFilter(django_filters.FilterSet):
    search = django_filters.CharFilter(
        field_name="name", lookup_expr="icontains", max_length=100, help_text="In names."
    )

    class Meta:
        model = ApiToken
        fields = ["name", "prefix"]


class ApiTokenViewSet(VisibleMixin, mixins.ListModelMixin, viewsets.GenericViewSet):
    """API tokens of the active organization: mine, and everybody's for its admins."""

    model = ApiToken
    queryset = ApiToken.objects.none()
    serializer_class = serializers.ApiTokenSerializer
    permission_classes = (permissions.IsAuthenticated, InPerson)
    filterset_class = ApiTokenFilter
    ordering_fields = ("created_at", "name", "last_used_at")

    def get_queryset(self):
        rows = super().get_queryset().select_related("user")
        if self.action != "list":
            return rows
        organization = self.request.organization
        rows = rows.filter(organization=organization)
        if organization and can(self.request.user, organization.pk, Role.ADMIN):
            return rows
        return rows.filter(user=self.request.user)

    @extend_schema(
        request=serializers.ApiTokenCreateSerializer,
        responses={201: serializers.CreatedApiTokenSerializer},
    )
    def create(self, request: Request) -> Response:
        """The answer holds the token itself, this one time. Signed in only: not with an API token."""
        if request.organization is None:
            raise Http404
        token, secret = services.create_api_token(
            actor=request.user,
            organization_id=request.organization.pk,
            **validated(serializers.ApiTokenCreateSerializer, request),
        )
        return Response(serializers.ApiTokenSerializer(token).data | {"token": secret}, status=201)

    @extend_schema(
        summary="Revoke an API token", request=None, responses=serializers.ApiTokenSerializer
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Members revoke their own, admins everybody's. Signed in only: not with an API token."""
        token = services.revoke_api_token(actor=request.user, token_id=self.get_object().pk)
        return Response(serializers.ApiTokenSerializer(token).data)


class NoticeFilter(django_filters.FilterSet):
    over = Flag(method="ended", help_text="Only those that ended, or not.")

    def ended(self, rows: QuerySet, name: str, value: bool) -> QuerySet:
        still = rows.open().values("pk")
        return rows.exclude(pk__in=still) if value else rows.filter(pk__in=still)


class NoticeViewSet(VisibleMixin, mixins.ListModelMixin, viewsets.GenericViewSet):
    """What the active organization should know."""

    model = Notice
    queryset = Notice.objects.none()
    serializer_class = serializers.NoticeSerializer
    filterset_class = NoticeFilter
    roles = {"read": Role.VIEWER}
    ordering_fields = ("created_at",)

    def get_queryset(self):
        rows = super().get_queryset().filter(organization=self.request.organization)
        return rows.marked_for(self.request.user)

    @extend_schema(
        summary="Mark a notice as read", request=None, responses=serializers.NoticeSerializer
    )
    @action(detail=True, methods=["post"])
    def read(self, request: Request, pk: str) -> Response:
        """Mark it as read by the caller; others still see it."""
        notices.mark_read(actor=request.user, notice_id=pk)
        rows = Notice.objects.visible_to(request.user).marked_for(request.user)
        return Response(self.get_serializer(rows.get(pk=pk)).data)


class TooManyAttempts(DomainError):
    status = 429
    code = "locked"


def _organization(user, wanted) -> Organization | None:
    mine = Organization.objects.visible_to(user)
    if wanted is None:
        # A superuser without a membership stays unscoped: an admin everywhere.
        return Organization.objects.filter(memberships__user=user).first()
    found = mine.filter(pk=wanted).first()
    if found is None:
        raise Http404
    return found


def _answer(pair: signins.Pair) -> Response:
    return Response(
        {
            "access_token": pair.access,
            "refresh_token": pair.refresh,
            "token_type": "Bearer",
            "expires_in": pair.expires_in,
        }
    )
