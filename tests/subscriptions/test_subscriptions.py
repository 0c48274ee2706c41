"""From the request to the end, through the services."""

from __future__ import annotations

import threading
import uuid
from itertools import product as pairs

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from accounts.models import AuditEvent
from clusters.models import ClusterState
from core.errors import DomainError, InvalidInput, InvalidTransition
from publishing.services import publishes
from subscriptions import states
from subscriptions.models import AccessEntry, Application, Plan, Subscription
from subscriptions.services import credentials, plans, subscriptions
from subscriptions.states import Status
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import ApplicationFactory, PlanFactory, SubscriptionFactory


@pytest.mark.parametrize(("source", "target"), list(pairs(Status, Status)))
def test_the_table_is_the_whole_truth(source, target):
    if target in states.TRANSITIONS[source]:
        states.check_move(source, target)
    else:
        with pytest.raises(InvalidTransition):
            states.check_move(source, target)


def subscribe(actor, application, plan):
    return subscriptions.subscribe(actor=actor, application_id=application.pk, plan_id=plan.pk)


# --- Subscribing -----------------------------------------------------------------------------------


def test_subscribing_is_approved_at_once(member, application, plan):
    made = subscribe(member, application, plan)

    made.refresh_from_db()
    assert (made.status, made.publish, made.requested_by) == (Status.ACTIVE, plan.publish, member)
    assert made.decided_at is not None
    assert made.decided_by is None
    event = AuditEvent.objects.get(action="subscription.create")
    assert event.organization_id == application.organization_id


@pytest.mark.parametrize(
    ("publish_says", "plan_says", "status"),
    [
        (False, None, "active"),
        (True, None, "pending"),
        (False, True, "pending"),
        (True, False, "active"),
    ],
)
def test_approval_is_the_plans_word_else_the_publishs(
    member, application, publish_says, plan_says, status
):
    publish = ProductPublishFactory(published=True, approval_required=publish_says)
    plan = PlanFactory(publish=publish, approval_required=plan_says)
    assert subscribe(member, application, plan).status == status


@pytest.mark.parametrize(
    "publish",
    [{}, {"withdrawn": True}, {"published": True, "visibility": "private"}],
)
def test_what_is_not_on_offer_does_not_exist(member, application, publish):
    plan = PlanFactory(publish=ProductPublishFactory(**publish))
    with pytest.raises(Plan.DoesNotExist):
        subscribe(member, application, plan)


def test_unknown_ids_do_not_exist(member, application, plan):
    with pytest.raises(Plan.DoesNotExist):
        subscriptions.subscribe(actor=member, application_id=application.pk, plan_id=uuid.uuid4())
    with pytest.raises(Application.DoesNotExist):
        subscriptions.subscribe(actor=member, application_id=uuid.uuid4(), plan_id=plan.pk)


def test_nobody_subscribes_anothers_application(stranger, viewer, application, plan):
    with pytest.raises(Application.DoesNotExist):
        subscribe(stranger, application, plan)
    with pytest.raises(PermissionDenied):
        subscribe(viewer, application, plan)


def test_an_application_subscribes_to_a_publish_once(member, application, plan):
    subscribe(member, application, plan)
    other = PlanFactory(publish=plan.publish)
    with pytest.raises(DomainError) as refusal:
        subscribe(member, application, other)
    assert (refusal.value.status, refusal.value.code) == (409, "already_subscribed")


@pytest.mark.parametrize("past", ["rejected", "cancelled"])
def test_it_may_come_back(member, application, plan, past):
    SubscriptionFactory(application=application, plan=plan, **{past: True})
    assert subscribe(member, application, plan).status == Status.ACTIVE


# --- The provider decides --------------------------------------------------------------------------


@pytest.fixture
def waiting(application, plan):
    return SubscriptionFactory(application=application, plan=plan, pending=True)


@pytest.fixture
def active(application, plan):
    return SubscriptionFactory(application=application, plan=plan)


@pytest.fixture
def key(active, member):
    return credentials.create(actor=member, subscription_id=active.pk)[0]


def test_a_member_of_the_provider_approves(provider_member, waiting):
    made = subscriptions.approve(actor=provider_member, subscription_id=waiting.pk)
    made.refresh_from_db()
    assert (made.status, made.decided_by) == (Status.ACTIVE, provider_member)
    assert made.decided_at is not None
    event = AuditEvent.objects.get(action="subscription.approve")
    assert event.organization_id == waiting.publish.organization_id
    assert (event.before["status"], event.after["status"]) == ("pending", "active")


