from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.models import AuditEvent
from clusters import rules
from clusters.models import MAX_HOPS, Agent, Cluster, Region, RegistrationToken, Status
from clusters.services.tokens import DEFAULT_TTL
from core.fields import Text
from core.schema import example
from core.serializers import RowSerializer


class Moment(serializers.DateTimeField):
    """Taken as it is said: the service refuses one without a zone instead of guessing it."""

    def enforce_timezone(self, value: datetime) -> datetime:
        return value


@extend_schema_field(
    {"oneOf": [{"type": "integer"}, {"type": "string", "example": "8000-8999"}]},
    component_name="PortOrRange",
)
class PortField(serializers.Field):
    default_error_messages = {"invalid": "Not a number and not a range such as “8000-8999”."}

    def to_internal_value(self, data: Any) -> int | str:
        if isinstance(data, bool) or not isinstance(data, int | str):
            self.fail("invalid")
        return data

    def to_representation(self, value: int | str) -> int | str:
        return value


@example(
    name="kr-central-main",
    region="kr-central",
    description="Main cluster for Korea",
    cloud_provider="aws",
    metadata={"tier": "production", "owner": "platform-team"},
    allowed_ports=[8080, "8443-8999"],
)
class ClusterInput(serializers.Serializer):
    """PUT replaces: what is left out goes back to its default."""

    name = Text(help_text="RFC 1123 label, unique among the operator's clusters.")
    region = Text()
    description = Text(required=False, allow_blank=True)
    cloud_provider = Text(required=False, allow_blank=True)
    metadata = serializers.DictField(
        source="labels", child=Text(allow_blank=True), required=False, help_text="Labels."
    )
    allowed_ports = serializers.ListField(
        child=PortField(), required=False, help_text="Empty: every port."
    )
    allowed_networks = serializers.ListField(
        child=Text(),
        required=False,
        help_text="CIDR blocks that backends may resolve into although they are loopback, "
        "link-local or metadata addresses.",
    )
    trusted_hops = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_HOPS,
        help_text="Proxies before the gateways whose X-Forwarded-For is believed.",
    )
    open_to_all = serializers.BooleanField(required=False, default=True)
    open_to = serializers.ListField(
        child=serializers.UUIDField(), required=False, help_text="Provider organizations."
    )


@example(name="kr-busan")
class RegionInput(serializers.Serializer):
    name = Text(max_length=100)


class RegionSerializer(serializers.ModelSerializer):
    operator_tenant_id = serializers.UUIDField(
        source="organization_id", allow_null=True, help_text="Null: offered to every operator."
    )

    class Meta:
        model = Region
        fields = ["id", "operator_tenant_id", "name", "created_at"]


@example(enabled=True, reason="Kernel updates", until="2026-01-31T18:00:00+09:00")
class MaintenanceInput(serializers.Serializer):
    enabled = serializers.BooleanField()
    reason = Text(required=False, allow_blank=True, max_length=rules.MAX_REASON)
    until = Moment(
        required=False, allow_null=True, help_text="With its zone: 2026-01-31T18:00:00+09:00 or …Z."
    )


@example(ttl_seconds=3600, max_uses=1)
class TokenInput(serializers.Serializer):
    ttl_seconds = serializers.IntegerField(required=False, default=DEFAULT_TTL)
    max_uses = serializers.IntegerField(required=False, default=1)


class MaintenanceSerializer(RowSerializer):
    enabled = serializers.BooleanField(source="maintained")
    since = serializers.DateTimeField(source="maintenance_since")
    until = serializers.DateTimeField(source="maintenance_until")
    reason = serializers.CharField(source="maintenance_reason")

    class Meta:
        model = Cluster
        fields = ["enabled", "since", "until", "reason"]


class ClusterSerializer(RowSerializer):
    operator_tenant_id = serializers.UUIDField(source="organization_id")
    status = serializers.ChoiceField(choices=Status.choices)
    status_since = serializers.DateTimeField(allow_null=True)
    metadata = serializers.DictField(source="labels", child=serializers.CharField())
    agent_count = serializers.IntegerField(help_text="Agents that joined and are not revoked.")
    active_agent_count = serializers.IntegerField(help_text="Of these, the live ones.")
    last_heartbeat = serializers.DateTimeField(allow_null=True)
    capabilities = serializers.ListField(
        child=serializers.CharField(), help_text="Gateway classes that its live agents can drive."
    )
    desired_generation = serializers.IntegerField()
    applied_generation = serializers.IntegerField(
        allow_null=True,
        help_text="The least that its agents applied: the live ones, else those that were.",
    )
    maintenance = MaintenanceSerializer(source="*")
    allowed_ports = serializers.SerializerMethodField()
    open_to = serializers.SerializerMethodField()

    class Meta:
        model = Cluster
        fields = [
            "id",
            "operator_tenant_id",
            "name",
            "description",
            "region",
            "cloud_provider",
            "status",
            "status_since",
            "metadata",
            "agent_count",
            "active_agent_count",
            "last_heartbeat",
            "capabilities",
            "desired_generation",
            "applied_generation",
            "maintenance",
            "allowed_ports",
            "allowed_networks",
            "trusted_hops",
            "open_to_all",
            "open_to",
            "first_active_at",
            "created_at",
            "updated_at",
        ]

    @extend_schema_field(serializers.ListField(child=PortField()))
    def get_allowed_ports(self, cluster: Cluster) -> list[int | str]:
        return rules.port_ranges(cluster.allowed_ports)

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_open_to(self, cluster: Any) -> list[str]:
        return list(map(str, cluster.opened_to))


