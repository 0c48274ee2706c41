"""Search: what the asker may see, by name or by the beginning of an id."""

from __future__ import annotations

import pytest

from accounts.models import Role
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.clusters import ClusterFactory
from tests.factories.publishing import DeploymentFactory, ProductPublishFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def provider():
    return OrganizationFactory(provider=True)


@pytest.fixture
def publish(provider):
    return ProductPublishFactory(
        organization=provider, product__name="Billing", hostname_base="billing.example.com"
    )


@pytest.fixture
def as_viewer(client, provider):
    client.force_login(UserFactory(member_of=provider, role=Role.VIEWER))
    return client


def found(client, text: str) -> dict[str, list[str]]:
    groups = client.get("/api/v1/search", {"q": text}).json()["data"]
    return {group["kind"]: [hit["title"] for hit in group["hits"]] for group in groups}


def test_things_are_found_by_name(as_viewer, publish):
    assert set(found(as_viewer, "BILLING")) == {"product", "publish"}
    assert list(found(as_viewer, publish.product.services.get().name)) == ["api_service"]


def test_and_by_the_beginning_of_an_id(as_viewer, publish):
    assert list(found(as_viewer, str(publish.pk)[:6])) == ["publish"]
    assert found(as_viewer, str(publish.pk)[:5]) == {}


def test_strangers_find_nothing(client, publish):
    client.force_login(UserFactory(member_of=OrganizationFactory(provider=True), role=Role.ADMIN))
    assert found(client, "billing") == {}
    assert found(client, str(publish.pk)) == {}


def test_clusters_are_for_their_operator(client, publish):
    cluster = ClusterFactory(name="kr-main")
    operator = MembershipFactory(organization=cluster.organization).user
    client.force_login(operator)
    assert found(client, "kr-m") == {"cluster": ["kr-main"]}


def test_operators_find_what_runs_on_their_clusters(client, publish):
    client.force_login(UserFactory(member_of=publish.cluster.organization, role=Role.VIEWER))
    assert found(client, publish.hostname_base) == {}  # a draft that was never sent

    DeploymentFactory(publish=publish)
    assert list(found(client, publish.hostname_base)) == ["publish"]
    page = client.get(f"/search?q={publish.hostname_base}").content.decode()
    assert f'href="/operator/publishes/{publish.pk}"' in page


def test_nothing_typed_offers_the_pages_of_the_menu(as_viewer, publish):
    assert list(found(as_viewer, "")) == ["page"]
    assert "Publishes" in found(as_viewer, " publ ")["page"]


@pytest.mark.parametrize("text", ["\x00", "%", "_", "x" * 5000, "'; DROP TABLE", "한글", "\u202e"])
def test_odd_texts_find_nothing_and_break_nothing(as_viewer, publish, text):
    assert as_viewer.get("/search", {"q": text}).status_code == 200
    assert "product" not in found(as_viewer, text)


def test_page_and_partial(as_viewer, publish):
    page = as_viewer.get("/search?q=billing").content.decode()
    assert "<html" in page
    assert f'href="/provider/publishes/{publish.pk}"' in page
    assert page.count('id="search-results"') == 1

    part = as_viewer.get("/search?q=billing", headers=HTMX).content.decode()
    assert part.lstrip().startswith('<div class="ig-hits" id="search-results">')
    assert "2 results" in part


def test_the_page_says_that_nothing_was_found(as_viewer):
    assert "“tokio”" in as_viewer.get("/search?q=tokio").content.decode()


def test_every_page_has_the_dialog(as_viewer):
    page = as_viewer.get("/account/tokens").content.decode()
    assert 'id="search-dialog"' in page
    assert 'href="/search" data-ig-dialog="search-dialog"' in page


def test_the_nearest_come_first(as_viewer, provider):
    for name in ("1 edge", "edge 2", "Edge", "2 edge"):
        ProductPublishFactory(organization=provider, product__name=name)
    titles = found(as_viewer, "edge")["product"]
    assert [title.removesuffix(" 1.0") for title in titles] == [
        "Edge",
        "edge 2",
        "1 edge",
        "2 edge",
    ]


def test_at_most_six_of_a_kind(as_viewer, provider):
    ProductPublishFactory.create_batch(8, organization=provider, hostname_base="many.example.com")
    assert len(found(as_viewer, "many.ex")["publish"]) == 6


def test_the_number_of_queries_is_fixed(as_viewer, publish, django_assert_max_num_queries):
    with django_assert_max_num_queries(12):
        as_viewer.get("/search?q=billing")


def test_search_needs_to_sign_in(client):
    assert client.get("/search").status_code == 302
    assert client.get("/api/v1/search").status_code == 401
