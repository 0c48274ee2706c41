"""The whole product on one machine, and persons who use it in real browsers: nothing between is faked."""

from __future__ import annotations

import re
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from deploy.local import screenshots
from deploy.local.smoke.portal import Portal
from deploy.local.stack import Ports, Stack

LIVE = 30_000  # ms: an agent applies, proves and reports meanwhile
PATIENCE = 15_000  # ms: for anything else on a machine that does much besides


@dataclass
class Office:
    """Everybody of the demo with a browser each, on a portal with an agent and its Envoy."""

    stack: Stack
    demo: dict[str, Any]
    browser: Browser
    kept: dict[str, str] = field(default_factory=dict)  # addresses that later steps go on with

    def window(self, who: str, **context: Any) -> Page:
        """A browser of their own, signed in; `who` is the first word of the demo's address."""
        made = screenshots.enter(self.browser, self.stack.url, "en", self.login(who), **context)
        return patient(made.new_page())

    def nobody(self, **context: Any) -> Page:
        made = screenshots.enter(self.browser, self.stack.url, "en", None, **context)
        return patient(made.new_page())

    def login(self, who: str) -> dict[str, str]:
        logins = self.demo["logins"]
        return next(each for each in logins if each["email"].startswith(f"{who}@"))

    def rest(self, who: str) -> Portal:
        """The same person's programs."""
        login = self.login(who)
        return Portal(self.stack.url, login["email"], login["password"])

    def url(self, path: str) -> str:
        return self.stack.url + path

    def call(self, host: str, path: str, key: str = "") -> int:
        """What a caller gets from the gateway."""
        headers = {"Host": host} | ({"x-api-key": key} if key else {})
        request = urllib.request.Request(self.stack.gateway_url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def answers(self, code: int, host: str, path: str, key: str = "") -> bool:
        """Whether the gateway says so within seconds: keys reach it apart from publishes."""
        deadline = time.monotonic() + LIVE / 1000
        while (got := self.call(host, path, key)) != code:
            if time.monotonic() > deadline:
                raise AssertionError(f"{host}{path} answered {got}, not {code}")
            time.sleep(0.05)
        return True


@contextmanager
def running() -> Iterator[tuple[Stack, dict[str, Any]]]:
    """The demo, with its first agent joined and its first publish live."""
    with tempfile.TemporaryDirectory(prefix="imp-flow-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user has to pass through
        stack = Stack(Path(folder) / "stack", Ports.free(), durable=False, say=lambda _words: None)
        with stack:
            stack.start()
            demo = stack.seed()
            stack.start_agent(demo["registration_token"])
            yield stack, demo | stack.seed("--finish", "--wait", "60")


def patient(page: Page) -> Page:
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    return page


def live(page: Page) -> Page:
    """Wait until the page's socket is open; from then on it is told of every change, or the test knows."""
    page.wait_for_selector("#ig-live .ig-dot.live")
    page.evaluate("window.sameDocument = true")
    return page


def same_document(page: Page) -> bool:
    """Whether what is seen came by itself, without another load of the page."""
    return bool(page.evaluate("window.sameDocument === true"))


def badge(page: Page, words: str) -> Locator:
    """The status at the top of a page."""
    return page.locator(".ig-title .ig-st", has_text=words)


def step(page: Page) -> Locator:
    """Where the wizard is."""
    return page.locator("[aria-current=step]")


def kept(page: Page, text: str) -> Any:
    """Until the wizard has stored `text` by itself; what was typed before it may still be on its way."""
    return page.expect_response(
        lambda answer: answer.status == 204 and text in (answer.request.post_data or "")
    )


def choose(page: Page, cluster: str) -> None:
    """The wizard's first two steps: that cluster, and the first gateway that its agents can drive."""
    page.locator(".ig-choice", has_text=cluster).locator("input").check()
    page.click("#wizard-next")
    page.locator("[name=gateway_id]:enabled").first.check()
    page.click("#wizard-next")


def product_page(page: Page, office: Office, name: str) -> str:
    """Open a product by its name in the list; its address."""
    page.goto(office.url("/provider/products"))
    page.get_by_role("link", name=re.compile(name)).first.click()
    page.wait_for_url(re.compile(r"/provider/products/[0-9a-f-]{36}$"))
    return page.url


def tab_to(page: Page, selector: str) -> None:
    """As somebody without a mouse: Tab until it has the focus, through a whole page at most."""
    for _press in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"100 times Tab on {page.url}, and never {selector}")
