"""/api/v1/provider/deployments"""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import (
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Role
from core.api import SharedListMixin, VisibleMixin, validated
from publishing.api import bodies
from publishing.api import serializers as shapes
from publishing.api.answers import CONFLICT, TAGS, deployments_for
from publishing.filters import DeploymentFilter
from publishing.models import Deployment
from publishing.services import publishes as service
from publishing.services import recovery


@extend_schema(tags=TAGS)
@extend_schema_view(
    retrieve=extend_schema(summary="Read a deployment"),
    list=extend_schema(
        summary="List deployments",
        description="Of all your publishes, newest first, with every agent's verdict and proof.",
    ),
)
class DeploymentViewSet(
    VisibleMixin, SharedListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    model = Deployment
    queryset = Deployment.objects.none()
    serializer_class = shapes.DeploymentSerializer
    filterset_class = DeploymentFilter
    ordering_fields = ["created_at", "finished_at", "status"]
    roles = {"waivers": Role.ADMIN}

    def get_queryset(self):
        return deployments_for(self.request.user)

    @extend_schema(
        summary="Cancel a deployment",
        description="Only while it is QUEUED.",
        request=None,
        responses={200: shapes.DeploymentSerializer, 409: CONFLICT},
    )
    def cancel(self, request: Request, pk: UUID) -> Response:
        service.cancel(actor=request.user, deployment_id=pk)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        summary="Waive an agent",
        description="A withdrawal goes on without an agent that is away and may still serve the "
        "publish. Admins only. The agent drops the publish when it comes back.",
        request=bodies.Waiver,
        responses={200: shapes.DeploymentSerializer, 409: CONFLICT},
    )
    def waivers(self, request: Request, pk: UUID) -> Response:
        row = self.get_object()
        access.require(request.user, row.publish.organization_id, Role.ADMIN)
        body = validated(bodies.Waiver, request)
        recovery.waive(actor=request.user, deployment_id=pk, **body)
        return Response(self.get_serializer(self.get_object()).data)
