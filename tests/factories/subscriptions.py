"""Subscriptions, plain rows: gateways hear only of what the services wrote. An AccessEntry is its own row."""

from __future__ import annotations

import hashlib
import uuid

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from subscriptions.models import (
    AccessEntry,
    Application,
    Credential,
    EntryKind,
    Plan,
    Subscription,
)
from subscriptions.states import Status
from tests.factories.accounts import OrganizationFactory
from tests.factories.clusters import ClusterFactory
from tests.factories.publishing import ProductPublishFactory

now = factory.LazyFunction(timezone.now)


class PlanFactory(DjangoModelFactory):
    """Of a publish that is live and public, so on offer to everybody."""

    class Meta:
        model = Plan

    publish = factory.SubFactory(ProductPublishFactory, published=True)
    name = factory.Sequence("Plan {}".format)
    rate_per_minute = 100


class ApplicationFactory(DjangoModelFactory):
    class Meta:
        model = Application

    organization = factory.SubFactory(OrganizationFactory, consumer=True)
    name = factory.Sequence("Application {}".format)


class SubscriptionFactory(DjangoModelFactory):
    """Active, unless a trait says otherwise."""

    class Meta:
        model = Subscription

    application = factory.SubFactory(ApplicationFactory)
    plan = factory.SubFactory(PlanFactory)
    publish = factory.SelfAttribute("plan.publish")
    status = Status.ACTIVE
    decided_at = now

    class Params:
        pending = factory.Trait(status=Status.PENDING, decided_at=None)
        rejected = factory.Trait(status=Status.REJECTED, reason="No")
        suspended = factory.Trait(status=Status.SUSPENDED, reason="Unpaid")
        cancelled = factory.Trait(status=Status.CANCELLED)


class CredentialFactory(DjangoModelFactory):
    """Nobody holds its secret; subscriptions.services.credentials.create makes one that works."""

    class Meta:
        model = Credential

    subscription = factory.SubFactory(SubscriptionFactory)
    prefix = factory.Sequence("{:016x}".format)
    digest = factory.LazyAttribute(lambda row: hashlib.sha256(row.prefix.encode()).hexdigest())

    class Params:
        revoked = factory.Trait(revoked_at=now, revoked_version=1)


class AccessEntryFactory(DjangoModelFactory):
    class Meta:
        model = AccessEntry

    cluster = factory.SubFactory(ClusterFactory)
    version = factory.Sequence(lambda number: number + 1)
    kind = EntryKind.KEY
    digest = factory.Sequence("{:064x}".format)
    publish_id = factory.LazyFunction(uuid.uuid4)
    plan_id = factory.LazyFunction(uuid.uuid4)
    subscription_id = factory.LazyFunction(uuid.uuid4)

    class Params:
        plan = factory.Trait(kind=EntryKind.PLAN, digest="", subscription_id=None)
        buried = factory.Trait(deleted_at=now)
