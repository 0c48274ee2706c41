"""`make screenshots`: every page of the demo, in both languages and themes, into build/screenshots.

`--readme` also takes the README's pictures in docs/images anew. Needs a Chromium on PATH.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from deploy.local import paths, ports, processes
from deploy.local.processes import ChildFailed
from deploy.local.stack import Ports, Stack

FOLDER = paths.ROOT / "build" / "screenshots"
README_FOLDER = paths.ROOT / "docs" / "images"
README_IMAGES = {"publish": "light", "wizard": "light", "clusters": "dark"}
README_SIZE: ViewportSize = {"width": 1280, "height": 810}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Its sandbox needs rights that containers do not give; nothing but our own pages is opened.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LOCALES = {"ko": "ko-KR", "en": "en-US"}
WIDTHS = (1280, 390)
PAGES = [
    # role ("" is nobody), name, path with {cluster}, {publish}, {product} and the names of LISTS
    ("", "login", "/login"),
    ("", "not-found", "/nowhere"),
    ("operator", "overview", "/operator/"),
    ("operator", "clusters", "/operator/clusters"),
    ("operator", "agents", "/operator/agents"),
    ("operator", "cluster-events", "/operator/clusters/{cluster}/events"),
    ("operator", "operated-deployments", "/operator/deployments"),
    ("operator", "operated-publish", "/operator/publishes/{publish}"),
    ("operator", "cluster-new", "/operator/clusters/new"),
    ("operator", "cluster", "/operator/clusters/{cluster}"),
    ("operator", "cluster-edit", "/operator/clusters/{cluster}/edit"),
    ("operator", "cluster-maintenance", "/operator/clusters/{cluster}/maintenance"),
    ("operator", "cluster-delete", "/operator/clusters/{cluster}/delete"),
    ("operator", "tokens", "/account/tokens"),
    ("operator", "search", "/search?q=kr"),
    ("provider", "provider-overview", "/provider/"),
    ("provider", "notices", "/notices"),
    ("provider", "services", "/provider/api-services"),
    ("provider", "service-new", "/provider/api-services/new"),
    ("provider", "service-import", "/provider/api-services/import"),
    ("provider", "service", "/provider/api-services/{service}"),
    ("provider", "service-edit", "/provider/api-services/{service}/edit"),
    ("provider", "service-policy", "/provider/api-services/{service}/policies/cors"),
    ("provider", "service-delete", "/provider/api-services/{service}/delete"),
    ("provider", "publishes", "/provider/publishes"),
    ("provider", "publish", "/provider/publishes/{publish}"),
    ("provider", "publish-confirm", "/provider/publishes/{publish}/publish"),
    ("provider", "withdraw-confirm", "/provider/publishes/{publish}/withdraw"),
    ("provider", "publish-revisions", "/provider/publishes/{publish}/revisions"),
    ("provider", "publish-revision", "/provider/publishes/{publish}/revisions/1"),
    ("provider", "publish-changes", "/provider/publishes/{publish}/changes"),
    ("provider", "publish-settings", "/provider/publishes/{publish}/settings"),
    ("provider", "deployments", "/provider/deployments"),
    ("provider", "deployment", "/provider/deployments/{deployment}"),
    ("provider", "wizard", "/provider/products/{product}/publish/"),
    ("provider", "products", "/provider/products"),
    ("provider", "product-new", "/provider/products/new"),
    ("provider", "product", "/provider/products/{product}"),
    ("provider", "product-edit", "/provider/products/{product}/edit"),
    ("provider", "product-delete", "/provider/products/{product}/delete"),
    ("provider", "gateways", "/provider/gateways"),
    ("provider", "gateway-new", "/provider/gateways/new"),
    ("provider", "gateway", "/provider/gateways/{gateway}"),
    ("provider", "gateway-edit", "/provider/gateways/{gateway}/edit"),
    ("provider", "certificates", "/provider/certificates"),
    ("provider", "certificate-new", "/provider/certificates/new"),
    ("provider", "subscriptions", "/provider/subscriptions"),
    ("provider", "plans", "/provider/publishes/{publish}/plans"),
    ("provider", "plan-new", "/provider/publishes/{publish}/plans/new"),
    ("consumer", "welcome", "/"),
]

LISTS = {"service": "api-services", "gateway": "gateways", "deployment": "deployments"}


def main() -> int:
    processes.exit_on_signals()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", action="store_true", help="take docs/images/*.png anew")
    options = parser.parse_args()
    if CHROMIUM is None:
        print("No Chromium on PATH. Install it: apt-get install chromium", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="imp-shots-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o711)  # PostgreSQL's user has to pass through
        try:
            with Stack(home / "stack", usual_ports(), durable=False) as stack:
                demo = start(stack)
                with chromium() as browser:
                    take_all(browser, stack.url, demo, readme=options.readme)
        except (ChildFailed, ports.PortError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def usual_ports() -> Ports:
    """The demo's own, where they are free: people read them in the pictures."""
    usual = {"gateway": 8080, "upstream": 9100}
    free = {name: port for name, port in usual.items() if not ports.answers(port)}
    return replace(Ports.free(), **free)


