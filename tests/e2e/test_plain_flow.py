"""The main forms in browsers without JavaScript: each is posted and answered with a whole page."""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from deploy.local.screenshots import CHROMIUM
from tests.e2e.office import LIVE, Office, badge, choose, step

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
TAG = secrets.token_hex(3)
SERVICE, CLUSTER, HOST = f"Plain {TAG}", f"plain-{TAG}", f"plain-{TAG}.example"


@pytest.fixture(scope="module")
def plain(office: Office) -> Page:
    """A provider."""
    return office.window("provider", java_script_enabled=False)


@pytest.fixture(scope="module")
def plain_operator(office: Office) -> Page:
    return office.window("operator", java_script_enabled=False)


def reload_until(page: Page, seen: Any) -> None:
    """As its reader would."""
    deadline = time.monotonic() + LIVE / 1000
    while not seen.is_visible() and time.monotonic() < deadline:
        page.wait_for_timeout(200)
        page.reload()
    expect(seen).to_be_visible()


def test_a_cluster_and_its_token(office: Office, plain_operator: Page):
    page = plain_operator
    page.goto(office.url("/operator/clusters/new"))
    page.fill("#id_name", CLUSTER)
    page.select_option("#region-list", "+")
    page.fill("#region-other", "us-moon")
    page.fill("#label-key-0", "tier")
    page.fill("#label-value-0", "pilot")
    page.click("#label-add")
    expect(page.locator("#id_name")).to_have_value(CLUSTER)
    expect(page.locator("#region-other")).to_have_value("us-moon")
    page.fill("#label-key-1", "bad key")
    page.locator("#cluster-form .btn-primary").click()
    expect(page.locator("#labels [role=alert]")).to_be_visible()
    expect(page.locator("#label-value-0")).to_have_value("pilot")
    page.click("#label-remove-1")
    page.locator("#cluster-form .btn-primary").click()

    expect(badge(page, "Pending")).to_be_visible()
    page.click("#create-token")
    expect(page.locator("#join-command")).to_contain_text("--token igr_")
    page.goto(office.url("/operator/clusters"))
    expect(page.locator("#cluster-rows li", has_text=CLUSTER)).to_contain_text("Pending")


def test_a_service_with_a_route_and_a_backend(office: Office, plain: Page):
    plain.goto(office.url("/provider/api-services/new"))
    plain.fill("#id_name", SERVICE)
    plain.fill("#id_base_path", "/plain")
    plain.get_by_role("button", name="Create API service").click()
    expect(plain.locator("h1")).to_have_text(SERVICE)
    office.kept["service"] = plain.url
    plain.click("#add-route")
    plain.fill("#id_path", "no-slash")
    plain.get_by_role("button", name="Save").click()
    expect(plain.locator("main [role=alert]")).to_be_visible()
    expect(plain.locator("#id_path")).to_have_value("no-slash")
    plain.fill("#id_path", "/")
    plain.get_by_role("button", name="Save").click()
    expect(plain.locator("#routes")).to_contain_text("GET")
    plain.click("#add-backend")
    plain.fill("#id_host", "127.0.0.1")
    plain.fill("#id_port", str(office.stack.ports.upstream))
    plain.get_by_role("button", name="Save").click()
    expect(plain.locator("#backends")).to_contain_text(f"127.0.0.1:{office.stack.ports.upstream}")


def test_a_product_is_published(office: Office, plain: Page):
    plain.goto(office.url("/provider/products/new"))
    plain.fill("#id_name", SERVICE)
    plain.fill("#id_version", "1.0")
    plain.fill("#service-search", SERVICE)
    plain.click("[name=find_services]")
    plain.locator("#service-options label", has_text=SERVICE).locator("input").check()
    plain.get_by_role("button", name="Create product").click()
    expect(plain.locator("h1")).to_have_text(SERVICE)

    plain.click("#open-wizard")
    plain.click("#wizard-next")
    expect(plain.locator("#cluster-error")).to_be_visible()
    choose(plain, "kr-central-main")
    plain.get_by_role("button", name="Back").click()
    expect(step(plain)).to_contain_text("Gateway")
    plain.click("#wizard-next")
    plain.check("#environment-dev")
    plain.check("#mode-none")
    plain.fill("[name=hostname_base]", HOST)
    plain.click("#wizard-next")
    expect(step(plain)).to_contain_text("Review")
    plain.click("#wizard-create")
    expect(badge(plain, "Draft")).to_be_visible()
    office.kept["publish"] = plain.url

    plain.click("#open-publish")
    plain.fill("[name=note]", "Without a script")
    plain.click("#publish-now")
    reload_until(plain, badge(plain, "Published"))
    assert office.call(HOST, "/plain") == 200


def test_a_change_is_compared_and_published(office: Office, plain: Page):
    plain.goto(f"{office.kept['service']}/edit")
    plain.fill("#id_base_path", "/simple")
    plain.get_by_role("button", name="Save changes").click()
    plain.goto(office.kept["publish"])
    plain.locator("#changes a").click()
    expect(plain.locator("#pending-diff .add", has_text="/simple").first).to_be_visible()
    plain.click("#publish-changes")
    plain.click("#publish-now")
    reload_until(plain, plain.locator(".ig-title", has_text=re.compile("r2")))
    assert (office.call(HOST, "/plain"), office.call(HOST, "/simple")) == (404, 200)


def test_it_is_withdrawn(office: Office, plain: Page):
    plain.click("#open-withdraw")
    plain.fill("[name=reason]", "End of the test")
    plain.get_by_role("button", name="Withdraw", exact=True).click()
    reload_until(plain, badge(plain, "Withdrawn"))
    assert office.call(HOST, "/simple") == 404


def test_search_and_signing_out(office: Office, plain: Page):
    plain.locator(".ig-find").click()
    plain.fill("main [type=search]", SERVICE)
    plain.keyboard.press("Enter")
    plain.get_by_role("link", name=re.compile(SERVICE)).first.click()
    expect(plain.locator("h1")).to_contain_text(SERVICE)
    plain.locator(".ig-top details").last.locator("summary").click()
    plain.locator("[action$='/logout'] button").click()
    expect(plain.locator("[name=username]")).to_be_visible()
