"""Shapes on the wire. The rules are the services'."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from rest_framework import serializers

from catalog.models import (
    GATEWAY_CLASSES,
    ApiService,
    Backend,
    Gateway,
    Listener,
    Match,
    Policy,
    PolicyKind,
    Product,
    Protocol,
    Route,
)
from core.schema import example
from core.serializers import RowSerializer


def listed(*relations: str) -> list[Prefetch]:
    """The related rows that a serializer shows, for `prefetch_related`: as plain lists.

    A manager for each row would take longer than the query that fills it.
    """
    return [Prefetch(relation, to_attr=f"listed_{relation}") for relation in relations]


# --- Parts of a service ----------------------------------------------------------------------------


class RouteSerializer(RowSerializer):
    class Meta:
        model = Route
        fields = [
            "id",
            "match",
            "path",
            "methods",
            "rewrite",
            "timeout_ms",
            "retries",
            "retry_unsafe",
        ]
        read_only_fields = fields


class BackendSerializer(RowSerializer):
    class Meta:
        model = Backend
        fields = ["id", "host", "port", "tls", "weight", "health_check_path"]
        read_only_fields = fields


class PolicySerializer(RowSerializer):
    class Meta:
        model = Policy
        fields = ["id", "kind", "config"]
        read_only_fields = fields


@example(match="prefix", path="/users/{id}", methods=["GET", "PUT"], timeout_ms=5000, retries=2)
class RouteBody(serializers.Serializer):
    match = serializers.ChoiceField(Match.choices, default=Match.PREFIX)
    path = serializers.CharField(
        max_length=500,
        help_text="Relative to the service's base path. A whole segment may be a parameter: /users/{id}.",
    )
    methods = serializers.ListField(child=serializers.CharField(max_length=16), allow_empty=False)
    rewrite = serializers.CharField(
        max_length=500,
        allow_blank=True,
        default="",
        help_text="Replaces the matched path; may use its parameters. What follows a prefix is kept.",
    )
    timeout_ms = serializers.IntegerField(min_value=1, max_value=300_000, default=15_000)
    retries = serializers.IntegerField(
        min_value=0,
        max_value=5,
        default=0,
        help_text="After a 5xx or when the backend cannot be reached, within timeout_ms.",
    )
    retry_unsafe = serializers.BooleanField(
        default=False,
        help_text="Repeat POST and PATCH, too, though the backend may have seen them.",
    )


@example(host="billing.internal", port=8443, tls=True, weight=3, health_check_path="/healthz")
class BackendBody(serializers.Serializer):
    host = serializers.CharField(max_length=255)
    port = serializers.IntegerField(min_value=1, max_value=65535)
    tls = serializers.BooleanField(default=False)
    weight = serializers.IntegerField(min_value=1, max_value=1000, default=1)
    health_check_path = serializers.CharField(max_length=200, allow_blank=True, default="")


class PolicyConfigBody(serializers.Serializer):
    config = serializers.DictField(help_text="What it holds depends on the kind: see the examples.")


class PolicyBody(PolicyConfigBody):
    kind = serializers.ChoiceField(PolicyKind.choices)


class KeepsId(serializers.Serializer):
    id = serializers.UUIDField(
        required=False, allow_null=True, help_text="Of the part that this is to become."
    )


class NestedRoute(KeepsId, RouteBody):
    pass


class NestedBackend(KeepsId, BackendBody):
    pass


class NestedPolicy(KeepsId, PolicyBody):
    pass


# --- Services --------------------------------------------------------------------------------------


class ApiServiceSerializer(RowSerializer):
    PARTS = listed("routes", "backends", "policies")

    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    routes = RouteSerializer(source="listed_routes", many=True, read_only=True)
    backends = BackendSerializer(source="listed_backends", many=True, read_only=True)
    policies = PolicySerializer(source="listed_policies", many=True, read_only=True)

    class Meta:
        model = ApiService
        fields = [
            "id",
            "provider_tenant_id",
            "name",
            "version",
            "description",
            "base_path",
            "routes",
            "backends",
            "policies",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


@example(
    name="Billing",
    version="1.2",
    base_path="/billing",
    routes=[{"path": "/invoices", "methods": ["GET", "POST"]}],
    backends=[{"host": "billing.internal", "port": 8080}],
)
class ApiServiceBody(serializers.Serializer):
    """Parts that are left out stay as they are; parts that are given replace all of their kind."""

    name = serializers.CharField(max_length=120)
    version = serializers.CharField(max_length=40, default="1.0")
    description = serializers.CharField(max_length=10_000, allow_blank=True, default="")
    base_path = serializers.CharField(max_length=200, default="/")
    routes = NestedRoute(many=True, required=False)
    backends = NestedBackend(many=True, required=False)
    policies = NestedPolicy(many=True, required=False)


# --- Products --------------------------------------------------------------------------------------


class ProductSerializer(RowSerializer):
    PARTS = listed("services")

    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    api_services = serializers.PrimaryKeyRelatedField(
        source="listed_services", many=True, read_only=True, pk_field=serializers.UUIDField()
    )

    class Meta:
        model = Product
        fields = [
            "id",
            "provider_tenant_id",
            "name",
            "version",
            "description",
            "categories",
            "docs_url",
            "logo_url",
            "api_services",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


@example(
    name="Payment API",
    version="2.0",
    description="Charge, refund, look up.",
    categories=["payments"],
    docs_url="https://docs.example.com/payments",
    service_ids=["d3d94468-02a4-4259-a55d-38e6d163e820"],
)
class ProductBody(serializers.Serializer):
    """`api_services`, as it is read, is another name for `service_ids`. Left out, the services stay."""

    name = serializers.CharField(max_length=120)
    version = serializers.CharField(max_length=40, default="1.0")
    description = serializers.CharField(max_length=10_000, allow_blank=True, default="")
    categories = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=10, default=list
    )
    docs_url = serializers.CharField(max_length=500, allow_blank=True, default="")
    service_ids = serializers.ListField(
        child=serializers.UUIDField(), max_length=100, required=False
    )

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and "api_services" in data:
            data = {"service_ids": data["api_services"], **data}
        return super().to_internal_value(data)


class LogoBody(serializers.Serializer):
    logo = serializers.FileField(help_text="PNG, JPEG or WebP.")


# --- Gateways --------------------------------------------------------------------------------------


class ListenerSerializer(RowSerializer):
    certificate_id = serializers.UUIDField(read_only=True, allow_null=True)

    class Meta:
        model = Listener
        fields = ["id", "port", "protocol", "hostname", "certificate_id"]
        read_only_fields = fields


class GatewaySerializer(RowSerializer):
    PARTS = listed("listeners")

    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    listeners = ListenerSerializer(source="listed_listeners", many=True, read_only=True)

    class Meta:
        model = Gateway
        fields = [
            "id",
            "provider_tenant_id",
            "name",
            "description",
            "gateway_class",
            "listeners",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class NestedListener(KeepsId):
    port = serializers.IntegerField(min_value=1, max_value=65535)
    protocol = serializers.ChoiceField(Protocol.choices, default=Protocol.HTTP)
    hostname = serializers.CharField(
        max_length=255, allow_blank=True, default="", help_text="api.example.com, *.example.com"
    )
    certificate_id = serializers.UUIDField(
        allow_null=True, default=None, help_text="Of the same provider; HTTPS needs one."
    )


@example(
    name="prod",
    gateway_class="envoy",
    listeners=[
        {"port": 8080, "protocol": "HTTP"},
        {
            "port": 8443,
            "protocol": "HTTPS",
            "hostname": "api.example.com",
            "certificate_id": "9bf31c7f-f062-436a-96d3-2c8bd1f8f2ff",
        },
    ],
)
class GatewayBody(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(max_length=500, allow_blank=True, default="")
    gateway_class = serializers.ChoiceField(GATEWAY_CLASSES)
    listeners = NestedListener(many=True, allow_empty=False)
