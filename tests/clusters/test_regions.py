"""The list of regions: everybody's, the operator's own, and what operators type."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from clusters.models import Cluster, Region
from clusters.services import regions
from tests.clusters.conftest import LIST
from tests.factories.accounts import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
REGIONS = "/api/v1/operator/regions"


@pytest.fixture(autouse=True)
def _one_for_everybody():
    Region.objects.all().delete()
    Region.objects.create(name="kr-central")


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def names(user) -> list[str]:
    return [row["name"] for row in client_of(user).get(REGIONS).json()["data"]["items"]]


def test_a_region_that_somebody_types_is_on_their_list(as_, member, operator, stranger):
    as_(member).post(
        f"{LIST}/new",
        {"name": "kr-new", "region": "+", "region_other": "kr-busan", "open_to_all": "True"},
    )

    assert Cluster.objects.get().region == "kr-busan"
    assert names(member) == ["kr-busan", "kr-central"]
    assert names(stranger) == ["kr-central"]


def test_one_of_the_list_adds_nothing(as_, member):
    as_(member).post(
        f"{LIST}/new", {"name": "kr-new", "region": "kr-central", "open_to_all": "True"}
    )
    assert Region.objects.count() == 1


def test_another_region_must_be_named(as_, member):
    answer = as_(member).post(
        f"{LIST}/new", {"name": "kr-new", "region": "+", "region_other": " ", "open_to_all": "True"}
    )
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()


def test_the_form_keeps_another_region_that_was_typed(as_, member):
    page = (
        as_(member)
        .post(f"{LIST}/new", {"name": "Bad", "region": "+", "region_other": "kr-busan"})
        .content.decode()
    )
    assert 'value="kr-busan"' in page
    assert '<option value="+" selected>' in page


def test_adding_one_over_rest(member, operator):
    client = client_of(member)
    made = client.post(REGIONS, {"name": " kr-jeju "}).json()["data"]
    assert (made["name"], made["operator_tenant_id"]) == ("kr-jeju", str(operator.pk))

    again = client.post(REGIONS, {"name": "kr-jeju"})
    assert (again.status_code, again.json()["error"]["code"]) == (400, "duplicate")
    assert client.post(REGIONS, {"name": "kr-central"}).status_code == 400
    assert client.post(REGIONS, {"name": " "}).status_code == 400


def test_only_operators_add_regions(viewer):
    assert client_of(viewer).post(REGIONS, {"name": "x"}).status_code == 403
    provider = UserFactory(member_of=OrganizationFactory(provider=True))
    assert client_of(provider).post(REGIONS, {"name": "x"}).status_code == 403
    assert names(provider) == ["kr-central"]


def test_the_database_keeps_each_name_once(operator):
    regions.remember(organization_id=operator.pk, name="kr-jeju")
    for owner in (operator, None):
        name = "kr-jeju" if owner else "kr-central"
        with (
            pytest.raises(IntegrityError, match="clusters_region_name_once"),
            transaction.atomic(),
        ):
            Region.objects.create(organization=owner, name=name)
    with pytest.raises(IntegrityError, match="clusters_region_named"), transaction.atomic():
        Region.objects.create(name="")
