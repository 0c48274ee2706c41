"""The product pages: whole, in part, for strangers and viewers, and what they say in each state."""

from __future__ import annotations

import re
import uuid
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image

from catalog.models import Product
from tests.factories.catalog import ApiServiceFactory, ProductFactory
from tests.factories.publishing import DeploymentFactory, ProductPublishFactory
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
LIST = "/provider/products"


@pytest.fixture
def browser(client, member):
    client.force_login(member)
    return client


def picture(kind="PNG", size=(8, 8)) -> bytes:
    out = BytesIO()
    Image.new("RGB", size, "teal").save(out, kind)
    return out.getvalue()


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def names(response) -> list[str]:
    return re.findall(r'class="ig-main[^"]*" id="product-[^>]*>([^<]+)<', response.content.decode())


def body(**more):
    return {"name": "Payment API", "version": "2.0", "description": "", "categories": ""} | more


# --- the list ----------------------------------------------------------------


def test_the_list_is_of_this_provider(browser, provider):
    ProductFactory(organization=provider, name="Mine", categories=["payments"])
    ProductFactory(name="Theirs")

    page = browser.get(LIST)

    assert b"<html" in page.content
    assert names(page) == ["Mine"]
    assert "Create product" in text(page)


def test_a_partial_is_the_rows_alone(browser, provider):
    ProductFactory(organization=provider)

    page = browser.get(LIST, headers=HTMX).content.decode()

    assert page.strip().startswith('<div class="ig-stack" id="product-rows"')


def test_search_category_and_order_narrow(browser, provider):
    ProductFactory(organization=provider, name="Billing", categories=["payments"])
    ProductFactory(organization=provider, name="Atlas", description="maps", categories=["geo"])

    assert names(browser.get(LIST)) == ["Atlas", "Billing"]
    assert names(browser.get(f"{LIST}?order=newest")) == ["Atlas", "Billing"]
    assert names(browser.get(f"{LIST}?search=maps")) == ["Atlas"]
    assert names(browser.get(f"{LIST}?category=payments")) == ["Billing"]
    assert "No product matches" in text(browser.get(f"{LIST}?search=nothing"))
    assert "There is no order “up”" in text(browser.get(f"{LIST}?order=up"))


def test_nothing_yet_says_how_to_begin(browser):
    page = text(browser.get(LIST))

    assert "No products yet" in page
    assert "define at least one service first" in page


def test_a_viewer_is_not_offered_to_create(client, viewer):
    client.force_login(viewer)

    assert "Create product" not in text(client.get(LIST))


@pytest.mark.parametrize("count", [10, 200])
def test_queries_do_not_grow(browser, provider, count, django_assert_max_num_queries):
    for product in ProductFactory.create_batch(count, organization=provider)[:12]:
        ProductPublishFactory(product=product, organization=provider)

    with django_assert_max_num_queries(12):
        browser.get(LIST)


# --- one product -------------------------------------------------------------


def test_the_page_shows_each_environment(browser, provider):
    publish = ProductPublishFactory(organization=provider, environment="prod", published=True)
    SubscriptionFactory(plan=PlanFactory(publish=publish))
    url = f"{LIST}/{publish.product.pk}"

    page = browser.get(url)

    assert f'data-ig-socket="/ws/products/{publish.product.pk}"' in page.content.decode()
    assert f'href="/provider/products/{publish.product.pk}/publish/"' in page.content.decode()
    said = text(page)
    assert "live in 1 environment , on 1 cluster" in said.replace("environment,", "environment ,")
    assert publish.cluster.name in said
    assert "Not published in this environment." in said
    assert "API key" in said
    assert "1 subscription" in said


@pytest.mark.parametrize("count", [3, 60])
def test_queries_of_one_product_do_not_grow(
    browser, provider, count, django_assert_max_num_queries
):
    product = ProductFactory(organization=provider, complete=True)
    for number in range(count):
        ProductPublishFactory(
            product=product,
            organization=provider,
            published=True,
            environment=("dev", "prod")[number % 2],
        )

    with django_assert_max_num_queries(12):
        browser.get(f"{LIST}/{product.pk}")


