"""What every page has: search by keyboard, the word that live updates are lost, little to load."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Response

from deploy.local.screenshots import CHROMIUM
from tests.e2e.browser import Window, cookies
from tests.e2e.conftest import Portal

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
OPERATOR, PROVIDER = "dohyun.kim", "jihoon.park"
Open = Callable[[str, str], Window]
FIRST_LOAD = 300_000


@pytest.mark.parametrize("keys", ["/", "Control+k"])
def test_search_by_keyboard_alone(portal: Portal, window: Open, keys: str) -> None:
    seen = window(OPERATOR, "en")
    seen.open("/operator/")
    seen.page.keyboard.press(keys)
    seen.page.wait_for_selector("dialog#search-dialog[open] .ig-hit")  # the pages of the menu
    assert seen.page.evaluate("document.activeElement.id") == "search-text"

    seen.page.keyboard.type("us-east")
    seen.page.wait_for_selector("#search-results .ig-hit :text('us-east-primary')")
    assert seen.faults("light") == []
    seen.page.keyboard.press("ArrowDown")
    assert seen.page.evaluate("document.activeElement.className") == "ig-hit"
    seen.page.keyboard.press("Enter")

    seen.page.wait_for_url("**/operator/clusters/*")
    assert seen.page.locator("h1").inner_text() == "us-east-primary"
    assert seen.hush() == []


def test_a_slash_in_a_field_is_a_slash(portal: Portal, window: Open) -> None:
    seen = window(OPERATOR, "en")
    seen.open("/operator/clusters")
    seen.page.locator("#cluster-search").press("/")
    assert seen.page.locator("#cluster-search").input_value() == "/"
    assert seen.page.locator("dialog[open]").count() == 0


def test_back_shows_the_former_filter_and_stays_live(portal: Portal, window: Open) -> None:
    """A whole page again, with all of its parts: not one that htmx puts together."""
    seen = window(OPERATOR, "en")
    page = seen.page
    seen.open("/operator/clusters")
    page.fill("#cluster-search", "us-east")
    page.wait_for_url("**search=us-east**")
    page.click("#segment-active")
    page.wait_for_url("**status=active**")

    page.go_back()

    page.wait_for_selector("#segment-all[aria-current]")
    page.wait_for_selector("#ig-live:visible")
    assert page.input_value("#cluster-search") == "us-east"
    assert page.locator("h1").count() == 1
    assert seen.hush() == []


def test_a_lost_socket_is_told_and_the_page_goes_on(portal: Portal, window: Open) -> None:
    """The portal is there, its sockets are not: the page asks by itself, and says so."""
    seen = window(OPERATOR, "en")
    page = seen.page
    page.route_web_socket("**/ws/**", lambda socket: socket.close())
    seen.open("/operator/")
    page.wait_for_selector("#ig-offline:visible", timeout=10_000)
    assert "re-reads itself every 15 seconds" in page.locator("#ig-offline").inner_text()
    assert seen.faults("light") == []
    with page.expect_response("**/operator/", timeout=20_000) as read:
        pass
    assert read.value.status == 200
    page.unroute_all()
    seen.hush()


def test_a_name_is_checked_while_it_is_typed(portal: Portal, window: Open) -> None:
    seen = window(OPERATOR, "en")
    seen.open("/operator/clusters/new")
    seen.page.locator("#id_name").press_sequentially("US East")
    seen.page.wait_for_selector("#name-check :text('the Kubernetes rule')")
    seen.page.locator("#id_name").fill("us-east-primary")
    seen.page.wait_for_selector("#name-check :text('You already have')")
    seen.page.locator("#id_name").fill("us-east-new")
    seen.page.wait_for_selector("#name-check :text('us-east-new is free')")

    assert seen.page.locator("#region-other").is_hidden()
    seen.page.locator("#region-list").select_option("+")
    seen.page.locator("#region-other").fill("us-moon")
    seen.page.locator("#label-key-0").fill("tier")
    seen.page.locator("#label-add").click()
    seen.page.wait_for_selector("#label-key-1")
    assert seen.page.locator("#label-key-0").input_value() == "tier"
    assert seen.page.locator("#region-other").input_value() == "us-moon"
    assert seen.faults("light") == []
    assert seen.hush() == []


DIALOGS = [
    (OPERATOR, "/operator/clusters/{kr-central-main}"),
    (OPERATOR, "/operator/clusters/{ap-northeast-dr}"),
    (PROVIDER, "/provider/api-services/{pets}"),
    (PROVIDER, "/provider/api-services/imports/{import-again}"),
    (PROVIDER, "/provider/products/{live-product}"),
    (PROVIDER, "/provider/gateways/{gateway}"),
    (PROVIDER, "/provider/certificates/{certificate}"),
    (PROVIDER, "/provider/publishes/{live}"),
    (PROVIDER, "/provider/publishes/{live}/plans"),
    (PROVIDER, "/provider/subscriptions?status=pending"),
]
OPENERS = "main [hx-target='#dialogs'][hx-get], [data-ig-dialog]"
INSIDE = "document.querySelector('dialog[open]').contains(document.activeElement)"


@pytest.mark.parametrize(("who", "path"), DIALOGS, ids=[path for _who, path in DIALOGS])
def test_every_dialog_takes_the_focus_and_gives_it_back(
    portal: Portal, window: Open, who: str, path: str
) -> None:
    """To the button that opened it: by Escape, and every other one by its Cancel."""
    portal.beat()
    seen = window(who, "en")
    seen.open(portal.path(path))
    seen.dress("light", 1280)
    page = seen.page
    openers = one_of_each_kind(page)
    assert openers
    for number, opener in enumerate(openers):
        opener.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog[open]")
        assert page.evaluate(INSIDE), f"{opener}: the focus stays outside"
        assert page.get_by_role("dialog", name=re.compile(r"\w")).count() == 1, f"{opener}: no name"
        cancel = page.locator("dialog[open] [data-ig-close]")
        if number % 2 and cancel.count():
            cancel.last.click()
        else:
            page.keyboard.press("Escape")
        page.wait_for_selector("dialog[open]", state="detached")
        assert opener.evaluate("el => el === document.activeElement"), f"{opener}: focus lost"
    seen.hush()  # leaving the page breaks off what it reads


def one_of_each_kind(page: Page) -> list[Locator]:
    """What opens a dialog there. The rows of a table have the same ones each."""
    found = page.locator(OPENERS)
    ids = found.evaluate_all("all => all.map(el => el.id || el.className)")
    kinds = [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "*", name) for name in ids]
    firsts = [found.nth(kinds.index(kind)) for kind in dict.fromkeys(kinds)]
    return [opener for opener in firsts if opener.is_visible()]


def test_what_a_first_visit_loads(portal: Portal, browser: Any) -> None:
    """Compressed as production serves it, beside the fonts."""
    context = browser.new_context()
    context.add_cookies(cookies(portal.url, sessionid=portal.sessions[OPERATOR]))
    page = context.new_page()
    answers: list[Response] = []

    def heard(answer: Response) -> None:
        answers.append(answer)

    page.on("response", heard)
    page.goto(portal.url + "/operator/clusters", wait_until="load")
    bodies = {answer.url: answer.body() for answer in answers if answer.status == 200}
    context.close()

    shown = {url: body for url, body in bodies.items() if not url.endswith(".woff2")}
    sizes = {url: len(gzip.compress(body)) for url, body in shown.items()}
    print(f"{sum(sizes.values()) / 1000:.0f} kB in {len(sizes)} files")
    assert len(sizes) >= 8
    assert sum(sizes.values()) < FIRST_LOAD, sizes
