"""Shapes on the wire. The rules are the services'."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from catalog.models import Product
from core.schema import example
from core.serializers import RowSerializer
from publishing.models import ProductPublish
from subscriptions.models import Application, Credential, Plan, Subscription
from subscriptions.services import bulk, credentials

# --- Plans -----------------------------------------------------------------------------------------


class PlanSerializer(RowSerializer):
    product_publish_id = serializers.UUIDField(source="publish_id", read_only=True)

    class Meta:
        model = Plan
        fields = [
            "id",
            "product_publish_id",
            "name",
            "price",
            "currency",
            "quota_per_day",
            "rate_per_minute",
            "approval_required",
            "created_at",
        ]
        read_only_fields = fields


class ProviderPlanSerializer(PlanSerializer):
    subscription_count = serializers.IntegerField(read_only=True, help_text="Open ones.")

    class Meta(PlanSerializer.Meta):
        fields = [*PlanSerializer.Meta.fields, "subscription_count"]
        read_only_fields = fields


@example(name="Basic", price="29.00", currency="USD", quota_per_day=10000, rate_per_minute=100)
class PlanBody(serializers.Serializer):
    """What is left out gets its default; null is unlimited."""

    name = serializers.CharField(max_length=80)
    price = serializers.DecimalField(max_digits=12, decimal_places=2, min_value=0, default=0)
    currency = serializers.CharField(min_length=3, max_length=3, default="USD")
    quota_per_day = serializers.IntegerField(
        min_value=1, max_value=10**15, allow_null=True, default=None
    )
    rate_per_minute = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, allow_null=True, default=None
    )
    approval_required = serializers.BooleanField(
        allow_null=True, default=None, help_text="null: as the publish says."
    )


# --- Applications and subscriptions ----------------------------------------------------------------


class ApplicationSerializer(RowSerializer):
    consumer_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)

    class Meta:
        model = Application
        fields = ["id", "consumer_tenant_id", "name", "description", "created_at"]
        read_only_fields = fields


@example(name="Shop", description="The web shop")
class ApplicationBody(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(max_length=500, allow_blank=True, default="")


@example(name="Shop", description="The web shop, and its app")
class ApplicationChanges(serializers.Serializer):
    """What is left out stays as it is."""

    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(max_length=500, allow_blank=True, required=False)


class SubscriptionSerializer(RowSerializer):
    application_id = serializers.UUIDField(read_only=True)
    application_name = serializers.CharField(source="application.name", read_only=True)
    product_publish_id = serializers.UUIDField(source="publish_id", read_only=True)
    product_name = serializers.CharField(source="publish.product", read_only=True)
    environment = serializers.CharField(source="publish.environment", read_only=True)
    publish_status = serializers.CharField(source="publish.status", read_only=True)
    plan = PlanSerializer(read_only=True)

    class Meta:
        model = Subscription
        fields = [
            "id",
            "status",
            "application_id",
            "application_name",
            "product_publish_id",
            "product_name",
            "environment",
            "publish_status",
            "plan",
            "reason",
            "created_at",
            "decided_at",
        ]
        read_only_fields = fields


class ProvidedSubscriptionSerializer(SubscriptionSerializer):
    consumer_tenant_id = serializers.UUIDField(source="application.organization_id", read_only=True)
    consumer_name = serializers.CharField(source="application.organization.name", read_only=True)

    class Meta(SubscriptionSerializer.Meta):
        fields = [*SubscriptionSerializer.Meta.fields, "consumer_tenant_id", "consumer_name"]
        read_only_fields = fields


@example(
    application_id="c20ad4d7-6fe9-4775-9aa2-7b8c9d0e1f20",
    plan_id="6512bd43-d9ca-46e0-8c99-0a1b2c3d4e5f",
)
class SubscribeBody(serializers.Serializer):
    application_id = serializers.UUIDField()
    plan_id = serializers.UUIDField()


@example(plan_id="6512bd43-d9ca-46e0-8c99-0a1b2c3d4e5f")
class ChangePlanBody(serializers.Serializer):
    plan_id = serializers.UUIDField()


@example(reason="Please describe what the keys are for.")
class ReasonBody(serializers.Serializer):
    reason = serializers.CharField(max_length=500)


@example(ids=["c51ce410-c124-4a10-a0db-5e4b97fc2af3"])
class ManyBody(serializers.Serializer):
    ids = serializers.ListField(
        child=serializers.UUIDField(), allow_empty=False, max_length=bulk.MOST
    )


@example(ids=["c51ce410-c124-4a10-a0db-5e4b97fc2af3"], reason="This plan is for partners.")
class ManyReasonBody(ManyBody):
    reason = serializers.CharField(max_length=500, help_text="Shown to each consumer.")


class OneOfManySerializer(serializers.Serializer):
    id = serializers.UUIDField()
    ok = serializers.BooleanField()
    code = serializers.CharField(
        help_text="Empty when it was done; else as the single call's error."
    )
    message = serializers.CharField(help_text="Why it could not be done, for people.")
    subscription = ProvidedSubscriptionSerializer(allow_null=True)


class ManyResultSerializer(serializers.Serializer):
    """In the order of the request."""

    done = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = OneOfManySerializer(many=True)


# --- Credentials -----------------------------------------------------------------------------------


class CredentialSerializer(RowSerializer):
    subscription_id = serializers.UUIDField(read_only=True)
    status = serializers.SerializerMethodField()

    class Meta:
        model = Credential
        fields = [
            "id",
            "subscription_id",
            "name",
            "prefix",
            "status",
            "created_at",
            "revoked_at",
        ]
        read_only_fields = fields

    def get_status(self, credential: Credential) -> str:
        return "active" if credential.revoked_at is None else "revoked"


class CreatedCredentialSerializer(CredentialSerializer):
    key = serializers.CharField(read_only=True, help_text="Shown in this answer only.")

    class Meta(CredentialSerializer.Meta):
        fields = [*CredentialSerializer.Meta.fields, "key"]
        read_only_fields = fields


class GatewayReceiptSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    status = serializers.ChoiceField(["confirmed", "pending"])


class ReceiptSerializer(serializers.Serializer):
    """Which gateways are known to refuse the key."""

    revoked_version = serializers.IntegerField()
    confirmed = serializers.IntegerField()
    pending = serializers.IntegerField()
    gateways = GatewayReceiptSerializer(many=True)


class CredentialDetailSerializer(CredentialSerializer):
    receipt = serializers.SerializerMethodField(help_text="null until the key is revoked.")

    class Meta(CredentialSerializer.Meta):
        fields = [*CredentialSerializer.Meta.fields, "receipt"]
        read_only_fields = fields

    @extend_schema_field(ReceiptSerializer(allow_null=True))
    def get_receipt(self, credential: Credential) -> dict[str, Any] | None:
        return credentials.receipt(credential)


@example(subscription_id="c51ce410-c124-4a10-a0db-5e4b97fc2af3", name="production")
class CredentialBody(serializers.Serializer):
    subscription_id = serializers.UUIDField()
    name = serializers.CharField(max_length=80, default="key")


# --- The catalogue that everybody may read ----------------------------------------------------------


class PublicPublishSerializer(RowSerializer):
    plans = PlanSerializer(source="offered_plans", many=True, read_only=True)

    class Meta:
        model = ProductPublish
        fields = [
            "id",
            "environment",
            "hostname_base",
            "auth_mode",
            "approval_required",
            "published_at",
            "plans",
        ]
        read_only_fields = fields


class PublicProductSerializer(RowSerializer):
    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    provider_name = serializers.CharField(source="organization.name", read_only=True)
    publishes = PublicPublishSerializer(source="on_offer", many=True, read_only=True)

    class Meta:
        model = Product
        fields = [
            "id",
            "provider_tenant_id",
            "provider_name",
            "name",
            "version",
            "description",
            "categories",
            "docs_url",
            "logo_url",
            "publishes",
        ]
        read_only_fields = fields