class AgentSerializer(RowSerializer):
    """Never its key nor its token's digest."""

    status = serializers.ChoiceField(
        choices=["active", "inactive", "revoked"], source="liveness", read_only=True
    )
    capabilities = serializers.ListField(child=serializers.CharField(), source="gateway_classes")
    last_heartbeat = serializers.DateTimeField(source="last_heartbeat_at", allow_null=True)

    class Meta:
        model = Agent
        fields = [
            "id",
            "cluster_id",
            "name",
            "status",
            "version",
            "capabilities",
            "last_heartbeat",
            "connected_at",
            "disconnected_at",
            "applied_generation",
            "access_version",
            "last_error",
            "revoked_at",
            "created_at",
        ]


class AgentRowSerializer(AgentSerializer):
    cluster_name = serializers.CharField()
    desired_generation = serializers.IntegerField(source="desired")

    class Meta(AgentSerializer.Meta):
        fields = [*AgentSerializer.Meta.fields, "cluster_name", "desired_generation"]


class ClusterEventSerializer(serializers.ModelSerializer):
    """One entry of the audit trail."""

    actor = serializers.CharField(source="actor_label")
    object = serializers.CharField(source="object_label")

    class Meta:
        model = AuditEvent
        fields = [
            "id",
            "created_at",
            "action",
            "actor_id",
            "actor",
            "object_type",
            "object_id",
            "object",
            "before",
            "after",
            "ip",
            "request_id",
        ]


class VersionSerializer(serializers.Serializer):
    version = serializers.CharField()
    agents = serializers.IntegerField(help_text="Joined and not revoked.")
    live = serializers.IntegerField()
    converged = serializers.IntegerField(help_text="Live, without an error, up to date.")


class FleetSerializer(serializers.Serializer):
    """The operator's overview."""

    clusters = serializers.DictField(
        source="statuses", child=serializers.IntegerField(), help_text="How many of each status."
    )
    regions = serializers.IntegerField()
    agents = serializers.IntegerField()
    live_agents = serializers.IntegerField(source="live")
    converged_agents = serializers.IntegerField(source="converged")
    clusters_out_of_sync = serializers.IntegerField(source="out_of_sync")
    agent_versions = VersionSerializer(source="versions", many=True)
    deployments_24h = serializers.DictField(
        source="outcomes", child=serializers.IntegerField(), help_text="Ended, by how."
    )
    deployments_under_way = serializers.IntegerField(source="running")
    attention = ClusterSerializer(
        many=True, help_text="The first ten that need a look: inactive, out of sync, …"
    )


class ClusterDetailSerializer(ClusterSerializer):
    agents = AgentSerializer(many=True, source="joined", help_text="The revoked ones left out.")

    class Meta(ClusterSerializer.Meta):
        fields = [*ClusterSerializer.Meta.fields, "agents"]


class ProviderClusterSerializer(RowSerializer):
    """What a provider needs to choose a cluster; nothing of its agents."""

    status = serializers.ChoiceField(choices=Status.choices)
    gateway_classes = serializers.ListField(child=serializers.CharField(), source="capabilities")
    maintenance = MaintenanceSerializer(source="*")
    allowed_ports = serializers.SerializerMethodField()

    class Meta:
        model = Cluster
        fields = [
            "id",
            "name",
            "description",
            "region",
            "status",
            "gateway_classes",
            "allowed_ports",
            "maintenance",
        ]

    @extend_schema_field(serializers.ListField(child=PortField()))
    def get_allowed_ports(self, cluster: Cluster) -> list[int | str]:
        return rules.port_ranges(cluster.allowed_ports)


class TokenSerializer(serializers.ModelSerializer):
    usable = serializers.BooleanField()

    class Meta:
        model = RegistrationToken
        fields = [
            "id",
            "cluster_id",
            "prefix",
            "usable",
            "max_uses",
            "use_count",
            "expires_at",
            "last_used_at",
            "revoked_at",
            "created_at",
        ]


class NewTokenSerializer(TokenSerializer):
    """The answer to its creation: the only time that the secret is shown."""

    token = serializers.SerializerMethodField()
    join_command = serializers.SerializerMethodField()
    kubernetes_manifest = serializers.SerializerMethodField()

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token", "join_command", "kubernetes_manifest"]

    @extend_schema_field(OpenApiTypes.STR)
    def get_token(self, token: RegistrationToken) -> str:
        return self.context["secret"]

    @extend_schema_field(OpenApiTypes.STR)
    def get_join_command(self, token: RegistrationToken) -> str:
        return self.context["join_command"]

    @extend_schema_field(OpenApiTypes.STR)
    def get_kubernetes_manifest(self, token: RegistrationToken) -> str:
        return self.context["kubernetes_manifest"]
