"""From a product to a call through a real Envoy and back; the tests follow on one another."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from deploy.local.screenshots import CHROMIUM
from tests.e2e.office import (
    LIVE,
    Office,
    badge,
    choose,
    kept,
    live,
    product_page,
    same_document,
    step,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
HOST = "flow.payments.example"


def change_base_path(page: Page, office: Office, path: str) -> None:
    page.goto(office.url("/provider/api-services"))
    page.get_by_role("link", name="Billing", exact=True).click()
    page.goto(f"{page.url}/edit")
    page.fill("[name=base_path]", path)
    page.get_by_role("button", name="Save changes").click()
    page.wait_for_url(lambda now: not now.endswith("/edit"))


def test_the_wizard_goes_back_and_forth_and_survives_a_reload(office: Office, provider: Page):
    office.kept["wizard"] = f"{product_page(provider, office, 'Payment API')}/publish/"
    provider.goto(f"{office.kept['wizard']}?step=cluster")
    choose(provider, "kr-central-main")
    provider.check("#environment-dev")
    provider.check("#mode-none")
    with kept(provider, HOST):
        provider.fill("[name=hostname_base]", HOST)

    provider.reload()
    expect(provider.locator("[name=hostname_base]")).to_have_value(HOST)
    provider.get_by_role("button", name="Back").click()
    expect(provider.locator("[name=gateway_id]:checked")).to_have_count(1)
    provider.go_back()
    provider.go_forward()
    expect(step(provider)).to_contain_text("Gateway")
    provider.goto(office.kept["wizard"])  # as from another device
    expect(provider.locator("#environment-dev")).to_be_checked()
    expect(provider.locator("[name=hostname_base]")).to_have_value(HOST)
    provider.click("#wizard-next")

    expect(step(provider)).to_contain_text("Review")
    expect(provider.locator("table")).to_contain_text(f"{HOST}/billing/*")


def test_created_and_published_while_two_watch(office: Office, provider: Page, colleague: Page):
    provider.goto(office.kept["wizard"])
    provider.click("#wizard-create")
    expect(badge(provider, "Draft")).to_be_visible()
    office.kept["publish"] = provider.url
    assert office.call(HOST, "/billing") == 404
    colleague.goto(provider.url)
    live(colleague)

    provider.click("#open-publish")
    provider.fill("[name=note]", "First release")
    provider.dblclick("#publish-now")  # as impatient people do

    for page in (provider, colleague):
        expect(badge(page, "Published")).to_be_visible(timeout=LIVE)
        expect(page.locator("#publish-live")).to_contain_text("“First release”")
        expect(page.locator("#publish-live")).to_contain_text("Serving on 1 of 1", timeout=LIVE)
        expect(page.locator(".ig-tabs a", has_text="Deployments")).to_contain_text("1")
    assert same_document(colleague)
    assert office.call(HOST, "/billing") == 200


def test_a_changed_route_is_compared_and_published(office: Office, provider: Page):
    change_base_path(provider, office, "/bills")
    assert (office.call(HOST, "/billing"), office.call(HOST, "/bills")) == (200, 404)
    provider.goto(office.kept["publish"])
    expect(provider.locator("#pending-diff .del")).to_contain_text(["/billing"])
    expect(provider.locator("#pending-diff .add")).to_contain_text(["/bills"])

    provider.click("#publish-changes")
    provider.click("#publish-now")

    expect(provider.locator(".ig-title")).to_contain_text("r2", timeout=LIVE)
    assert (office.call(HOST, "/billing"), office.call(HOST, "/bills")) == (404, 200)


def test_rolled_back_it_is_as_it_was(office: Office, provider: Page):
    provider.goto(f"{office.kept['publish']}/revisions")
    provider.click("#back-to-1")
    expect(provider.locator("#revision-diff")).to_contain_text("/billing")
    provider.fill("#roll-back [name=note]", "Callers still use /billing")

    provider.click("#roll-back-now")

    expect(provider.locator(".ig-title")).to_contain_text("r1", timeout=LIVE)
    assert (office.call(HOST, "/billing"), office.call(HOST, "/bills")) == (200, 404)


def test_withdrawn_before_two_pairs_of_eyes(office: Office, provider: Page, colleague: Page):
    colleague.goto(office.kept["publish"])
    live(colleague)
    provider.goto(office.kept["publish"])
    provider.click("#open-withdraw")
    provider.fill("#withdraw-dialog [name=reason]", "End of life")

    provider.click("#withdraw-dialog [type=submit]")

    for page in (provider, colleague):
        expect(badge(page, "Withdrawn")).to_be_visible(timeout=LIVE)
        expect(page.locator("#publish-live")).to_contain_text("“End of life”")
    assert office.call(HOST, "/billing") == 404
