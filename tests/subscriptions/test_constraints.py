"""The database says no, whoever writes."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from subscriptions.models import AccessEntry, Subscription
from subscriptions.states import Status
from tests.factories.subscriptions import (
    AccessEntryFactory,
    ApplicationFactory,
    CredentialFactory,
    PlanFactory,
    SubscriptionFactory,
)

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


@pytest.mark.parametrize(
    ("factory", "values", "constraint"),
    [
        (PlanFactory, {"price": -1}, "subscriptions_plan_price_not_negative"),
        (PlanFactory, {"currency": "usd"}, "subscriptions_plan_currency_code"),
        (PlanFactory, {"currency": "US"}, "subscriptions_plan_currency_code"),
        (PlanFactory, {"quota_per_day": 0}, "subscriptions_plan_limits_positive"),
        (PlanFactory, {"rate_per_minute": 0}, "subscriptions_plan_limits_positive"),
        (SubscriptionFactory, {"status": "lapsed"}, "subscriptions_subscription_"),
        (SubscriptionFactory, {"decided_at": None}, "subscriptions_subscription_decided_has_time"),
        (
            SubscriptionFactory,
            {"status": "pending"},
            "subscriptions_subscription_decided_has_time",
        ),
        (
            CredentialFactory,
            {"revoked_at": timezone.now()},
            "subscriptions_credential_revoked_has_version",
        ),
        (CredentialFactory, {"revoked_version": 1}, "subscriptions_credential_revoked_has_version"),
        (AccessEntryFactory, {"kind": "token"}, "subscriptions_accessentry_kind_known"),
        (AccessEntryFactory, {"digest": ""}, "subscriptions_accessentry_kind_known"),
        (AccessEntryFactory, {"subscription_id": None}, "subscriptions_accessentry_kind_known"),
        (AccessEntryFactory, {"plan": True, "digest": "x"}, "subscriptions_accessentry_kind_known"),
    ],
)
def test_values_that_make_no_sense(factory, values, constraint):
    with refused(constraint), transaction.atomic():
        factory(**values)


def test_names_can_be_had_once():
    plan, application = PlanFactory(), ApplicationFactory()
    with refused("subscriptions_plan_name_once"), transaction.atomic():
        PlanFactory(publish=plan.publish, name=plan.name)
    with refused("subscriptions_application_name_once"), transaction.atomic():
        ApplicationFactory(organization=application.organization, name=application.name)


@pytest.mark.parametrize("field", ["prefix", "digest"])
def test_no_two_keys_share_a_digest_or_prefix(field):
    credential = CredentialFactory()
    with refused(f"subscriptions_credential_{field}"), transaction.atomic():
        CredentialFactory(**{field: getattr(credential, field)})


@pytest.mark.parametrize("one", ["pending", "suspended", None])
def test_one_open_subscription_per_application_and_publish(one):
    first = SubscriptionFactory(**({one: True} if one else {}))
    SubscriptionFactory(application=first.application, plan=first.plan, cancelled=True)
    SubscriptionFactory(application=first.application, plan=first.plan, rejected=True)
    with refused("subscriptions_subscription_one_open"), transaction.atomic():
        SubscriptionFactory(application=first.application, plan=PlanFactory(publish=first.publish))


def test_a_subscriptions_plan_is_of_its_publish():
    subscription, other = SubscriptionFactory(), PlanFactory()
    rows = Subscription.objects.filter(pk=subscription.pk)
    with refused("subscriptions_subscription_plan_of_publish"), transaction.atomic():
        rows.update(plan=other)
    with refused("subscriptions_subscription_plan_of_publish"), transaction.atomic():
        rows.update(publish=other.publish)
    rows.update(plan=other, publish=other.publish)


@pytest.mark.parametrize("status", [Status.PENDING, Status.ACTIVE, Status.SUSPENDED])
def test_an_open_subscription_is_never_deleted(status):
    decided = None if status == Status.PENDING else timezone.now()
    row = SubscriptionFactory(status=status, decided_at=decided)
    publish, plan, application = row.publish, row.plan, row.application
    for doomed in (row, publish, plan, application):
        with pytest.raises(IntegrityError), transaction.atomic():
            doomed.delete()
    with refused("subscriptions_subscription_open_stays|cannot be deleted"), transaction.atomic():
        Subscription.objects.filter(pk=row.pk)._raw_delete("default")
    Subscription.objects.filter(pk=row.pk).update(status=Status.CANCELLED)
    row.delete()


def test_a_tombstone_outlives_what_it_buries():
    subscription = SubscriptionFactory(cancelled=True)
    credential = CredentialFactory(subscription=subscription, revoked=True)
    AccessEntryFactory(
        id=credential.pk,
        cluster=subscription.publish.cluster,
        subscription_id=subscription.pk,
        buried=True,
    )
    subscription.delete()
    assert AccessEntry.objects.filter(pk=credential.pk).exists()
