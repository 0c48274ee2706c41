"""A real Chromium in front of a real portal: what a page says to the console, to axe and to a ruler."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deploy.local import paths

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Its sandbox needs rights that CI's containers do not give; nothing but our own pages is opened.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
AXE = paths.ROOT / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
WIDTHS = (1280, 390)
RUN_AXE = """tags => axe.run(document, {runOnly: tags, resultTypes: ["violations"]}).then(result =>
    result.violations.flatMap(rule => rule.nodes.map(node =>
        `${rule.id}: ${node.target.join(" ")} ${node.failureSummary.split("\\n").slice(1).join(" ")}`)))"""
TOO_WIDE = """() => {
    const width = document.documentElement.scrollWidth;
    if (width <= innerWidth) return [];
    const sticksOut = el => el.getBoundingClientRect().right > innerWidth + 1;
    return [...document.querySelectorAll("body *")].filter(sticksOut).slice(0, 5)
        .map(el => `${width} px wide: ${el.tagName}.${el.className}#${el.id}`);
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Window:
    """One person's browser window in one language. Collects what the console complains about."""

    url: str
    context: BrowserContext
    page: Page = field(init=False)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.add_init_script(path=AXE)
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))

    def open(self, path: str) -> int:
        answer = self.page.goto(self.url + path, wait_until="load")
        self.page.evaluate("document.fonts.ready.then(() => null)")
        return answer.status if answer else 0

    def dress(self, theme: str, width: int) -> None:
        """As the theme button and the window's edge do."""
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate("theme => { document.documentElement.dataset.bsTheme = theme }", theme)

    def faults(self) -> list[str]:
        return [*self.page.evaluate(RUN_AXE, TAGS), *self.page.evaluate(TOO_WIDE)]

    def hush(self) -> list[str]:
        """What was complained about since the last time."""
        heard, self.complaints[:] = list(self.complaints), []
        return heard

    def _heard(self, message: Any) -> None:
        # An error page's own status is told there too, and is what the test asked for.
        wanted = message.location.get("url") == self.page.url and "status of 4" in message.text
        if message.type in {"error", "warning"} and not wanted:
            self.complaints.append(f"{message.type}: {message.text}")


def cookies(url: str, **values: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "url": url} for name, value in values.items()]
