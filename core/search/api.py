from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from core import search


class HitSerializer(serializers.Serializer):
    id = serializers.CharField(help_text="Empty for a page of the portal.")
    title = serializers.CharField()
    detail = serializers.CharField()
    url = serializers.CharField(help_text="Its page in the portal.")


class GroupSerializer(serializers.Serializer):
    kind = serializers.CharField(help_text="page, cluster, api_service, product or publish.")
    label = serializers.CharField()
    hits = HitSerializer(many=True)


class Search(viewsets.ViewSet):
    roles = {"list": "self"}

    @extend_schema(
        tags=["Search"],
        summary="Find by name or id",
        description="Among what the caller may see: clusters, API services, products, publishes. "
        "Ids count from their first six digits on. At most six of each kind.",
        parameters=[OpenApiParameter("q", str, description="Up to 100 characters.")],
        responses=GroupSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        groups = search.find(request, request.query_params.get("q", ""))
        return Response(GroupSerializer(groups, many=True).data)
