"""An OpenAPI document on its way to callers with keys, and back; the tests follow on one another."""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from deploy.local.screenshots import CHROMIUM
from tests.e2e.office import LIVE, Office, badge, choose, live, same_document, step

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
NAME = f"Parcels {secrets.token_hex(3)}"
HOST = f"{NAME.lower().replace(' ', '-')}.example"


def document(office: Office, *paths: str) -> str:
    """Each path answers GET, at the sample backend."""
    server = f"http://127.0.0.1:{office.stack.ports.upstream}/v1"
    told: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": NAME, "version": "1.0"},
        "servers": [{"url": server}],
        "paths": {path: {"get": {"responses": {"200": {"description": "OK"}}}} for path in paths},
    }
    return json.dumps(told)


def preview(page: Page, text: str) -> None:
    page.fill("#id_document", text)
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#proposal")).to_be_visible()


def subscribe(office: Office) -> str:
    """A consumer's program takes the first plan on offer there; the key, told once."""
    publish = office.kept["publish"].rsplit("/", 1)[1]
    plans = office.rest("provider").rows(f"/api/v1/provider/product-publishes/{publish}/plans")
    consumer = office.rest("consumer")
    app = consumer.post("/api/v1/customer/applications", name=NAME)
    subscription = consumer.post(
        "/api/v1/customer/subscriptions", application_id=app["id"], plan_id=plans[0]["id"]
    )
    key = consumer.post(
        "/api/v1/customer/credentials", subscription_id=subscription["id"], name=NAME
    )
    return str(key["key"])


def test_a_document_becomes_a_service_and_a_product(office: Office, provider: Page):
    provider.goto(office.url("/provider/api-services/import"))
    preview(provider, document(office, "/parcels", "/parcels/{id}"))
    expect(provider.locator("#proposal")).to_contain_text("/parcels/{id}")
    provider.get_by_role("button", name="Create API service").click()
    provider.wait_for_url(re.compile(r"/provider/api-services/[0-9a-f-]{36}$"))
    office.kept["service"] = provider.url
    expect(provider.locator("#routes tbody tr")).to_have_count(2)
    expect(provider.locator("#backends")).to_contain_text(
        f"127.0.0.1:{office.stack.ports.upstream}"
    )

    provider.goto(office.url("/provider/products/new"))
    provider.fill("#id_name", NAME)
    provider.fill("#id_version", "1.0")
    provider.fill("#service-search", NAME)
    provider.locator("#service-options label", has_text=NAME).click()
    provider.get_by_role("button", name="Create product").click()

    provider.wait_for_url(re.compile(r"/provider/products/[0-9a-f-]{36}$"))
    expect(provider.locator("h1")).to_have_text(NAME)


def test_published_it_asks_for_a_key(office: Office, provider: Page):
    provider.click("#open-wizard")
    choose(provider, "kr-central-main")
    provider.check("#environment-prod")
    provider.check("#mode-api-key")
    provider.fill("[name=hostname_base]", HOST)
    provider.click("#wizard-next")
    expect(step(provider)).to_contain_text("Review")
    provider.click("#wizard-create")
    expect(badge(provider, "Draft")).to_be_visible()
    office.kept["publish"] = provider.url

    provider.goto(f"{office.kept['publish']}/plans/new")
    provider.fill("#id_name", "Basic")
    provider.get_by_role("button", name="Add plan").click()
    provider.goto(office.kept["publish"])
    provider.click("#open-publish")
    provider.click("#publish-now")
    expect(badge(provider, "Published")).to_be_visible(timeout=LIVE)
    expect(provider.locator("#publish-live")).to_contain_text("with the agent's key")

    office.kept["key"] = key = subscribe(office)
    assert office.call(HOST, "/v1/parcels") == 401
    assert office.call(HOST, "/v1/parcels", "ik_not_a_key") == 401
    assert office.answers(200, HOST, "/v1/parcels/42", key)
    assert office.call(HOST, "/v1/other", key) == 404


def test_imported_again_it_is_a_change_not_yet_published(
    office: Office, provider: Page, colleague: Page
) -> None:
    colleague.goto(office.kept["publish"])
    live(colleague)
    expect(colleague.locator("#open-publish")).to_be_disabled()  # nothing to publish
    provider.goto(office.kept["service"])
    provider.click("#open-import")
    preview(provider, document(office, "/parcels", "/couriers"))
    for row, change in (("/couriers", "added"), ("/parcels/{id}", "removed")):
        expect(provider.locator("#proposal tr", has_text=row)).to_contain_text(change)
    provider.check("[name=remove_missing]")

    provider.get_by_role("button", name="Apply changes").click()

    expect(provider.locator("#service-uses")).to_contain_text("not yet published")
    pending = colleague.locator("#pending-diff")
    expect(pending.locator(".add", has_text="/couriers").first).to_be_visible()
    expect(pending.locator(".del", has_text="/parcels/{id}").first).to_be_visible()
    assert same_document(colleague)
    assert office.call(HOST, "/v1/couriers", office.kept["key"]) == 404, "a gateway changes later"


def test_the_changes_are_published_before_two_pairs_of_eyes(
    office: Office, provider: Page, colleague: Page
) -> None:
    provider.goto(office.kept["publish"])
    provider.click("#publish-changes")
    expect(provider.locator("#diff .add", has_text="/couriers").first).to_be_visible()

    provider.click("#publish-now")

    for page in (provider, colleague):
        expect(page.locator(".ig-title")).to_contain_text("r2", timeout=LIVE)
        expect(page.locator("#pending-diff")).to_have_count(0)
        expect(page.locator("#open-publish")).to_be_disabled()
    assert same_document(colleague)
    key = office.kept["key"]
    assert office.call(HOST, "/v1/couriers", key) == 200
    assert office.call(HOST, "/v1/parcels/42", key) == 404


def test_rolled_back_the_key_still_opens_it(office: Office, provider: Page, colleague: Page):
    provider.goto(f"{office.kept['publish']}/revisions/1")
    expect(provider.locator("#comparison-h")).to_have_text("From r2 to r1")
    expect(provider.locator("#revision-diff .del", has_text="/couriers").first).to_be_visible()
    provider.fill("#roll-back [name=note]", "Somebody still asks for one parcel")

    provider.click("#roll-back-now")

    for page in (provider, colleague):
        expect(page.locator(".ig-title")).to_contain_text("r1", timeout=LIVE)
        # What is defined stays as it was changed: the roll-back is of the gateways.
        expect(page.locator("#pending-diff .add", has_text="/couriers").first).to_be_visible()
    assert same_document(colleague)
    assert office.call(HOST, "/v1/parcels/42", office.kept["key"]) == 200
    assert office.call(HOST, "/v1/parcels/42") == 401


def test_withdrawn_no_key_opens_it(office: Office, provider: Page, colleague: Page):
    """From a page that was open before the last two deployments: it knows of them by itself."""
    colleague.click("#open-withdraw")
    colleague.fill("#withdraw-dialog [name=reason]", "Merged into Couriers")

    colleague.click("#withdraw-dialog [type=submit]")

    for page in (provider, colleague):
        expect(badge(page, "Withdrawn")).to_be_visible(timeout=LIVE)
        expect(page.locator("#publish-live")).to_contain_text("“Merged into Couriers”")
    assert office.call(HOST, "/v1/parcels", office.kept["key"]) == 404
