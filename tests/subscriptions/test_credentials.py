"""Keys, their digests and the receipt of a revocation."""

from __future__ import annotations

import hashlib
import re

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from accounts.models import AuditEvent
from clusters.models import ClusterState
from core.errors import DomainError, InvalidInput
from subscriptions.models import AccessEntry, Credential
from subscriptions.services import credentials
from tests.factories.clusters import AgentFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory


@pytest.fixture
def subscription(application, plan):
    return SubscriptionFactory(application=application, plan=plan)


def test_a_key_is_shown_once_and_kept_as_a_digest(member, subscription):
    row, secret = credentials.create(actor=member, subscription_id=subscription.pk, name="prod")

    assert re.fullmatch(r"ik_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", secret)
    row.refresh_from_db()
    assert secret.startswith(f"ik_{row.prefix}_")
    assert row.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert (row.name, row.created_by) == ("prod", member)
    assert secret not in str(vars(row))
    event = AuditEvent.objects.get(action="credential.create")
    assert row.prefix in str(event.after)
    assert row.digest not in str(event.after)
    assert secret[-43:] not in str(event.after)


def test_gateways_learn_of_a_key_with_its_plan(member, subscription, plan):
    row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
    entry = AccessEntry.objects.get(pk=row.pk)
    assert (entry.kind, entry.digest, entry.suspended) == ("key", row.digest, False)
    assert (entry.publish_id, entry.plan_id, entry.subscription_id) == (
        plan.publish_id,
        plan.pk,
        subscription.pk,
    )


def test_no_two_keys_are_alike(member, subscription):
    made = [credentials.create(actor=member, subscription_id=subscription.pk) for _ in range(5)]
    assert len({secret for _row, secret in made}) == 5


@pytest.mark.parametrize("state", ["pending", "rejected", "suspended", "cancelled"])
def test_only_an_active_subscription_gets_keys(member, application, plan, state):
    row = SubscriptionFactory(application=application, plan=plan, **{state: True})
    with pytest.raises(DomainError) as refusal:
        credentials.create(actor=member, subscription_id=row.pk)
    assert refusal.value.code == "invalid_state"
    assert not Credential.objects.exists()


@pytest.mark.parametrize("mode", ["none", "oauth2"])
def test_a_publish_without_keys_needs_none(member, application, mode):
    plan = PlanFactory(publish=ProductPublishFactory(published=True, auth_mode=mode))
    row = SubscriptionFactory(application=application, plan=plan)
    with pytest.raises(DomainError) as refusal:
        credentials.create(actor=member, subscription_id=row.pk)
    assert refusal.value.code == "auth_mode"


def test_a_withdrawn_publish_keeps_its_keys_and_may_get_more(member, application):
    plan = PlanFactory(publish=ProductPublishFactory(withdrawn=True))
    row = SubscriptionFactory(application=application, plan=plan)
    credential, _secret = credentials.create(actor=member, subscription_id=row.pk)
    assert AccessEntry.objects.get(pk=credential.pk).deleted_at is None


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\nb"])
def test_a_keys_name_is_a_line_of_text(member, subscription, name):
    with pytest.raises(InvalidInput) as refusal:
        credentials.create(actor=member, subscription_id=subscription.pk, name=name)
    assert refusal.value.field == "name"


def test_revoking_leaves_a_tombstone_at_the_version_it_names(member, subscription):
    row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
    other, _secret = credentials.create(actor=member, subscription_id=subscription.pk)

    gone = credentials.revoke(actor=member, credential_id=row.pk)

    entry = AccessEntry.objects.get(pk=row.pk)
    state = ClusterState.objects.get(cluster=subscription.publish.cluster_id)
    assert entry.deleted_at is not None
    assert gone.revoked_version == entry.version == state.access_version
    assert AccessEntry.objects.get(pk=other.pk).deleted_at is None
    again = credentials.revoke(actor=member, credential_id=row.pk)
    assert (again.revoked_at, again.revoked_version) == (gone.revoked_at, gone.revoked_version)
    assert AuditEvent.objects.filter(action="credential.revoke").count() == 1


def test_nobody_revokes_anothers_key(member, stranger, viewer, provider_member, subscription):
    row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
    for actor in (stranger, provider_member):
        with pytest.raises(Credential.DoesNotExist):
            credentials.revoke(actor=actor, credential_id=row.pk)
    with pytest.raises(PermissionDenied):
        credentials.revoke(actor=viewer, credential_id=row.pk)


def test_the_receipt_follows_what_agents_acknowledge(member, subscription):
    cluster = subscription.publish.cluster
    quick, slow = AgentFactory.create_batch(2, cluster=cluster, live=True)
    AgentFactory(cluster=cluster, revoked=True)
    row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
    assert credentials.receipt(row) is None

    row = credentials.revoke(actor=member, credential_id=row.pk)
    assert credentials.receipt(row)["confirmed"] == 0
    quick.access_version, slow.access_version = row.revoked_version, row.revoked_version - 1
    quick.save()
    slow.save()

    assert credentials.receipt(row) == {
        "revoked_version": row.revoked_version,
        "confirmed": 1,
        "pending": 1,
        "gateways": [
            {"id": str(quick.pk), "status": "confirmed"},
            {"id": str(slow.pk), "status": "pending"},
        ],
    }


def test_a_key_that_no_gateway_ever_knew_is_revoked_at_the_present(member, subscription):
    row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
    AccessEntry.objects.all().delete()
    assert credentials.revoke(actor=member, credential_id=row.pk).revoked_version == 1


def test_a_revoked_key_still_has_its_time(member, subscription):
    row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
    before = timezone.now()
    assert credentials.revoke(actor=member, credential_id=row.pk).revoked_at >= before
