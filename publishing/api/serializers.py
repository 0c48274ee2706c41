"""What is answered, in the specs' names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.serializers import Moment, RowSerializer
from publishing.differences import Change
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    PublishEvent,
    PublishRevision,
)
from publishing.services import drift, tls

MOMENT = Moment()

# --- Deployments -----------------------------------------------------------------------------------


class RevisionSerializer(serializers.ModelSerializer):
    live = serializers.SerializerMethodField()
    wanted = serializers.SerializerMethodField()

    class Meta:
        model = PublishRevision
        fields = ["id", "number", "digest", "live", "wanted", "created_by", "created_at"]
        read_only_fields = fields

    def get_live(self, row: PublishRevision) -> bool:
        return row.pk == row.publish.live_revision_id

    def get_wanted(self, row: PublishRevision) -> bool:
        return row.pk == row.publish.wanted_revision_id


class RevisionName(RowSerializer):
    class Meta:
        model = PublishRevision
        fields = ["id", "number", "digest"]
        read_only_fields = fields


class ProbeCallSerializer(serializers.Serializer):
    """One call that an agent made to its own gateway after it applied a publish."""

    method = serializers.CharField()
    host = serializers.CharField()
    port = serializers.IntegerField()
    path = serializers.CharField()
    with_credential = serializers.BooleanField()
    expected = serializers.IntegerField()
    got = serializers.IntegerField(help_text="0: no answer.")
    body = serializers.CharField()
    latency_ms = serializers.FloatField()


@extend_schema_field(ProbeCallSerializer(many=True))
class ProbeField(serializers.JSONField):
    """Stored as the agent said it."""


class VerdictSerializer(serializers.ModelSerializer):
    agent_id = serializers.UUIDField(read_only=True)
    agent = serializers.CharField(source="agent.name", read_only=True)
    probe = ProbeField(read_only=True)

    class Meta:
        model = DeploymentVerdict
        fields = ["agent_id", "agent", "outcome", "error", "probe", "timings", "updated_at"]
        read_only_fields = fields


@extend_schema_field(VerdictSerializer(many=True))
class VerdictsField(serializers.Field):
    """Of a deployment that was read with `answers.with_verdicts`."""

    def to_representation(self, verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [self._told(each) for each in verdicts]

    def _told(self, verdict: dict[str, Any]) -> dict[str, Any]:
        at = datetime.fromisoformat(verdict["updated_at"])
        told = {name: verdict[name] for name in VerdictSerializer.Meta.fields}
        return told | {"updated_at": MOMENT.to_representation(at)}


class DeploymentBriefSerializer(RowSerializer):
    product_publish_id = serializers.UUIDField(source="publish_id", read_only=True)
    revision = RevisionName(read_only=True, allow_null=True)

    class Meta:
        model = Deployment
        fields = [
            "id",
            "product_publish_id",
            "number",
            "kind",
            "revision",
            "note",
            "generation",
            "status",
            "detail",
            "requested_by",
            "created_at",
            "dispatched_at",
            "finished_at",
        ]
        read_only_fields = fields


class DeploymentSerializer(DeploymentBriefSerializer):
    verdicts = VerdictsField(source="listed_verdicts", read_only=True)
    error = serializers.SerializerMethodField()

    class Meta(DeploymentBriefSerializer.Meta):
        fields = [*DeploymentBriefSerializer.Meta.fields, "error", "verdicts"]
        read_only_fields = fields

    def get_error(self, row: Any) -> str:
        """The words of the first gateway that refused."""
        return next((each["error"] for each in row.listed_verdicts if each["error"]), "")


# --- What differs ----------------------------------------------------------------------------------


class FieldDifferenceSerializer(serializers.Serializer):
    name = serializers.CharField(
        help_text="A path, as `cors.allow_origins`; empty where the section is one value."
    )
    before = serializers.JSONField(allow_null=True, help_text="null: not set.")
    after = serializers.JSONField(allow_null=True, help_text="null: not set.")


class DifferenceSerializer(serializers.Serializer):
    section = serializers.CharField(
        help_text="host, listeners, auth, routes, upstreams, backends, or another part of the bundle."
    )
    change = serializers.ChoiceField(choices=[each.value for each in Change])
    id = serializers.CharField(help_text="Of the route, backend, ...; empty where there is none.")
    name = serializers.CharField()
    service = serializers.CharField(source="of", help_text="API service of a route or backend.")
    fields = FieldDifferenceSerializer(many=True)


class ComparisonSerializer(serializers.Serializer):
    added = serializers.IntegerField()
    removed = serializers.IntegerField()
    changed = serializers.IntegerField()
    differences = DifferenceSerializer(many=True)


class AffectedSerializer(serializers.Serializer):
    subscriptions = serializers.IntegerField(help_text="Active or suspended.")
    applications = serializers.IntegerField(help_text="Applications that hold them.")
    agents = serializers.IntegerField(help_text="Connected agents of the cluster.")


class RefusalSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    details = serializers.JSONField()


class ChangesSerializer(serializers.Serializer):
    """What publishing now would change."""

    pending = serializers.BooleanField(help_text="false: the gateways serve just this.")
    compared_with = RevisionName(allow_null=True, help_text="What is live; null: nothing.")
    digest = serializers.CharField(allow_null=True, help_text="Of what would be published.")
    comparison = ComparisonSerializer(allow_null=True)
    affected = AffectedSerializer()
    refusal = RefusalSerializer(allow_null=True, help_text="Why publishing now would be refused.")


class PreviewSerializer(serializers.Serializer):
    """What going from one revision to another changes."""

    before = RevisionName(allow_null=True)
    after = RevisionName()
    comparison = ComparisonSerializer()
    affected = AffectedSerializer()


# --- Publishes -------------------------------------------------------------------------------------


class LiveOn(serializers.Serializer):
    live = serializers.IntegerField(source="live_on", help_text="Agents that serve what is live.")
    total = serializers.IntegerField(source="agents", help_text="Unrevoked agents of the cluster.")


@extend_schema_field(DeploymentBriefSerializer(allow_null=True))
class OpenDeployment(serializers.Field):
    """What is under way for a publish that was read with `stories.under_way`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(source="open_deployments", read_only=True, **kwargs)

    def to_representation(self, found: list[Deployment]) -> dict[str, Any] | None:
        return self._brief.to_representation(found[0]) if found else None

    @cached_property
    def _brief(self) -> DeploymentBriefSerializer:
        """Made once for a list: it looks at every field of its model."""
        return DeploymentBriefSerializer()


