from __future__ import annotations

import pytest

from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import ApplicationFactory, PlanFactory


@pytest.fixture
def consumer(db):
    return OrganizationFactory(consumer=True)


@pytest.fixture
def member(consumer):
    return UserFactory(member_of=consumer)


@pytest.fixture
def admin(consumer):
    return UserFactory(member_of=consumer, role="admin")


@pytest.fixture
def viewer(consumer):
    return UserFactory(member_of=consumer, role="viewer")


@pytest.fixture
def stranger(db):
    """Somebody with the same rights in another consumer."""
    return UserFactory(member_of=OrganizationFactory(consumer=True), role="admin")


@pytest.fixture
def publish(db):
    return ProductPublishFactory(published=True)


@pytest.fixture
def provider_member(publish):
    return UserFactory(member_of=publish.organization)


@pytest.fixture
def provider_admin(publish):
    return UserFactory(member_of=publish.organization, role="admin")


@pytest.fixture
def provider_viewer(publish):
    return UserFactory(member_of=publish.organization, role="viewer")


@pytest.fixture
def plan(publish):
    return PlanFactory(publish=publish, name="Basic", rate_per_minute=100)


@pytest.fixture
def application(consumer):
    return ApplicationFactory(organization=consumer, name="Shop")