def test_what_is_defined_otherwise_by_now_is_told(browser, provider):
    publish = ProductPublishFactory(organization=provider, published=True)
    url = f"{LIST}/{publish.product.pk}/waiting"
    assert "Nothing. What is live is what is defined" in text(browser.get(url))

    publish.product.services.get().routes.update(path="/changed")

    assert "Changes not yet published" in text(browser.get(url))
    part = browser.get(url, headers=HTMX).content.decode()
    assert "<html" not in part
    assert f'href="/provider/publishes/{publish.pk}/changes"' in part


def test_a_failed_deployment_is_loud(browser, provider):
    publish = ProductPublishFactory(organization=provider, published=True)
    DeploymentFactory(
        publish=publish,
        revision=publish.live_revision,
        status="FAILED",
        finished_at=publish.published_at,
    )

    page = text(browser.get(f"{LIST}/{publish.product.pk}"))

    assert "1 needs attention" in page
    assert "r1 was refused" in page
    assert "r1 keeps serving" in page


def test_waiting_requests_are_named(browser, provider):
    publish = ProductPublishFactory(organization=provider, published=True)
    waiting = SubscriptionFactory(plan=PlanFactory(publish=publish), pending=True)

    page = text(browser.get(f"{LIST}/{publish.product.pk}/waiting"))

    assert "Subscription requests" in page
    assert str(waiting.application) in page


@pytest.mark.parametrize("verb", ["", "/edit", "/delete"])
def test_a_stranger_gets_404(client, stranger, provider, verb):
    client.force_login(stranger)
    product = ProductFactory(organization=provider)

    assert client.get(f"{LIST}/{product.pk}{verb}").status_code == 404


def test_a_viewer_reads_and_changes_nothing(client, viewer, provider):
    client.force_login(viewer)
    product = ProductFactory(organization=provider)

    page = text(client.get(f"{LIST}/{product.pk}"))
    assert "Edit" not in page
    assert client.post(f"{LIST}/new", body()).status_code == 403
    assert client.post(f"{LIST}/{product.pk}/edit", body()).status_code == 403
    assert client.post(f"{LIST}/{product.pk}/delete").status_code == 403


# --- create and edit ---------------------------------------------------------


def test_a_product_is_created_with_services_and_a_logo(browser, provider):
    service = ApiServiceFactory(organization=provider)
    upload = SimpleUploadedFile("logo.png", picture(), "image/png")

    response = browser.post(
        f"{LIST}/new",
        body(categories="payments, commerce,payments", service_ids=[service.pk], logo=upload),
    )

    product = Product.objects.get()
    assert response["Location"] == f"{LIST}/{product.pk}"
    assert product.categories == ["payments", "commerce"]
    assert list(product.services.all()) == [service]
    assert product.logo_path in browser.get(response["Location"]).content.decode()


def test_a_refused_logo_creates_nothing_and_keeps_what_was_typed(browser, provider):
    service = ApiServiceFactory(organization=provider, name="Billing")
    upload = SimpleUploadedFile("logo.png", b"<svg onload='x()'/>", "image/png")

    response = browser.post(
        f"{LIST}/new", body(description="Long words", service_ids=[service.pk], logo=upload)
    )

    assert response.status_code == 422
    assert not Product.objects.exists()
    page = response.content.decode()
    assert "SVG is not accepted" in page
    assert "Long words" in page
    assert re.search(rf'value="{service.pk}" checked', page)


def test_a_taken_name_is_told_beside_its_field(browser, provider):
    ProductFactory(organization=provider, name="Payment API", version="2.0")

    response = browser.post(f"{LIST}/new", body())

    assert response.status_code == 422
    assert 'id="id_name_error"' in response.content.decode()


def test_names_of_any_script_are_kept(browser):
    name = "결제 \u200fشراء\u200f 🚀"

    browser.post(f"{LIST}/new", body(name=name, description="x" * 10_000))

    product = Product.objects.get()
    assert (product.name, len(product.description)) == (name, 10_000)
    assert "Show all" in text(browser.get(f"{LIST}/{product.pk}"))
    assert browser.post(f"{LIST}/new", body(name="B", description="x" * 10_001)).status_code == 422


