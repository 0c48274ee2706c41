"""/api/v1/customer/…: applications, their subscriptions and keys."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Kind, Role
from core import versions
from core.api import SharedListMixin, VersionedMixin, VisibleMixin, validated
from subscriptions import filters
from subscriptions.api import serializers
from subscriptions.models import Application, Credential, Subscription
from subscriptions.services import applications, credentials, subscriptions


class CustomerViewSet(SharedListMixin, VisibleMixin, viewsets.ReadOnlyModelViewSet):
    """Rows of the consumers that the user works for."""

    def creating_in(self) -> Any:
        """The active organization's id. Whoever may not write is told so before the body is read."""
        organization = self.request.organization
        if organization is None:
            raise Http404
        return access.organization_for(self.request.user, organization.pk, kind=Kind.CONSUMER).pk

    def writing_to(self, role: Role = Role.MEMBER) -> Any:
        """The row's id, on the same terms."""
        row = self.get_object()
        access.require(self.request.user, _consumer_of(row), role)
        return row.pk

    def answer(self, row: Any, status: int = 200) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        return Response(self.get_serializer(fresh).data, status=status)


def _consumer_of(row: Application | Subscription | Credential) -> Any:
    if isinstance(row, Credential):
        row = row.subscription
    if isinstance(row, Subscription):
        row = row.application
    return row.organization_id


class ApplicationViewSet(VersionedMixin, CustomerViewSet):
    model = Application
    queryset = Application.objects.none()
    serializer_class = serializers.ApplicationSerializer
    filterset_class = filters.ApplicationFilter
    ordering_fields = ("name", "created_at")
    roles = {"destroy": Role.ADMIN}
    versioned_actions = ("partial_update", "destroy")

    @extend_schema(
        request=serializers.ApplicationBody, responses={201: serializers.ApplicationSerializer}
    )
    def create(self, request: Request) -> Response:
        """Register a program of the active organization."""
        organization_id = self.creating_in()
        body = validated(serializers.ApplicationBody, request)
        row = applications.create(actor=request.user, organization_id=organization_id, **body)
        return self.answer(row, status=201)

    @extend_schema(
        request=serializers.ApplicationChanges, responses=serializers.ApplicationSerializer
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename or describe it anew. Its subscriptions and keys stay as they are."""
        application_id = self.writing_to()
        body = validated(serializers.ApplicationChanges, request)
        row = applications.update(
            actor=request.user,
            application_id=application_id,
            seen=versions.asked(request),
            **body,
        )
        return self.answer(row)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `application_in_use` while it is subscribed to anything."""
        application_id, seen = self.writing_to(Role.ADMIN), versions.asked(request)
        applications.delete(actor=request.user, application_id=application_id, seen=seen)
        return Response(status=204)


class SubscriptionViewSet(VersionedMixin, CustomerViewSet):
    model = Subscription
    queryset = Subscription.objects.none()
    versioned_actions = ("plan",)
    serializer_class = serializers.SubscriptionSerializer
    filterset_class = filters.SubscriptionFilter
    ordering_fields = ("created_at", "decided_at", "status")

    def get_queryset(self):
        rows = super().get_queryset()
        if self.action == "list":
            return rows.listed()
        return rows.select_related("application", "plan", "publish__product")

    @extend_schema(
        request=serializers.SubscribeBody, responses={201: serializers.SubscriptionSerializer}
    )
    def create(self, request: Request) -> Response:
        """Subscribe an application to a plan: active at once, or pending until the provider approves.

        409 `already_subscribed` if it has an open subscription to the publish.
        """
        self.creating_in()
        body = validated(serializers.SubscribeBody, request)
        return self.answer(subscriptions.subscribe(actor=request.user, **body), status=201)

    @extend_schema(
        summary="Cancel a subscription",
        request=None,
        responses=serializers.SubscriptionSerializer,
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """For good: its keys end with it. 409 `invalid_state` if it is not open any more."""
        return self.answer(
            subscriptions.cancel(actor=request.user, subscription_id=self.writing_to())
        )

    @extend_schema(
        summary="Move a subscription to another plan",
        request=serializers.ChangePlanBody,
        responses=serializers.SubscriptionSerializer,
    )
    @action(detail=True, methods=["put"])
    def plan(self, request: Request, pk: str) -> Response:
        """Another plan of the same publish; keys stay as they are.

        409 `invalid_state` if it is not open any more, 409 `approval_required` if the plan asks for it.
        """
        subscription_id = self.writing_to()
        body = validated(serializers.ChangePlanBody, request) | {"seen": versions.asked(request)}
        return self.answer(
            subscriptions.change_plan(actor=request.user, subscription_id=subscription_id, **body)
        )


class CredentialViewSet(CustomerViewSet):
    model = Credential
    queryset = Credential.objects.none()
    filterset_class = filters.CredentialFilter
    ordering_fields = ("name", "created_at", "revoked_at")

    def get_serializer_class(self) -> Any:
        if self.action == "list":
            return serializers.CredentialSerializer
        return serializers.CredentialDetailSerializer

    def get_queryset(self):
        return (
            super()
            .get_queryset()
            .select_related("subscription__application", "subscription__publish")
        )

    @extend_schema(
        request=serializers.CredentialBody,
        responses={201: serializers.CreatedCredentialSerializer},
    )
    def create(self, request: Request) -> Response:
        """Make a key. It is in this answer and nowhere else.

        409 `invalid_state` unless the subscription is active, 409 `auth_mode` if the publish takes no keys.
        """
        self.creating_in()
        body = validated(serializers.CredentialBody, request)
        row, secret = credentials.create(actor=request.user, **body)
        data = serializers.CredentialSerializer(row).data | {"key": secret}
        return Response(data, status=201)

    @extend_schema(
        summary="Revoke a credential",
        request=None,
        responses=serializers.CredentialDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """The receipt tells which gateways are known to refuse the key."""
        return self.answer(credentials.revoke(actor=request.user, credential_id=self.writing_to()))

    @extend_schema(
        summary="Revoke a credential, as POST …/revoke",
        responses={200: serializers.CredentialDetailSerializer},
    )
    def destroy(self, request: Request, pk: str) -> Response:
        """The same as revoke: a key that existed stays on the list."""
        return self.revoke(request, pk)
