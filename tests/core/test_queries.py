"""A prepared queryset is made once in each thread, and nobody sees what another one read or asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts.models import Membership, Organization
from core.queries import count, prepared
from tests.factories.accounts import MembershipFactory, OrganizationFactory


@pytest.fixture
def made():
    return []


@pytest.fixture
def organizations(made):
    @prepared
    def organizations():
        made.append(1)
        return Organization.objects.order_by("name")

    return organizations


@pytest.mark.django_db
def test_it_is_made_once_and_narrowed_by_whoever_asks(organizations, made):
    OrganizationFactory(name="one"), OrganizationFactory(name="two")
    assert [row.name for row in organizations().filter(name="one")] == ["one"]
    assert [row.name for row in organizations().filter(name="two")] == ["two"]
    assert len(made) == 1


@pytest.mark.django_db
def test_what_was_read_once_is_read_again(organizations):
    before = len(organizations())
    OrganizationFactory()
    assert len(organizations()) == before + 1


def test_each_thread_makes_its_own(organizations, made):
    organizations()
    with ThreadPoolExecutor(max_workers=1) as other:
        other.submit(organizations).result()
        other.submit(organizations).result()
    assert len(made) == 2


@pytest.mark.django_db
def test_a_count_knows_whose_it_is_and_is_zero_for_none():
    lonely, busy = OrganizationFactory(), OrganizationFactory()
    MembershipFactory.create_batch(2, organization=busy)

    counted = Organization.objects.annotate(members=count(Membership.objects, "organization"))

    assert counted.get(pk=lonely.pk).members == 0
    assert counted.get(pk=busy.pk).members == 2