def test_searching_services_keeps_what_is_ticked(browser, provider):
    billing = ApiServiceFactory(organization=provider, name="Billing")
    maps = ApiServiceFactory(organization=provider, name="Maps")
    ApiServiceFactory(organization=provider, name="Weather")
    typed = body(name="Half", service_ids=[billing.pk], service_search="map")

    part = browser.post(
        f"{LIST}/new", typed, headers=HTMX | {"HX-Target": "service-options"}
    ).content.decode()
    whole = browser.post(f"{LIST}/new", typed | {"find_services": "1"}).content.decode()

    for page in (part, whole):
        assert re.search(rf'value="{billing.pk}" checked', page)
        assert re.search(rf'value="{maps.pk}">', page)
        assert "Weather" not in page
    assert 'value="Half"' in whole
    assert "<html" not in part
    assert not Product.objects.exists()


def test_a_service_that_went_away_is_told(browser, provider):
    service = ApiServiceFactory(organization=provider)
    ids = [service.pk, uuid.uuid4(), "nonsense"]

    response = browser.post(f"{LIST}/new", body(service_ids=ids))

    assert response.status_code == 422
    assert "does not exist any more" in text(response)


def test_editing_starts_from_what_is_there(browser, provider):
    service = ApiServiceFactory(organization=provider)
    product = ProductFactory(
        organization=provider, name="Pay", categories=["a", "b"], services=[service]
    )

    page = browser.get(f"{LIST}/{product.pk}/edit").content.decode()
    assert 'value="a, b"' in page
    assert re.search(rf'value="{service.pk}" checked', page)

    browser.post(f"{LIST}/{product.pk}/edit", body(name="Payments", categories="b"))

    product.refresh_from_db()
    assert (product.name, product.categories) == ("Payments", ["b"])
    assert not product.services.exists()


def test_a_logo_is_removed(browser, provider):
    product = ProductFactory(organization=provider)
    url = f"{LIST}/{product.pk}/edit"
    browser.post(url, body(logo=SimpleUploadedFile("l.png", picture())))
    product.refresh_from_db()
    assert product.logo_id

    browser.post(url, body(remove_logo="on"))

    product.refresh_from_db()
    assert product.logo_id is None


# --- delete ------------------------------------------------------------------


def test_deleting_asks_first(client, admin, provider):
    client.force_login(admin)
    product = ProductFactory(organization=provider, name="Pay")
    url = f"{LIST}/{product.pk}/delete"

    assert "Delete “Pay”?" in text(client.get(url))
    assert "<dialog" in client.get(url, headers=HTMX).content.decode()
    assert client.post(url)["Location"] == LIST
    assert not Product.objects.exists()


def test_a_product_in_use_names_its_publishes(client, admin, provider):
    client.force_login(admin)
    publish = ProductPublishFactory(organization=provider)
    url = f"{LIST}/{publish.product.pk}/delete"

    assert publish.cluster.name in text(client.get(url))
    response = client.post(url)

    assert response.status_code == 422
    assert "is still in use" in text(response)
    assert Product.objects.exists()


def test_a_member_may_not_delete(browser, provider):
    product = ProductFactory(organization=provider)

    assert browser.post(f"{LIST}/{product.pk}/delete").status_code == 403


def test_two_editors_do_not_overwrite_each_other(browser, provider):
    service = ApiServiceFactory(organization=provider, name="Ledger")
    product = ProductFactory(organization=provider)
    url = f"{LIST}/{product.pk}/edit"
    seen = browser.get(url).context["seen"]
    theirs = body(seen=seen, description="theirs", categories="a, b", service_ids=[service.pk])
    browser.post(url, theirs)

    stale = browser.post(url, body(seen=seen, description="mine"))

    assert stale.status_code == 422
    for words in ("Somebody else changed this", "Description: theirs", "a, b", "Ledger"):
        assert words in text(stale)
    assert "mine" in stale.content.decode()
    product.refresh_from_db()
    assert product.description == "theirs"
    again = body(seen=stale.context["seen"], description="mine")
    assert browser.post(url, again).status_code == 302


def test_a_search_for_services_does_not_see_what_others_did(browser, provider):
    url = f"{LIST}/{ProductFactory(organization=provider).pk}/edit"
    seen = browser.get(url).context["seen"]
    browser.post(url, body(seen=seen))
    assert browser.post(url, body(seen=seen, find_services="1")).context["seen"] == seen
