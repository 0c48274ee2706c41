from __future__ import annotations

import pytest

from tests.factories.accounts import OrganizationFactory, UserFactory


@pytest.fixture
def provider(db):
    return OrganizationFactory(provider=True)


@pytest.fixture
def member(provider):
    return UserFactory(member_of=provider)


@pytest.fixture
def admin(provider):
    return UserFactory(member_of=provider, role="admin")


@pytest.fixture
def viewer(provider):
    return UserFactory(member_of=provider, role="viewer")


@pytest.fixture
def stranger(db):
    """Somebody with the same rights in another provider."""
    return UserFactory(member_of=OrganizationFactory(provider=True), role="admin")