def test_a_rejection_says_why_and_is_the_end(provider_member, waiting):
    made = subscriptions.reject(
        actor=provider_member, subscription_id=waiting.pk, reason=" Unknown company "
    )
    made.refresh_from_db()
    assert (made.status, made.reason) == (Status.REJECTED, "Unknown company")
    with pytest.raises(InvalidTransition):
        subscriptions.approve(actor=provider_member, subscription_id=waiting.pk)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\nb"])
def test_a_reason_is_a_line_of_text(provider_member, waiting, reason):
    for decide in (subscriptions.reject, subscriptions.suspend):
        with pytest.raises(InvalidInput) as refusal:
            decide(actor=provider_member, subscription_id=waiting.pk, reason=reason)
        assert refusal.value.field == "reason"


@pytest.fixture
def active_too(plan):
    return SubscriptionFactory(plan=plan)


def test_what_waits_for_nothing_cannot_be_decided(provider_member, active_too):
    pk = active_too.pk
    with pytest.raises(InvalidTransition):
        subscriptions.approve(actor=provider_member, subscription_id=pk)
    with pytest.raises(InvalidTransition):
        subscriptions.reject(actor=provider_member, subscription_id=pk, reason="No")


def test_approving_does_not_resume_and_resuming_does_not_approve(provider_member, plan):
    suspended = SubscriptionFactory(plan=plan, suspended=True)
    pending = SubscriptionFactory(plan=plan, pending=True)
    with pytest.raises(DomainError):
        subscriptions.approve(actor=provider_member, subscription_id=suspended.pk)
    with pytest.raises(DomainError):
        subscriptions.resume(actor=provider_member, subscription_id=pending.pk)


def test_suspending_tells_the_gateways_and_resuming_too(provider_member, active, key):
    subscriptions.suspend(actor=provider_member, subscription_id=active.pk, reason="Unpaid")
    entry = AccessEntry.objects.get(pk=key.pk)
    assert entry.suspended
    first = entry.version

    subscriptions.resume(actor=provider_member, subscription_id=active.pk)
    entry.refresh_from_db()
    assert (entry.suspended, entry.deleted_at, entry.version > first) == (False, None, True)
    active.refresh_from_db()
    assert (active.status, active.reason) == (Status.ACTIVE, "")


def test_only_its_provider_decides(waiting, member, provider_viewer):
    foreigner = UserFactory(member_of=OrganizationFactory(provider=True), role="admin")
    calls = [
        lambda actor: subscriptions.approve(actor=actor, subscription_id=waiting.pk),
        lambda actor: subscriptions.reject(actor=actor, subscription_id=waiting.pk, reason="x"),
        lambda actor: subscriptions.suspend(actor=actor, subscription_id=waiting.pk, reason="x"),
        lambda actor: subscriptions.resume(actor=actor, subscription_id=waiting.pk),
    ]
    for call in calls:
        for actor in (foreigner, member):
            with pytest.raises(Subscription.DoesNotExist):
                call(actor)
        with pytest.raises(PermissionDenied):
            call(provider_viewer)


# --- The consumer ends it, or changes it -----------------------------------------------------------


def test_cancelling_buries_every_key_at_one_version(member, active, key):
    other, _secret = credentials.create(actor=member, subscription_id=active.pk, name="two")

    made = subscriptions.cancel(actor=member, subscription_id=active.pk)

    assert made.status == Status.CANCELLED
    entries = AccessEntry.objects.filter(pk__in=[key.pk, other.pk])
    state = ClusterState.objects.get(cluster=active.publish.cluster_id)
    assert {entry.version for entry in entries} == {state.access_version}
    assert all(entry.deleted_at for entry in entries)
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert key.revoked_version == entries[0].version


def test_what_was_never_let_in_can_be_cancelled(member, waiting):
    made = subscriptions.cancel(actor=member, subscription_id=waiting.pk)
    made.refresh_from_db()
    assert (made.status, made.decided_at) == (Status.CANCELLED, None)
    with pytest.raises(InvalidTransition):
        subscriptions.cancel(actor=member, subscription_id=waiting.pk)


def test_another_plan_keeps_the_keys(member, active, key):
    digest = AccessEntry.objects.get(pk=key.pk).digest
    other = PlanFactory(publish=active.publish)

    subscriptions.change_plan(actor=member, subscription_id=active.pk, plan_id=other.pk)

    active.refresh_from_db()
    entry = AccessEntry.objects.get(pk=key.pk)
    assert active.plan == other
    assert (entry.plan_id, entry.digest, entry.deleted_at) == (other.pk, digest, None)
    assert AuditEvent.objects.get(action="subscription.plan").after["plan"] == other.name


