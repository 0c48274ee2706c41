"""From signing in to a withdrawal without a mouse: Tab, Space, arrows, Enter and Escape alone."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import Page, expect

from deploy.local.screenshots import CHROMIUM
from tests.e2e.office import LIVE, Office, badge, step, tab_to

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
NAME = f"Keys {secrets.token_hex(3)}"
HOST = f"{NAME.lower().replace(' ', '-')}.example"


@pytest.fixture(scope="module")
def page(office: Office) -> Page:
    return office.nobody()


def type_into(page: Page, selector: str, text: str) -> None:
    tab_to(page, selector)
    page.keyboard.type(text)


def enter(page: Page, selector: str) -> None:
    tab_to(page, selector)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def send(page: Page) -> None:
    """The form that one types in."""
    with page.expect_navigation():
        page.keyboard.press("Enter")


def pick(page: Page, selector: str) -> None:
    """Of radio buttons, Tab reaches the chosen or the first one; arrows go on from there."""
    wanted = page.locator(selector).first
    tab_to(page, f"[name={wanted.get_attribute('name')}]")
    page.keyboard.press("Space")
    for _press in range(10):
        if wanted.is_checked():
            return
        page.keyboard.press("ArrowDown")
    expect(wanted).to_be_checked()


def test_signing_in(office: Office, page: Page):
    login = office.login("provider")
    page.goto(office.url("/provider/products"))
    type_into(page, "[name=username]", login["email"])
    type_into(page, "[name=password]", login["password"])
    send(page)
    expect(page.locator("h1")).to_have_text("Products")


def test_a_product(page: Page):
    enter(page, ".ig-skip")  # past the menu
    enter(page, "a[href$='/products/new']")
    type_into(page, "#id_name", NAME)
    type_into(page, "#id_version", "1.0")
    type_into(page, "#service-search", "Refund")
    expect(page.locator("#service-options label")).to_have_count(1)
    tab_to(page, "[name=service_ids]")
    page.keyboard.press("Space")
    enter(page, ".ig-wfoot .btn-primary")
    expect(page.locator("h1")).to_have_text(NAME)


def test_the_wizard(page: Page):
    enter(page, "#open-wizard")
    pick(page, ".ig-choice:has-text('kr-central-main') input")
    send(page)  # as the button does
    expect(step(page)).to_contain_text("Gateway")
    pick(page, "[name=gateway_id]:enabled")
    enter(page, "#wizard-next")
    expect(step(page)).to_contain_text("Environment")
    pick(page, "#environment-dev")
    pick(page, "#mode-none")
    type_into(page, "[name=hostname_base]", HOST)
    send(page)
    expect(step(page)).to_contain_text("Review")
    enter(page, "#wizard-create")
    expect(badge(page, "Draft")).to_be_visible()


def test_publish_and_withdraw(office: Office, page: Page):
    enter(page, "#open-publish")
    type_into(page, "[name=note]", "By hand")
    send(page)
    expect(badge(page, "Published")).to_be_visible(timeout=LIVE)
    assert office.call(HOST, "/refunds") == 405  # it answers POST alone

    page.reload()  # so that the button opens the dialog, and not a page of its own
    tab_to(page, "#open-withdraw")
    page.keyboard.press("Enter")
    expect(page.locator("dialog#withdraw-dialog[open]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#open-withdraw")).to_be_focused()
    page.keyboard.press("Enter")
    type_into(page, "#withdraw-dialog [name=reason]", "End of the test")
    send(page)
    expect(badge(page, "Withdrawn")).to_be_visible(timeout=LIVE)
    assert office.call(HOST, "/refunds") == 404


def test_signing_out(page: Page):
    tab_to(page, ".ig-top details:last-of-type > summary")
    page.keyboard.press("Enter")
    enter(page, "[action$='/logout'] button")
    expect(page.locator("[name=username]")).to_be_visible()
