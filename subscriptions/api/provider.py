"""/api/v1/provider/…: plans of a publish, and who is subscribed."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Role
from core import versions
from core.api import SharedListMixin, VersionedMixin, VisibleMixin, validated
from publishing.models import ProductPublish
from subscriptions import filters
from subscriptions.api import serializers
from subscriptions.models import Plan, Subscription
from subscriptions.services import bulk, plans, subscriptions
from subscriptions.services.bulk import Verb
from subscriptions.states import OPEN


class PlanViewSet(
    VersionedMixin,
    VisibleMixin,
    SharedListMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet,
):
    model = Plan
    queryset = Plan.objects.none()
    serializer_class = serializers.ProviderPlanSerializer
    filterset_class = filters.PlanFilter
    ordering_fields = ("name", "price", "created_at")
    roles = {"destroy": Role.ADMIN}
    versioned_actions = ("update", "destroy")

    def get_queryset(self):
        rows = super().get_queryset().select_related("publish")
        if "publish_id" in self.kwargs:
            rows = rows.filter(publish_id=self.kwargs["publish_id"])
        opened = Q(subscriptions__status__in=OPEN)
        return rows.annotate(subscription_count=Count("subscriptions", filter=opened))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._publish()
        return super().list(request, *args, **kwargs)

    @extend_schema(
        request=serializers.PlanBody, responses={201: serializers.ProviderPlanSerializer}
    )
    def create(self, request: Request, publish_id: str) -> Response:
        """Offer a plan on this publish."""
        publish = self._publish()
        access.require(request.user, publish.organization_id)
        body = validated(serializers.PlanBody, request)
        plan = plans.create(actor=request.user, publish_id=publish.pk, **body)
        return self.answer(plan, status=201)

    @extend_schema(request=serializers.PlanBody, responses=serializers.ProviderPlanSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """Describe it anew. Subscribers keep their keys, and gateways learn new limits at once."""
        plan_id = self._writing_to(Role.MEMBER)
        body = validated(serializers.PlanBody, request) | {"seen": versions.asked(request)}
        return self.answer(plans.update(actor=request.user, plan_id=plan_id, **body))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `plan_in_use` while anybody is subscribed to it."""
        plan_id = self._writing_to(Role.ADMIN)
        plans.delete(actor=request.user, plan_id=plan_id, seen=versions.asked(request))
        return Response(status=204)

    def _publish(self) -> ProductPublish:
        rows = ProductPublish.objects.visible_to(self.request.user)
        return get_object_or_404(rows, pk=self.kwargs["publish_id"])

    def _writing_to(self, role: Role) -> Any:
        """Whoever may not write is told so before the body is read."""
        plan = self.get_object()
        access.require(self.request.user, plan.publish.organization_id, role)
        return plan.pk


class ProvidedSubscriptionViewSet(SharedListMixin, viewsets.ReadOnlyModelViewSet):
    """Subscriptions to the provider's publishes."""

    queryset = Subscription.objects.none()
    serializer_class = serializers.ProvidedSubscriptionSerializer
    filterset_class = filters.SubscriptionFilter
    ordering_fields = ("created_at", "decided_at", "status")

    def get_queryset(self):
        rows = Subscription.objects.provided_by(self.request.user)
        if self.action == "list":
            return rows.listed("application__organization__name")
        return rows.select_related("application__organization", "plan", "publish__product")

    @extend_schema(
        summary="Approve a subscription",
        request=None,
        responses=serializers.ProvidedSubscriptionSerializer,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Its keys work from now on. 409 `invalid_state` unless it is pending."""
        return self._answer(
            subscriptions.approve(actor=request.user, subscription_id=self._writing_to())
        )

    @extend_schema(
        summary="Reject a subscription",
        request=serializers.ReasonBody,
        responses=serializers.ProvidedSubscriptionSerializer,
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """The reason is shown to the consumer. 409 `invalid_state` unless it is pending."""
        subscription_id = self._writing_to()
        body = validated(serializers.ReasonBody, request)
        return self._answer(
            subscriptions.reject(actor=request.user, subscription_id=subscription_id, **body)
        )

    @extend_schema(
        summary="Suspend a subscription",
        request=serializers.ReasonBody,
        responses=serializers.ProvidedSubscriptionSerializer,
    )
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, pk: str) -> Response:
        """Gateways refuse its keys until it is resumed. 409 `invalid_state` unless it is active."""
        subscription_id = self._writing_to()
        body = validated(serializers.ReasonBody, request)
        return self._answer(
            subscriptions.suspend(actor=request.user, subscription_id=subscription_id, **body)
        )

    @extend_schema(
        summary="Resume a subscription",
        request=None,
        responses=serializers.ProvidedSubscriptionSerializer,
    )
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Its keys work again. 409 `invalid_state` unless it is suspended."""
        return self._answer(
            subscriptions.resume(actor=request.user, subscription_id=self._writing_to())
        )

    @extend_schema(
        operation_id="provider_subscriptions_approve_many",
        summary="Approve many subscriptions",
        request=serializers.ManyBody,
        responses=serializers.ManyResultSerializer,
    )
    @action(detail=False, methods=["post"])
    def approve_many(self, request: Request) -> Response:
        """Up to 200, each by itself: one that cannot be approved does not stop the others."""
        return self._many(Verb.APPROVE, serializers.ManyBody)

    @extend_schema(
        operation_id="provider_subscriptions_reject_many",
        summary="Reject many subscriptions",
        request=serializers.ManyReasonBody,
        responses=serializers.ManyResultSerializer,
    )
    @action(detail=False, methods=["post"])
    def reject_many(self, request: Request) -> Response:
        """Up to 200, each by itself, all for the same reason."""
        return self._many(Verb.REJECT, serializers.ManyReasonBody)

    @extend_schema(
        operation_id="provider_subscriptions_suspend_many",
        summary="Suspend many subscriptions",
        request=serializers.ManyReasonBody,
        responses=serializers.ManyResultSerializer,
    )
    @action(detail=False, methods=["post"])
    def suspend_many(self, request: Request) -> Response:
        """Up to 200, each by itself, all for the same reason."""
        return self._many(Verb.SUSPEND, serializers.ManyReasonBody)

    @extend_schema(
        operation_id="provider_subscriptions_resume_many",
        summary="Resume many subscriptions",
        request=serializers.ManyBody,
        responses=serializers.ManyResultSerializer,
    )
    @action(detail=False, methods=["post"])
    def resume_many(self, request: Request) -> Response:
        """Up to 200, each by itself: one that cannot be resumed does not stop the others."""
        return self._many(Verb.RESUME, serializers.ManyBody)

    def _many(self, verb: Verb, shape: type[serializers.ManyBody]) -> Response:
        body = validated(shape, self.request)
        ids = body.pop("ids")
        results = bulk.decide(actor=self.request.user, subscription_ids=ids, verb=verb, **body)
        fresh = self.get_queryset().in_bulk([row.id for row in results if row.ok])
        rows = [
            {
                "id": row.id,
                "ok": row.ok,
                "code": row.code,
                "message": row.message,
                "subscription": fresh.get(row.id),
            }
            for row in results
        ]
        done = sum(row.ok for row in results)
        answer = {"done": done, "refused": len(rows) - done, "results": rows}
        return Response(serializers.ManyResultSerializer(answer).data)

    def _writing_to(self) -> Any:
        """Whoever may not write is told so before the body is read."""
        row = self.get_object()
        access.require(self.request.user, row.publish.organization_id)
        return row.pk

    def _answer(self, row: Subscription) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        return Response(self.get_serializer(fresh).data)
