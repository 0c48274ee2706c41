"""Plans and applications, through the services."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied

from accounts.models import AuditEvent
from core.errors import DomainError, InvalidInput
from publishing.models import ProductPublish
from subscriptions.models import AccessEntry, Application, Plan
from subscriptions.services import applications, plans
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import (
    ApplicationFactory,
    CredentialFactory,
    PlanFactory,
    SubscriptionFactory,
)


def version(publish):
    publish.cluster.state.refresh_from_db()
    return publish.cluster.state.access_version


# --- Plans -----------------------------------------------------------------------------------------


def test_a_plan_is_offered_and_gateways_learn_its_limits(provider_member, publish):
    plan = plans.create(
        actor=provider_member,
        publish_id=publish.pk,
        name="Basic",
        price="29",
        currency="usd",
        quota_per_day=10_000,
        rate_per_minute=100,
    )

    plan.refresh_from_db()
    assert (plan.price, plan.currency, plan.approval_required) == (Decimal("29.00"), "USD", None)
    entry = AccessEntry.objects.get(pk=plan.pk)
    assert (entry.kind, entry.rate_per_minute, entry.publish_id, entry.plan_id) == (
        "plan",
        100,
        publish.pk,
        plan.pk,
    )
    assert (entry.cluster_id, entry.version) == (publish.cluster_id, version(publish))
    event = AuditEvent.objects.get(action="plan.create")
    assert (event.organization_id, event.actor_id) == (publish.organization_id, provider_member.pk)


def test_unlimited_is_zero_on_the_wire(provider_member, publish):
    plan = plans.create(actor=provider_member, publish_id=publish.pk, name="Free")
    assert (plan.price, plan.quota_per_day, plan.rate_per_minute) == (0, None, None)
    assert AccessEntry.objects.get(pk=plan.pk).rate_per_minute == 0


def test_a_plan_can_be_made_before_anything_is_live(provider_member, publish):
    draft = ProductPublishFactory(organization=publish.organization)
    plans.create(actor=provider_member, publish_id=draft.pk, name="Basic")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"price": -1}, "price"),
        ({"price": "1.001"}, "price"),
        ({"price": "NaN"}, "price"),
        ({"price": "Infinity"}, "price"),
        ({"price": "1e400"}, "price"),
        ({"price": "much"}, "price"),
        ({"price": None}, "price"),
        ({"price": 10**10}, "price"),
        ({"currency": "dollar"}, "currency"),
        ({"currency": "U$"}, "currency"),
        ({"currency": "U1D"}, "currency"),
        ({"currency": "원화임"}, "currency"),
        ({"quota_per_day": 0}, "quota_per_day"),
        ({"quota_per_day": 10**16}, "quota_per_day"),
        ({"rate_per_minute": 0}, "rate_per_minute"),
        ({"rate_per_minute": 2**31}, "rate_per_minute"),
        ({"rate_per_minute": True}, "rate_per_minute"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named(provider_member, publish, wrong, field):
    with pytest.raises(InvalidInput) as refusal:
        plans.create(actor=provider_member, publish_id=publish.pk, **{"name": "Basic", **wrong})
    assert refusal.value.field == field
    assert not Plan.objects.exists()


def test_a_new_limit_reaches_the_gateways_and_a_new_price_does_not_bother_them(
    provider_member, publish
):
    plan = plans.create(actor=provider_member, publish_id=publish.pk, name="B", rate_per_minute=5)
    before = version(publish)

    plans.update(actor=provider_member, plan_id=plan.pk, name="B", rate_per_minute=5, price=9)
    assert version(publish) == before
    plans.update(actor=provider_member, plan_id=plan.pk, name="B", rate_per_minute=7)
    assert version(publish) == before + 1
    assert AccessEntry.objects.get(pk=plan.pk).rate_per_minute == 7
    plan.refresh_from_db()
    assert plan.price == 0  # what is left out goes back to its default


def test_a_plans_name_can_be_had_once_per_publish(provider_member, publish, plan):
    other = PlanFactory(publish=publish)
    PlanFactory(name=plan.name)
    for call in (
        lambda: plans.create(actor=provider_member, publish_id=publish.pk, name=plan.name),
        lambda: plans.update(actor=provider_member, plan_id=other.pk, name=plan.name),
    ):
        with pytest.raises(InvalidInput) as refusal:
            call()
        assert refusal.value.code == "duplicate"


def test_an_unused_plan_is_deleted_and_leaves_a_tombstone(provider_admin, publish):
    plan = plans.create(actor=provider_admin, publish_id=publish.pk, name="Basic")
    SubscriptionFactory(plan=plan, cancelled=True)
    CredentialFactory(subscription=SubscriptionFactory(plan=plan, rejected=True), revoked=True)

    plans.delete(actor=provider_admin, plan_id=plan.pk)

    assert not Plan.objects.exists()
    entry = AccessEntry.objects.get(pk=plan.pk)
    assert entry.deleted_at is not None
    assert entry.version == version(publish) == 2


@pytest.mark.parametrize("status", ["pending", "active", "suspended"])
def test_a_plan_with_open_subscriptions_stays_and_says_how_many(provider_admin, plan, status):
    SubscriptionFactory.create_batch(
        2, plan=plan, status=status, **({"decided_at": None} if status == "pending" else {})
    )
    with pytest.raises(DomainError, match="2 subscriptions") as refusal:
        plans.delete(actor=provider_admin, plan_id=plan.pk)
    assert (refusal.value.code, refusal.value.details) == ("plan_in_use", {"subscriptions": 2})
    assert Plan.objects.exists()


def test_plans_of_others(provider_viewer, provider_member, member, publish, plan):
    calls = [
        (lambda actor: plans.create(actor=actor, publish_id=publish.pk, name="X"), ProductPublish),
        (lambda actor: plans.update(actor=actor, plan_id=plan.pk, name="X"), Plan),
        (lambda actor: plans.delete(actor=actor, plan_id=plan.pk), Plan),
    ]
    foreigner = UserFactory(member_of=OrganizationFactory(provider=True), role="admin")
    for call, model in calls:
        for stranger in (foreigner, member):
            with pytest.raises(model.DoesNotExist):
                call(stranger)
        with pytest.raises(PermissionDenied):
            call(provider_viewer)
    with pytest.raises(PermissionDenied):
        plans.delete(actor=provider_member, plan_id=plan.pk)


# --- What is on offer ------------------------------------------------------------------------------


def test_on_offer_is_what_is_live_and_public(member, publish, plan):
    PlanFactory(publish=ProductPublishFactory())
    PlanFactory(publish=ProductPublishFactory(withdrawn=True))
    PlanFactory(publish=ProductPublishFactory(published=True, visibility="private"))
    assert list(Plan.objects.offered_to(member)) == [plan]
    assert list(Plan.objects.public()) == [plan]


def test_a_provider_may_try_its_own_private_publish(publish, provider_member, member):
    publish.visibility = "private"
    publish.save()
    plan = PlanFactory(publish=publish)
    assert list(Plan.objects.offered_to(provider_member)) == [plan]
    assert not Plan.objects.offered_to(member).exists()


# --- Applications ----------------------------------------------------------------------------------


def test_an_application_belongs_to_a_consumer(member, consumer):
    made = applications.create(actor=member, organization_id=consumer.pk, name=" Shop ")
    assert (made.name, made.organization) == ("Shop", consumer)
    assert AuditEvent.objects.get(action="application.create").organization_id == consumer.pk
    with pytest.raises(InvalidInput) as refusal:
        applications.create(actor=member, organization_id=consumer.pk, name="Shop")
    assert (refusal.value.field, refusal.value.code) == ("name", "duplicate")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"description": "x" * 501}, "description"),
    ],
)
def test_what_is_wrong_with_an_application_is_named(member, consumer, wrong, field):
    with pytest.raises(InvalidInput) as refusal:
        applications.create(actor=member, organization_id=consumer.pk, **{"name": "X", **wrong})
    assert refusal.value.field == field


def test_only_members_of_a_consumer_make_applications(viewer, stranger, consumer):
    for actor in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            applications.create(actor=actor, organization_id=consumer.pk, name="X")
    provider = OrganizationFactory(provider=True)
    with pytest.raises(PermissionDenied):
        applications.create(
            actor=UserFactory(member_of=provider), organization_id=provider.pk, name="X"
        )


def test_an_application_that_is_subscribed_stays(admin, application, plan):
    SubscriptionFactory(application=application, plan=plan, pending=True)
    with pytest.raises(DomainError, match="prod") as refusal:
        applications.delete(actor=admin, application_id=application.pk)
    assert refusal.value.code == "application_in_use"


def test_an_admin_deletes_an_application_with_its_past(admin, member, application, plan):
    past = SubscriptionFactory(application=application, plan=plan, cancelled=True)
    CredentialFactory(subscription=past, revoked=True)
    with pytest.raises(PermissionDenied):
        applications.delete(actor=member, application_id=application.pk)

    applications.delete(actor=admin, application_id=application.pk)

    assert not Application.objects.exists()
    assert AuditEvent.objects.filter(action="application.delete").exists()


def test_applications_of_others(stranger, viewer, application):
    ApplicationFactory()
    with pytest.raises(Application.DoesNotExist):
        applications.delete(actor=stranger, application_id=application.pk)
    with pytest.raises(PermissionDenied):
        applications.delete(actor=viewer, application_id=application.pk)
