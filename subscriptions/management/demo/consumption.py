"""Who calls it: an application with a subscription, and a fresh key on every run."""

from __future__ import annotations

from django.utils import timezone

from publishing.models import ProductPublish
from subscriptions.management.demo.people import People
from subscriptions.models import Application, Plan, Subscription
from subscriptions.services import applications, credentials, subscriptions
from subscriptions.states import OPEN, Status

NAME = "demo "


def ensure(people: People, publish: ProductPublish) -> tuple[Subscription, str]:
    """The subscription and a fresh key. Those of earlier runs are revoked: nobody knows them any more."""
    subscription = _active(people, _subscription(people, publish))
    old = subscription.credentials.filter(name__startswith=NAME, revoked_at=None)
    for credential in old:
        credentials.revoke(actor=people.consumer, credential_id=credential.pk)
    _row, secret = credentials.create(
        actor=people.consumer,
        subscription_id=subscription.pk,
        name=f"{NAME}{timezone.now():%Y-%m-%d %H:%M}",
    )
    return subscription, secret


def _subscription(people: People, publish: ProductPublish) -> Subscription:
    application = _application(people)
    found = Subscription.objects.filter(
        application=application, publish=publish, status__in=OPEN
    ).first()
    if found is not None:
        return found
    plan = Plan.objects.get(publish=publish, name="Basic")
    return subscriptions.subscribe(
        actor=people.consumer, application_id=application.pk, plan_id=plan.pk
    )


def _active(people: People, subscription: Subscription) -> Subscription:
    """Somebody may have suspended it, or made the plan wait for approval, since the last run."""
    if subscription.status == Status.PENDING:
        return subscriptions.approve(actor=people.provider, subscription_id=subscription.pk)
    if subscription.status == Status.SUSPENDED:
        return subscriptions.resume(actor=people.provider, subscription_id=subscription.pk)
    return subscription


def _application(people: People) -> Application:
    found = Application.objects.filter(organization=people.shop, name="Web shop")
    return found.first() or applications.create(
        actor=people.consumer,
        organization_id=people.shop.pk,
        name="Web shop",
        description="Takes orders and bills them.",
    )