def test_the_same_plan_again_is_no_change(member, active):
    subscriptions.change_plan(actor=member, subscription_id=active.pk, plan_id=active.plan_id)
    assert not AuditEvent.objects.exists()


def test_a_plan_of_another_publish_does_not_exist(member, active):
    with pytest.raises(Plan.DoesNotExist):
        subscriptions.change_plan(actor=member, subscription_id=active.pk, plan_id=PlanFactory().pk)


def test_a_plan_that_wants_approval_is_not_slipped_into(member, active, plan):
    gold = PlanFactory(publish=plan.publish, approval_required=True)
    with pytest.raises(DomainError) as refusal:
        subscriptions.change_plan(actor=member, subscription_id=active.pk, plan_id=gold.pk)
    assert refusal.value.code == "approval_required"


def test_while_it_waits_any_plan_will_do(member, waiting, plan):
    gold = PlanFactory(publish=plan.publish, approval_required=True)
    made = subscriptions.change_plan(actor=member, subscription_id=waiting.pk, plan_id=gold.pk)
    assert (made.plan, made.status) == (gold, Status.PENDING)


@pytest.mark.parametrize("state", ["suspended", "cancelled", "rejected"])
def test_what_does_not_run_keeps_its_plan(member, application, plan, state):
    row = SubscriptionFactory(application=application, plan=plan, **{state: True})
    other = PlanFactory(publish=plan.publish)
    with pytest.raises(DomainError) as refusal:
        subscriptions.change_plan(actor=member, subscription_id=row.pk, plan_id=other.pk)
    assert refusal.value.code == "invalid_state"


def test_only_its_consumer_ends_or_changes_it(active, stranger, viewer, provider_member, plan):
    calls = [
        lambda actor: subscriptions.cancel(actor=actor, subscription_id=active.pk),
        lambda actor: subscriptions.change_plan(
            actor=actor, subscription_id=active.pk, plan_id=plan.pk
        ),
        lambda actor: credentials.create(actor=actor, subscription_id=active.pk),
    ]
    for call in calls:
        for actor in (stranger, provider_member):
            with pytest.raises(Subscription.DoesNotExist):
                call(actor)
        with pytest.raises(PermissionDenied):
            call(viewer)


# --- Beside other contexts -------------------------------------------------------------------------


def test_a_publish_goes_with_its_plans_and_past_but_not_from_under_a_subscriber(
    provider_admin, publish, plan
):
    publish = ProductPublishFactory(organization=publish.organization, withdrawn=True)
    plan = PlanFactory(publish=publish)
    SubscriptionFactory(plan=plan, cancelled=True)
    waiting = SubscriptionFactory(plan=plan, pending=True)
    with pytest.raises(DomainError):
        publishes.delete(actor=provider_admin, publish_id=publish.pk)

    subscriptions.reject(actor=provider_admin, subscription_id=waiting.pk, reason="Closing down")
    publishes.delete(actor=provider_admin, publish_id=publish.pk)

    assert not Plan.objects.filter(pk=plan.pk).exists()
    assert not Subscription.objects.filter(publish_id=publish.pk).exists()


def test_plans_and_subscribers_that_meet_do_not_block_each_other(transactional_db):
    """Eight threads change one publish's plans and subscriptions at once: no deadlock, no lost update."""
    publish = ProductPublishFactory(published=True)
    provider = UserFactory(member_of=publish.organization, role="admin")
    consumer = OrganizationFactory(consumer=True)
    customer = UserFactory(member_of=consumer)
    plan = plans.create(actor=provider, publish_id=publish.pk, name="Basic", rate_per_minute=1)
    programs = ApplicationFactory.create_batch(4, organization=consumer)
    failures: list[Exception] = []

    def run(work) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)
        finally:
            connection.close()

    def consume(program) -> None:
        made = subscribe(customer, program, plan)
        for number in range(5):
            row, _secret = credentials.create(
                actor=customer, subscription_id=made.pk, name=str(number)
            )
            credentials.revoke(actor=customer, credential_id=row.pk)

    def provide(number: int) -> None:
        for step in range(10):
            plans.update(
                actor=provider,
                plan_id=plan.pk,
                name="Basic",
                rate_per_minute=number * 100 + step + 2,
            )

    threads = [threading.Thread(target=run, args=(lambda p=p: consume(p),)) for p in programs]
    threads += [threading.Thread(target=run, args=(lambda n=n: provide(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    publish.cluster.state.refresh_from_db()
    # One for the plan, ten for each provider, two for each key.
    assert publish.cluster.state.access_version == 1 + 4 * 10 + 4 * 5 * 2
