from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Kind
from core.api import shared
from publishing import overview


class AttentionSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    product = serializers.CharField(source="product.name")
    cluster = serializers.CharField(source="cluster.name")
    environment = serializers.CharField()
    why = serializers.ChoiceField(overview.WORST_FIRST)
    detail = serializers.CharField(source="newest_detail", allow_null=True)


class OverviewSerializer(serializers.Serializer):
    products = serializers.IntegerField()
    api_services = serializers.IntegerField(source="services")
    publishes = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many of each status."
    )
    pending_subscriptions = serializers.IntegerField(source="requests")
    deployments_24h = serializers.DictField(
        source="outcomes", child=serializers.IntegerField(), help_text="Ended, by how."
    )
    deployments_under_way = serializers.IntegerField(source="running")
    attention = AttentionSerializer(
        many=True, help_text="The first ten publishes that need a look."
    )


class Overview(viewsets.ViewSet):
    @extend_schema(
        tags=["Publishes"],
        operation_id="provider_overview_retrieve",
        summary="Read the overview",
        description="What is published and under way, and what needs attention.",
        responses={
            200: OverviewSerializer,
            403: OpenApiResponse(description="You do not work in a provider organization."),
        },
    )
    @shared
    def retrieve(self, request: Request) -> Response:
        organization = request.organization
        if organization is None or organization.kind != Kind.PROVIDER:
            raise PermissionDenied(_("Only provider organizations publish."))
        return Response(OverviewSerializer(overview.of(organization)).data)