def start(stack: Stack) -> dict[str, Any]:
    """As `make demo` does it: defined, joined, published, subscribed."""
    stack.start()
    demo = stack.seed()
    stack.start_agent(demo["registration_token"])
    return demo | stack.seed("--finish", "--wait", "30")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def take_all(browser: Browser, url: str, demo: dict[str, Any], *, readme: bool) -> None:
    ids = {
        "cluster": demo["cluster"]["id"],
        "publish": demo["publish"]["id"],
        "product": demo["publish"]["product_id"],
    }
    logins = {login["role"]: login for login in demo["logins"]}
    ids |= firsts(browser, url, logins["provider"])
    FOLDER.mkdir(parents=True, exist_ok=True)
    for language in LOCALES:
        for role in dict.fromkeys(role for role, _name, _path in PAGES):
            context = enter(browser, url, language, logins.get(role))
            mine = [(name, path.format(**ids)) for who, name, path in PAGES if who == role]
            for name, path in mine:
                take(context, url + path, f"{name}-{language}")
            if readme and language == "en":
                take_readme_images(context, {name: url + path for name, path in mine})
            context.close()
    print(f"{len(list(FOLDER.glob('*.png')))} pictures in {FOLDER}")


def firsts(browser: Browser, url: str, provider: dict[str, str]) -> dict[str, str]:
    """The first of each of the provider's LISTS: its id."""
    context = enter(browser, url, "en", provider)
    found = {}
    for name, path in LISTS.items():
        answer = context.request.get(f"{url}/api/v1/provider/{path}").json()
        found[name] = answer["data"]["items"][0]["id"]
    context.close()
    return found


def enter(
    browser: Browser, url: str, language: str, login: dict[str, str] | None, **options: Any
) -> BrowserContext:
    """A browser of its own, with whoever it is signed in."""
    context = browser.new_context(locale=LOCALES[language], reduced_motion="reduce", **options)
    context.add_cookies([{"name": "django_language", "value": language, "url": url}])
    if login:
        page = context.new_page()
        page.goto(f"{url}/login")
        page.fill("[name=username]", login["email"])
        page.fill("[name=password]", login["password"])
        page.click("main button[type=submit]")
        page.wait_for_url(lambda now: not now.endswith("/login"))
        page.close()
    return context


def take(context: BrowserContext, url: str, name: str) -> None:
    page = open_page(context, url)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            dress(page, theme)
            page.screenshot(path=FOLDER / f"{name}-{theme}-{width}.png", full_page=True)
    page.close()


def take_readme_images(context: BrowserContext, urls: dict[str, str]) -> None:
    README_FOLDER.mkdir(parents=True, exist_ok=True)
    for name in README_IMAGES.keys() & urls.keys():
        page = open_page(context, urls[name])
        page.set_viewport_size(README_SIZE)
        dress(page, README_IMAGES[name])
        image = README_FOLDER / f"{name}.png"
        page.screenshot(path=image)
        print(f"{image.relative_to(paths.ROOT)}: {image.stat().st_size // 1000} kB")
        page.close()


def open_page(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    page.evaluate("document.fonts.ready.then(() => null)")
    return page


def dress(page: Page, theme: str) -> None:
    """What the theme button does."""
    page.evaluate("theme => { document.documentElement.dataset.bsTheme = theme }", theme)


if __name__ == "__main__":
    sys.exit(main())
