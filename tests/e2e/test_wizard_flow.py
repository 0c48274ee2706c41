"""The wizard's memory is the server's: tabs, devices and histories agree, and maintenance is told."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Page, expect

from deploy.local.screenshots import CHROMIUM
from tests.e2e.office import (
    Office,
    badge,
    choose,
    kept,
    live,
    patient,
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
HOST = f"wizard-{secrets.token_hex(3)}.example"
MAIN = "kr-central-main"
REASON = "Kernel upgrade of all nodes"


@pytest.fixture(scope="module")
def second_tab(provider: Page) -> Page:
    """Of the same browser."""
    return patient(provider.context.new_page())


@pytest.fixture(scope="module")
def telephone(office: Office) -> Page:
    """The same person's other device."""
    return office.window("provider", viewport={"width": 390, "height": 844})


def test_two_tabs_of_one_wizard(office: Office, provider: Page, second_tab: Page):
    office.kept["wizard"] = f"{product_page(provider, office, 'Payment API')}/publish/"
    provider.goto(f"{office.kept['wizard']}?step=cluster")
    choose(provider, MAIN)
    expect(step(provider)).to_contain_text("Environment")
    second_tab.goto(office.kept["wizard"])
    expect(step(second_tab)).to_contain_text("Environment")
    second_tab.check("#environment-dev")
    second_tab.check("#mode-none")
    second_tab.fill("[name=hostname_base]", f"other-{HOST}")
    second_tab.click("#wizard-next")
    expect(step(second_tab)).to_contain_text("Review")

    provider.check("#environment-stage")
    provider.check("#mode-none")
    provider.fill("[name=hostname_base]", HOST)
    provider.click("#wizard-next")

    expect(provider.locator("#conflict")).to_contain_text("changed in another tab")
    expect(provider.locator("[name=hostname_base]")).to_have_value(HOST)
    expect(provider.locator("#environment-stage")).to_be_checked()
    provider.click("#wizard-next")  # knowing of it now
    expect(step(provider)).to_contain_text("Review")
    expect(provider.locator("table")).to_contain_text(f"{HOST}/invoices/*")
    second_tab.click("#wizard-create")
    expect(second_tab.locator("#conflict")).to_be_visible()
    expect(second_tab.locator("table")).to_contain_text(f"{HOST}/invoices/*")


def test_the_browsers_own_buttons(office: Office, provider: Page):
    provider.goto(f"{office.kept['wizard']}?step=cluster")
    provider.click("#wizard-next")
    provider.click("#wizard-next")
    expect(step(provider)).to_contain_text("Environment")
    with kept(provider, f"new-{HOST}"):
        provider.fill("[name=hostname_base]", f"new-{HOST}")

    provider.go_back()
    expect(step(provider)).to_contain_text("Gateway")
    expect(provider.locator("[name=gateway_id]:checked")).to_have_count(1)
    provider.go_forward()
    expect(provider.locator("[name=hostname_base]")).to_have_value(f"new-{HOST}")
    provider.reload()
    expect(provider.locator("[name=hostname_base]")).to_have_value(f"new-{HOST}")
    expect(provider.locator("#environment-stage")).to_be_checked()


def test_another_device_goes_on_where_this_one_was(office: Office, telephone: Page):
    telephone.goto(office.kept["wizard"])
    expect(step(telephone)).to_contain_text("Environment")
    expect(telephone.locator("[name=hostname_base]")).to_have_value(f"new-{HOST}")
    telephone.fill("[name=hostname_base]", HOST)
    telephone.click("#wizard-next")
    expect(step(telephone)).to_contain_text("Review")


def test_maintenance_is_seen_wherever_it_matters(
    office: Office, provider: Page, operator: Page, telephone: Page
) -> None:
    provider.goto(office.url(f"/provider/publishes/{office.demo['publish']['id']}"))
    live(provider)
    operator.goto(office.url(f"/operator/clusters/{office.demo['cluster']['id']}"))
    operator.click("#open-maintenance")
    operator.fill("dialog[open] [name=reason]", REASON)
    operator.select_option("dialog[open] [name=lasts]", label="By itself in 2 hours")
    operator.click("dialog[open] .btn-primary")

    expect(badge(operator, "Maintenance")).to_be_visible()
    expect(operator.locator("#cluster-live")).to_contain_text(REASON)
    banner = provider.locator("#publish-live .ig-banner", has_text="is in maintenance")
    expect(banner).to_contain_text(REASON)
    expect(banner).to_contain_text("ends by itself in")
    assert same_document(provider)
    telephone.reload()  # of the review
    expect(
        telephone.locator("main .ig-banner", has_text="is in maintenance").first
    ).to_contain_text(REASON)
    telephone.goto(f"{office.kept['wizard']}?step=cluster")
    choice = telephone.locator(".ig-choice", has_text=MAIN)
    expect(choice.locator("input")).to_be_disabled()
    expect(choice).to_contain_text(REASON)
    telephone.goto(office.url("/notices"))
    expect(telephone.locator(".ig-rows li").first).to_contain_text(REASON)
    telephone.goto(office.url(f"/provider/publishes?cluster_id={office.demo['cluster']['id']}"))
    expect(telephone.locator("[id^=notice-]")).to_contain_text(REASON)


def test_a_new_publish_is_refused_meanwhile_and_says_why(office: Office, telephone: Page):
    telephone.goto(f"{office.kept['wizard']}?step=review")
    expect(telephone.locator("#refusal")).to_contain_text("maintenance")
    telephone.click("#wizard-create")
    expect(badge(telephone, "Draft")).to_be_visible()
    telephone.click("#open-publish")
    telephone.click("#publish-now")
    expect(telephone.locator("form [role=alert]").first).to_contain_text("maintenance")
    expect(telephone.locator("form [role=alert]").first).to_contain_text(REASON)


def test_its_end_is_seen_by_itself(office: Office, provider: Page, operator: Page, telephone: Page):
    operator.click("#end-maintenance")
    expect(badge(operator, "Active")).to_be_visible()
    expect(
        provider.locator("#publish-live .ig-banner", has_text="is in maintenance")
    ).to_have_count(0)
    assert same_document(provider)
    telephone.goto(office.url("/notices"))
    notice = telephone.locator(".ig-rows li").first
    expect(notice).to_contain_text(REASON)
    expect(notice.locator("a")).to_have_count(0)  # it is over: nothing to look at
    telephone.goto(f"{office.kept['wizard']}?step=cluster")
    expect(telephone.locator(".ig-choice", has_text=MAIN).locator("input")).to_be_enabled()