class ProofSerializer(serializers.Serializer):
    agent_id = serializers.UUIDField()
    agent = serializers.CharField(source="agent.name")
    deployment_id = serializers.UUIDField()
    proved_at = serializers.DateTimeField(source="updated_at")
    calls = ProbeCallSerializer(many=True, source="probe")


class ProductPublishSerializer(RowSerializer):
    product_id = serializers.UUIDField(read_only=True)
    product_name = serializers.CharField(source="product", read_only=True)
    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    gateway_id = serializers.UUIDField(read_only=True)
    cluster_id = serializers.UUIDField(read_only=True)
    cluster_name = serializers.CharField(source="cluster.name", read_only=True)
    api_services = serializers.SerializerMethodField()
    route_ids = serializers.SerializerMethodField()
    live_revision = RevisionName(read_only=True, allow_null=True)
    wanted_revision = RevisionName(read_only=True, allow_null=True)
    open_deployment = OpenDeployment()
    live_on = LiveOn(source="*", read_only=True)

    class Meta:
        model = ProductPublish
        fields = [
            "id",
            "product_id",
            "product_name",
            "provider_tenant_id",
            "gateway_id",
            "cluster_id",
            "cluster_name",
            "environment",
            "hostname_base",
            "api_services",
            "route_ids",
            "auth_mode",
            "auth_config",
            "visibility",
            "approval_required",
            "status",
            "live_revision",
            "wanted_revision",
            "open_deployment",
            "live_on",
            "published_at",
            "published_by",
            "withdrawn_at",
            "withdrawn_by",
            "withdraw_reason",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    def get_api_services(self, row: Any) -> list[str]:
        """All services of the product go along."""
        return sorted(map(str, row.service_ids))

    def get_route_ids(self, row: Any) -> list[str]:
        return sorted(map(str, row.route_ids))


class ServingSerializer(serializers.ModelSerializer):
    """What one agent's gateway serves of a publish, as that agent last saw it."""

    agent_id = serializers.UUIDField(read_only=True)
    agent = serializers.CharField(source="agent.name", read_only=True)
    live = serializers.SerializerMethodField(help_text="It serves the live revision.")

    class Meta:
        model = AgentPublish
        fields = [
            "agent_id",
            "agent",
            "revision",
            "live",
            "error",
            "warning",
            "drifted_at",
            "observed_at",
        ]
        read_only_fields = fields

    def get_live(self, row: AgentPublish) -> bool:
        live = self.context["publish"].live_revision
        return live is not None and row.revision == live.digest


class WarningSerializer(serializers.Serializer):
    """What somebody must do soon: `certificate_expiring`, `certificate_expired`."""

    code = serializers.CharField(read_only=True)
    message = serializers.CharField(read_only=True)
    details = serializers.JSONField(read_only=True)


class ProductPublishDetailSerializer(ProductPublishSerializer):
    to_representation = serializers.ModelSerializer.to_representation  # with its context

    proof = serializers.SerializerMethodField()
    serving = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    class Meta(ProductPublishSerializer.Meta):
        fields = [*ProductPublishSerializer.Meta.fields, "proof", "serving", "warnings"]
        read_only_fields = fields

    @extend_schema_field(ProofSerializer(many=True))
    def get_proof(self, row: ProductPublish) -> list[dict[str, Any]]:
        """What the gateways answered when the live revision was last proved."""
        return list(ProofSerializer(self.context["proof"], many=True).data)

    @extend_schema_field(WarningSerializer(many=True))
    def get_warnings(self, row: ProductPublish) -> list[dict[str, Any]]:
        return tls.warnings(tls.serving([row])[row.pk])

    @extend_schema_field(ServingSerializer(many=True))
    def get_serving(self, row: ProductPublish) -> list[dict[str, Any]]:
        """What each agent says that its gateway serves."""
        rows = row.on_agents.filter(agent__revoked_at=None).select_related("agent")
        context = {"publish": row}
        return list(
            ServingSerializer(rows.order_by("agent__name"), many=True, context=context).data
        )


class StartedSerializer(ProductPublishDetailSerializer):
    """A publish just after it was asked to change: with the deployment that does it."""

    deployment = serializers.SerializerMethodField()

    class Meta(ProductPublishDetailSerializer.Meta):
        fields = [*ProductPublishDetailSerializer.Meta.fields, "deployment"]
        read_only_fields = fields

    @extend_schema_field(DeploymentSerializer)
    def get_deployment(self, row: ProductPublish) -> dict[str, Any]:
        return DeploymentSerializer(self.context["deployment"]).data


class EventSerializer(serializers.ModelSerializer):
    deployment_id = serializers.UUIDField(read_only=True, allow_null=True)
    agent = serializers.CharField(source="agent.name", read_only=True, default=None)
    actor_id = serializers.UUIDField(read_only=True, allow_null=True)
    actor = serializers.CharField(read_only=True, allow_null=True)
    note = serializers.SerializerMethodField()

    def get_note(self, event: PublishEvent) -> str:
        return drift.in_words(event)

    class Meta:
        model = PublishEvent
        fields = ["id", "kind", "deployment_id", "agent", "actor_id", "actor", "note", "created_at"]
        read_only_fields = fields
