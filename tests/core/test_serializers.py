"""Rows on the wire are shown as DRF would show them, without its search for each value of each row."""

from __future__ import annotations

import pytest
from django.utils import timezone
from rest_framework import serializers

from accounts.models import Membership, Organization
from core.serializers import RowSerializer


class OrganizationRow(RowSerializer):
    class Meta:
        model = Organization
        fields = ["id", "kind", "created_at"]


class MembershipRow(RowSerializer):
    organization = OrganizationRow()
    organization_name = serializers.CharField(source="organization.name")
    others = OrganizationRow(many=True)
    shouted = serializers.SerializerMethodField()
    invited_by = serializers.CharField(allow_null=True)
    secret = serializers.CharField(write_only=True)

    class Meta:
        model = Membership
        fields = ["organization", "organization_name", "others", "shouted", "invited_by", "secret"]

    def get_shouted(self, row):
        return row.role.upper()


@pytest.fixture
def row():
    kept = Organization(name="Kept", kind="provider", created_at=timezone.now())
    made = Membership(organization=kept, role="viewer")
    made.others, made.invited_by, made.secret = [kept], None, "hidden"
    return made


def test_shows_what_drf_would(row):
    shown = MembershipRow(row).data

    drf = serializers.ModelSerializer.to_representation(MembershipRow(), row)
    assert shown == drf
    assert shown["organization_name"] == "Kept"
    assert shown["shouted"] == "VIEWER"
    assert shown["invited_by"] is None
    assert "secret" not in shown


def test_a_list_shows_each_as_one_would(row):
    assert MembershipRow([row, row], many=True).data == [MembershipRow(row).data] * 2


def test_a_value_that_is_not_there_is_an_error(row):
    del row.others

    with pytest.raises(AttributeError):
        MembershipRow(row).data  # noqa: B018
