"""From a product to a call through a real Envoy and back, in real browsers: nothing between is faked.

One stack serves all of it, since starting one takes most of the time; the tests follow on one another.
"""

from __future__ import annotations

import re
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from deploy.local.screenshots import CHROMIUM, chromium, enter
from deploy.local.stack import Ports, Stack

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
HOST = "flow.payments.example"
LIVE = 30_000  # ms: an agent applies, proves and reports meanwhile


@dataclass
class Office:
    """A provider and a colleague, each with a browser, on a portal with an agent and its Envoy."""

    stack: Stack
    demo: dict[str, Any]
    browser: Any
    kept: dict[str, str] = field(default_factory=dict)  # addresses that later steps go on with

    def window(self, who: str) -> Page:
        login = next(each for each in self.demo["logins"] if each["email"].startswith(f"{who}@"))
        page: Page = enter(self.browser, self.stack.url, "en", login).new_page()
        page.set_default_timeout(15_000)
        return page

    def url(self, path: str) -> str:
        return self.stack.url + path

    def call(self, path: str) -> int:
        """What a caller gets from the gateway."""
        request = urllib.request.Request(self.stack.gateway_url + path, headers={"Host": HOST})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with tempfile.TemporaryDirectory(prefix="imp-flow-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user has to pass through
        stack = Stack(Path(folder) / "stack", Ports.free(), durable=False, say=lambda _words: None)
        with stack:
            stack.start()
            demo = stack.seed()
            stack.start_agent(demo["registration_token"])
            stack.seed("--finish", "--wait", "60")
            with chromium() as browser:
                yield Office(stack, demo, browser)


@pytest.fixture(scope="module")
def provider(office: Office) -> Page:
    return office.window("provider")


@pytest.fixture(scope="module")
def colleague(office: Office) -> Page:
    return office.window("member")


def badge(page: Page, words: str) -> Any:
    """Of the publish, at the top of its page."""
    return page.locator(".ig-title .ig-st", has_text=words)


def change_base_path(page: Page, office: Office, path: str) -> None:
    page.goto(office.url("/provider/api-services"))
    page.get_by_role("link", name="Billing", exact=True).click()
    page.goto(f"{page.url}/edit")
    page.fill("[name=base_path]", path)
    page.get_by_role("button", name="Save changes").click()
    page.wait_for_url(lambda now: not now.endswith("/edit"))


def test_the_wizard_goes_back_and_forth_and_survives_a_reload(office: Office, provider: Page):
    provider.goto(office.url("/provider/products"))
    provider.get_by_role("link", name=re.compile("Payment API")).first.click()
    provider.wait_for_url(re.compile(r"/provider/products/[0-9a-f-]{36}$"))
    office.kept["wizard"] = f"{provider.url}/publish/"
    provider.goto(office.kept["wizard"])
    provider.locator(".ig-choice", has_text="kr-central-main").click()
    provider.click("#wizard-next")
    provider.locator("[name=gateway_id]:enabled").first.check()
    provider.click("#wizard-next")
    provider.check("#environment-dev")
    provider.check("#mode-none")
    with provider.expect_response(lambda answer: answer.status == 204):
        provider.fill("[name=hostname_base]", HOST)

    provider.reload()
    expect(provider.locator("[name=hostname_base]")).to_have_value(HOST)
    provider.get_by_role("button", name="Back").click()
    expect(provider.locator("[name=gateway_id]:checked")).to_have_count(1)
    provider.go_back()
    provider.go_forward()
    expect(provider.locator("[aria-current=step]")).to_contain_text("Gateway")
    provider.goto(office.kept["wizard"])  # as from another device
    expect(provider.locator("#environment-dev")).to_be_checked()
    expect(provider.locator("[name=hostname_base]")).to_have_value(HOST)
    provider.click("#wizard-next")

    expect(provider.locator("[aria-current=step]")).to_contain_text("Review")
    expect(provider.locator("table")).to_contain_text(f"{HOST}/billing/*")


def test_created_and_published_while_two_watch(office: Office, provider: Page, colleague: Page):
    provider.goto(office.kept["wizard"])
    provider.click("#wizard-create")
    expect(badge(provider, "Draft")).to_be_visible()
    office.kept["publish"] = provider.url
    assert office.call("/billing") == 404
    colleague.goto(provider.url)
    colleague.wait_for_selector("#ig-live .ig-dot.live")
    colleague.evaluate("window.sameDocument = true")

    provider.click("#open-publish")
    provider.fill("[name=note]", "First release")
    provider.click("#publish-now")

    for page in (provider, colleague):
        expect(badge(page, "Published")).to_be_visible(timeout=LIVE)
        expect(page.locator("#publish-live")).to_contain_text("“First release”")
        expect(page.locator("#publish-live")).to_contain_text("Serving on 1 of 1", timeout=LIVE)
    assert colleague.evaluate("window.sameDocument")
    assert office.call("/billing") == 200


def test_a_changed_route_is_compared_and_published(office: Office, provider: Page):
    change_base_path(provider, office, "/bills")
    assert (office.call("/billing"), office.call("/bills")) == (200, 404)
    provider.goto(office.kept["publish"])
    expect(provider.locator("#pending-diff .del")).to_contain_text(["/billing"])
    expect(provider.locator("#pending-diff .add")).to_contain_text(["/bills"])

    provider.click("#publish-changes")
    provider.click("#publish-now")

    expect(provider.locator(".ig-title")).to_contain_text("r2", timeout=LIVE)
    assert (office.call("/billing"), office.call("/bills")) == (404, 200)


def test_rolled_back_it_is_as_it_was(office: Office, provider: Page):
    provider.goto(f"{office.kept['publish']}/revisions")
    provider.click("#back-to-1")
    expect(provider.locator("#revision-diff")).to_contain_text("/billing")
    provider.fill("#roll-back [name=note]", "Callers still use /billing")

    provider.click("#roll-back-now")

    expect(provider.locator(".ig-title")).to_contain_text("r1", timeout=LIVE)
    assert (office.call("/billing"), office.call("/bills")) == (200, 404)


def test_withdrawn_before_two_pairs_of_eyes(office: Office, provider: Page, colleague: Page):
    colleague.goto(office.kept["publish"])
    colleague.wait_for_selector("#ig-live .ig-dot.live")
    provider.goto(office.kept["publish"])
    provider.click("#open-withdraw")
    provider.fill("#withdraw-dialog [name=reason]", "End of life")

    provider.click("#withdraw-dialog [type=submit]")

    for page in (provider, colleague):
        expect(badge(page, "Withdrawn")).to_be_visible(timeout=LIVE)
        expect(page.locator("#publish-live")).to_contain_text("“End of life”")
    assert office.call("/billing") == 404
