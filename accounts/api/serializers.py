from __future__ import annotations

from rest_framework import serializers

from accounts.models import ApiToken, Membership, Notice, Role, User
from core.schema import example


@example(email="operator@example.com", password="correct horse battery staple")  # noqa: S106 - an example
class LoginSerializer(serializers.Serializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=1024, trim_whitespace=False)
    organization_id = serializers.UUIDField(required=False, allow_null=True)


@example(refresh_token="igr_2f4c…")  # noqa: S106 - an example
class RefreshSerializer(serializers.Serializer):
    refresh_token = serializers.CharField(max_length=4096)


class PairSerializer(serializers.Serializer):
    access_token = serializers.CharField()
    refresh_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField()


@example(name="CI", expires_at="2027-01-31T00:00:00Z")
class ApiTokenCreateSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=80)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class ApiTokenSerializer(serializers.ModelSerializer):
    user_email = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "name",
            "prefix",
            "organization_id",
            "user_email",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = fields


class CreatedApiTokenSerializer(ApiTokenSerializer):
    token = serializers.CharField(read_only=True, help_text="Shown once.")

    class Meta(ApiTokenSerializer.Meta):
        fields = [*ApiTokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class NoticeSerializer(serializers.ModelSerializer):
    text = serializers.CharField(source="words", help_text="In the caller's language.")
    over = serializers.BooleanField()
    read = serializers.BooleanField(help_text="By the caller.")

    class Meta:
        model = Notice
        fields = [
            "id",
            "organization_id",
            "topic",
            "text",
            "url",
            "until",
            "over",
            "read",
            "created_at",
            "ended_at",
        ]
        read_only_fields = fields


class MembershipSerializer(serializers.ModelSerializer):
    name = serializers.CharField(source="organization.name")
    kind = serializers.CharField(source="organization.kind")
    role = serializers.ChoiceField(Role.choices)

    class Meta:
        model = Membership
        fields = ["organization_id", "name", "kind", "role"]
        read_only_fields = fields


class MeSerializer(serializers.ModelSerializer):
    organization_id = serializers.UUIDField(allow_null=True)
    memberships = MembershipSerializer(many=True)

    class Meta:
        model = User
        fields = ["id", "email", "name", "locale", "organization_id", "memberships"]
        read_only_fields = fields
