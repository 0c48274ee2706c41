"""/api/v1/operator/{product-publishes,deployments}"""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets

from core.api import SharedListMixin, VisibleMixin
from core.serializers import RowSerializer
from publishing import operated
from publishing.api import serializers as shapes
from publishing.api.answers import with_verdicts
from publishing.filters import DeploymentFilter, ProductPublishFilter
from publishing.models import Deployment, ProductPublish

TAGS = ["Publishes (operator)"]


class OperatedPublishSerializer(RowSerializer):
    """A publish as its cluster's operator sees it: nothing of plans and subscribers."""

    product_name = serializers.CharField(source="product", read_only=True)
    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    provider_name = serializers.CharField(source="organization.name", read_only=True)
    cluster_id = serializers.UUIDField(read_only=True)
    cluster_name = serializers.CharField(source="cluster.name", read_only=True)
    live_revision = shapes.RevisionName(read_only=True, allow_null=True)
    open_deployment = shapes.OpenDeployment()
    live_on = shapes.LiveOn(source="*", read_only=True)

    class Meta:
        model = ProductPublish
        fields = [
            "id",
            "product_name",
            "provider_tenant_id",
            "provider_name",
            "cluster_id",
            "cluster_name",
            "environment",
            "hostname_base",
            "auth_mode",
            "status",
            "live_revision",
            "open_deployment",
            "live_on",
            "published_at",
            "withdrawn_at",
            "created_at",
        ]
        read_only_fields = fields


@extend_schema(tags=TAGS)
@extend_schema_view(
    list=extend_schema(
        summary="List the publishes on your clusters",
        description="Of every provider, once something was sent to the cluster's agents.",
    ),
    retrieve=extend_schema(summary="Read a publish on one of your clusters"),
)
class OperatedPublishViewSet(
    VisibleMixin, SharedListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    queryset = ProductPublish.objects.none()
    serializer_class = OperatedPublishSerializer
    filterset_class = ProductPublishFilter
    ordering_fields = ["created_at", "published_at", "environment", "status"]

    def get_queryset(self):
        return operated.publishes(self.request.user, operated.rows())


@extend_schema(tags=TAGS)
@extend_schema_view(
    list=extend_schema(
        summary="List the deployments on your clusters",
        description="Of every provider, newest first, with every agent's verdict and proof.",
    ),
    retrieve=extend_schema(summary="Read a deployment on one of your clusters"),
)
class OperatedDeploymentViewSet(
    VisibleMixin, SharedListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    queryset = Deployment.objects.none()
    serializer_class = shapes.DeploymentSerializer
    filterset_class = DeploymentFilter
    ordering_fields = ["created_at", "finished_at", "status"]

    def get_queryset(self):
        return operated.deployments(self.request.user, with_verdicts())
