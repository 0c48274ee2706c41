"""A real Chromium in front of a real portal: what a page says to the console, to axe and to a ruler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, Page

from deploy.local import paths, screenshots

AXE = paths.ROOT / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN_AXE = """runOnly => axe.run(document, {runOnly, resultTypes: ["violations"]}).then(result =>
    result.violations.flatMap(rule => rule.nodes.map(node =>
        `${rule.id}: ${node.target.join(" ")} ${node.failureSummary.split("\\n").slice(1).join(" ")}`)))"""
TOO_WIDE = """() => {
    const width = document.documentElement.scrollWidth;
    if (width <= innerWidth) return [];
    const sticksOut = el => el.getBoundingClientRect().right > innerWidth + 1;
    return [...document.querySelectorAll("body *")].filter(sticksOut).slice(0, 5)
        .map(el => `${width} px wide: ${el.tagName}.${el.className}#${el.id}`);
}"""


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
        screenshots.dress(self.page, theme)

    def faults(self, theme: str) -> list[str]:
        """By axe and by the ruler. Only colours differ between the themes."""
        rules = {"type": "rule", "values": ["color-contrast"]} if theme == "dark" else TAGS
        return [*self.page.evaluate(RUN_AXE, rules), *self.page.evaluate(TOO_WIDE)]

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
