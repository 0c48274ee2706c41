"""What is sent. The rules are the services'."""

from __future__ import annotations

from rest_framework import serializers

from core.fields import Flag, Id, Text
from core.schema import example
from publishing.models import AuthMode, Environment, Visibility
from publishing.services.publishes import MAX_NOTE


@example(
    cluster_id="8f14e45f-ceea-467f-a0e6-cbb8b5a2b1c4",
    gateway_id="c9f0f895-fb98-4b91-9d6a-4f1c2b3a4d5e",
    environment="prod",
    hostname_base="api.example.com",
    auth_mode="api-key",
    visibility="public",
    approval_required=True,
)
class PublishSettings(serializers.Serializer):
    cluster_id = Id()
    gateway_id = Id()
    environment = serializers.ChoiceField(Environment.choices)
    hostname_base = Text(max_length=255, help_text="Host name that callers use, without a port.")
    auth_mode = serializers.ChoiceField(AuthMode.choices)
    auth_config = serializers.JSONField(
        default=dict, help_text="For oauth2: issuer (https), audience, scopes."
    )
    visibility = serializers.ChoiceField(Visibility.choices, default=Visibility.PUBLIC)
    approval_required = Flag(default=False)


@example(
    product_id="45c48cce-2e2d-4fbd-8c3a-1b2c3d4e5f60",
    cluster_id="8f14e45f-ceea-467f-a0e6-cbb8b5a2b1c4",
    gateway_id="c9f0f895-fb98-4b91-9d6a-4f1c2b3a4d5e",
    environment="prod",
    hostname_base="api.example.com",
    auth_mode="api-key",
    visibility="public",
    approval_required=True,
)
class NewPublish(PublishSettings):
    product_id = Id()


class Start(serializers.Serializer):
    after = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        help_text="Number of the last deployment you saw (0: none). If there is a newer one, a 409: "
        "so a repeated request starts no second deployment.",
    )


@example(note="Production release 2.0", after=3)
class PublishNote(Start):
    note = Text(required=False, allow_blank=True, default="", max_length=MAX_NOTE)


@example(reason="Replaced by version 3", after=4)
class WithdrawReason(Start):
    reason = Text(required=False, allow_blank=True, default="", max_length=MAX_NOTE)


@example(revision=2, note="Version 3 answers too slowly")
class RollBack(PublishNote):
    revision = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, help_text="Number of an earlier revision."
    )


@example(agent_id="aab32389-22bc-4b5a-8ef1-6d7e8f901234", name="agent-kr-prod-01")
class Waiver(serializers.Serializer):
    agent_id = Id()
    name = Text(
        max_length=253, trim_whitespace=False, help_text="The agent's name, typed to confirm."
    )
