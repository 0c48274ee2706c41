"""Subscriptions in the Django admin."""

from __future__ import annotations

import pytest
from django.urls import reverse

from subscriptions.models import AccessEntry, Credential
from subscriptions.services import credentials
from tests.factories.accounts import UserFactory
from tests.factories.subscriptions import AccessEntryFactory, CredentialFactory, SubscriptionFactory

MODELS = ("plan", "application", "subscription", "credential", "accessentry")


@pytest.fixture
def root(client, db):
    client.force_login(UserFactory(superuser=True))
    return client


@pytest.fixture
def credential(member, application, plan):
    subscription = SubscriptionFactory(application=application, plan=plan)
    return credentials.create(actor=member, subscription_id=subscription.pk)[0]


def listed(model):
    return reverse(f"admin:subscriptions_{model}_changelist")


def test_every_list_and_page_opens_and_none_shows_a_digest(root, credential):
    rows = {
        "plan": credential.subscription.plan_id,
        "application": credential.subscription.application_id,
        "subscription": credential.subscription_id,
        "credential": credential.pk,
        "accessentry": credential.pk,
    }
    for model, pk in rows.items():
        for url in (
            listed(model),
            listed(model) + f"?q={pk}",
            listed(model) + "?q=shop",
            reverse(f"admin:subscriptions_{model}_change", args=[pk]),
        ):
            response = root.get(url)
            assert response.status_code == 200, url
            assert credential.digest not in response.content.decode()


def test_rows_change_by_actions_only(root, credential):
    for model in MODELS:
        assert root.get(reverse(f"admin:subscriptions_{model}_add")).status_code == 403
    url = reverse("admin:subscriptions_credential_change", args=[credential.pk])
    assert root.post(url, {"name": "x"}).status_code == 403
    url = reverse("admin:subscriptions_credential_delete", args=[credential.pk])
    assert root.post(url, {"post": "yes"}).status_code == 403


def test_a_superuser_revokes_through_the_service(root, credential):
    body = {"action": "revoke", "_selected_action": [str(credential.pk)]}
    root.post(listed("credential"), body)
    assert Credential.objects.get().revoked_version is not None
    assert AccessEntry.objects.get(pk=credential.pk).deleted_at is not None


def test_a_superuser_decides_and_a_refusal_does_not_stop_the_others(root, plan):
    waiting, active = SubscriptionFactory(plan=plan, pending=True), SubscriptionFactory(plan=plan)
    body = {"action": "approve", "_selected_action": [str(active.pk), str(waiting.pk)]}
    response = root.post(listed("subscription"), body, follow=True)
    waiting.refresh_from_db()
    assert waiting.status == "active"
    assert len(list(response.context["messages"])) == 1
    for action, status in (("cancel", "cancelled"),):
        root.post(listed("subscription"), {"action": action, "_selected_action": [str(active.pk)]})
        active.refresh_from_db()
        assert active.status == status


def test_a_superuser_resumes(root, plan):
    row = SubscriptionFactory(plan=plan, suspended=True)
    root.post(listed("subscription"), {"action": "resume", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.status == "active"


def test_other_staff_see_their_own_and_may_not_act(client, consumer, credential):
    CredentialFactory()
    AccessEntryFactory()
    client.force_login(UserFactory(member_of=consumer, role="admin", is_staff=True))
    shown = client.get(listed("credential")).context["cl"].queryset
    assert [row.pk for row in shown] == [credential.pk]
    assert not client.get(listed("accessentry")).context["cl"].queryset.exists()
    body = {"action": "revoke", "_selected_action": [str(credential.pk)]}
    client.post(listed("credential"), body)
    assert Credential.objects.get(pk=credential.pk).revoked_at is None
