"""Every page in a real browser: both languages, both themes, a desk and a phone; keyboard; live."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploy.local.screenshots import CHROMIUM, WIDTHS
from tests.e2e.browser import Window
from tests.e2e.conftest import Portal

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on PATH: install it to test the pages"
    ),
    pytest.mark.timeout(300),
]
OPERATOR, PROVIDER = "dohyun.kim", "jihoon.park"
PAGES = [
    # who, path with {names} of the scene, the answer's status
    ("", "/login", 200),
    ("", "/nowhere", 404),
    ("newcomer", "/", 200),
    ("yuna.choi", "/", 200),
    (OPERATOR, "/account/tokens", 200),
    ("sora.han", "/account/tokens", 200),
    (OPERATOR, "/operator/", 200),
    (OPERATOR, "/operator/agents", 200),
    (OPERATOR, "/operator/agents?status=revoked", 200),
    (OPERATOR, "/search?q=kr", 200),
    (OPERATOR, "/operator/deployments", 200),
    (OPERATOR, "/operator/publishes/{live}", 200),
    (OPERATOR, "/operator/clusters?status=broken", 200),
    (OPERATOR, "/operator/clusters/{kr-central-main}/events", 200),
    (OPERATOR, "/operator/clusters", 200),
    (OPERATOR, "/operator/clusters?search=tokio", 200),
    (PROVIDER, "/operator/clusters", 200),
    (OPERATOR, "/operator/clusters/new", 200),
    (OPERATOR, "/operator/clusters/{kr-central-main}", 200),
    (OPERATOR, "/operator/clusters/{crowd}", 200),
    (OPERATOR, "/operator/clusters/{eu-west-edge}", 200),
    (OPERATOR, "/operator/clusters/{ap-northeast-dr}", 200),
    (OPERATOR, "/operator/clusters/{jp-tokyo-pilot}", 200),
    ("sora.han", "/operator/clusters/{empty}", 200),
    (OPERATOR, "/operator/clusters/{crowd}/edit", 200),
    (OPERATOR, "/operator/clusters/{kr-central-main}/maintenance", 200),
    (OPERATOR, "/operator/clusters/{kr-central-main}/delete", 200),
    (OPERATOR, "/operator/clusters/{empty}/delete", 200),
    ("sora.han", "/operator/clusters/{empty}/delete", 403),
    (PROVIDER, "/provider/api-services", 200),
    (PROVIDER, "/provider/api-services/{pets}", 200),
    (PROVIDER, "/provider/api-services/{pets}/policies/cors", 200),
    (PROVIDER, "/provider/api-services/import", 200),
    (PROVIDER, "/provider/api-services/imports/{import-again}", 200),
    (PROVIDER, "/provider/", 200),
    (PROVIDER, "/notices", 200),
    (PROVIDER, "/provider/publishes", 200),
    (PROVIDER, "/provider/publishes?search=nothing", 200),
    (PROVIDER, "/provider/publishes/{live}", 200),
    (PROVIDER, "/provider/publishes/{refused}", 200),
    (PROVIDER, "/provider/publishes/{partly}", 200),
    (PROVIDER, "/provider/publishes/{applying}", 200),
    (PROVIDER, "/provider/publishes/{waiting}", 200),
    (PROVIDER, "/provider/publishes/{frozen}", 200),
    ("minji.lee", "/provider/publishes/{draft}", 200),
    (PROVIDER, "/provider/publishes/{withdrawn}", 200),
    (PROVIDER, "/provider/publishes/{long}", 200),
    (PROVIDER, "/provider/publishes/{draft}/publish", 200),
    (PROVIDER, "/provider/publishes/{live}/withdraw", 200),
    (PROVIDER, "/provider/publishes/{live}/revisions", 200),
    (PROVIDER, "/provider/publishes/{live}/revisions/1", 200),
    (PROVIDER, "/provider/publishes/{live}/settings", 200),
    (PROVIDER, "/provider/publishes/{draft}/settings", 200),
    (PROVIDER, "/provider/publishes/{draft}/delete", 200),
    (PROVIDER, "/provider/deployments", 200),
    (PROVIDER, "/provider/deployments?status=HALF", 200),
    (PROVIDER, "/provider/deployments/{live-deployment}", 200),
    (PROVIDER, "/provider/products/{live-product}/publish/", 200),
    (PROVIDER, "/provider/products", 200),
    (PROVIDER, "/provider/products?search=nothing&order=odd", 200),
    (PROVIDER, "/provider/products/new", 200),
    (PROVIDER, "/provider/products/{live-product}", 200),
    (PROVIDER, "/provider/products/{live-product}/waiting", 200),
    (PROVIDER, "/provider/products/{live-product}/edit", 200),
    (PROVIDER, "/provider/gateways", 200),
    (PROVIDER, "/provider/gateways/{gateway}", 200),
    (PROVIDER, "/provider/gateways/{gateway}/edit", 200),
    (PROVIDER, "/provider/gateways/{gateway}/delete", 200),
    (PROVIDER, "/provider/certificates", 200),
    (PROVIDER, "/provider/certificates/new", 200),
    (PROVIDER, "/provider/certificates/{certificate}", 200),
    (PROVIDER, "/provider/subscriptions", 200),
    (PROVIDER, "/provider/subscriptions?status=pending", 200),
    (PROVIDER, "/provider/publishes/{live}/plans", 200),
    (PROVIDER, "/provider/plans/{plan}/edit", 200),
]
Open = Callable[[str, str], Window]


@pytest.mark.parametrize(
    ("who", "path", "status"), PAGES, ids=[f"{who}{path}" for who, path, _ in PAGES]
)
def test_page(portal: Portal, window: Open, who: str, path: str, status: int) -> None:
    """axe finds nothing, the console is silent and nothing sticks out, however the page is looked at."""
    portal.beat()
    faults = []
    for language in ("ko", "en"):
        seen = window(who, language)
        assert seen.open(portal.path(path)) == status
        assert seen.page.locator("html").get_attribute("lang") == language
        for width in WIDTHS:
            for theme in ("light", "dark"):
                seen.dress(theme, width)
                faults += [f"{language} {theme} {width}: {fault}" for fault in seen.faults(theme)]
        faults += [f"{language}: {words}" for words in seen.hush()]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("who", "path", "opener", "dialog"),
    [
        (PROVIDER, "/provider/publishes/{live}", "open-withdraw", "withdraw-dialog"),
        # This one comes over HTTP when it is asked for.
        (OPERATOR, "/operator/clusters/{kr-central-main}", "open-maintenance", "confirm"),
    ],
)
def test_a_dialog_by_keyboard_alone(
    portal: Portal, window: Open, who: str, path: str, opener: str, dialog: str
) -> None:
    """Tab to the button, Enter, Tab inside the dialog, Escape: one is back at the button."""
    seen = window(who, "en")
    seen.open(portal.path(path))
    seen.dress("light", 1280)

    tab_until(seen, f"el.id === {opener!r}")
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_selector(f"dialog#{dialog}[open]")
    tab_until(seen, f"el.matches('dialog#{dialog} .btn:not([type=submit])')")
    assert seen.faults("light") == []
    # Meanwhile the page behind it is read anew: the button is another one by now.
    with seen.page.expect_response(portal.url + portal.path(path)):
        seen.page.evaluate("document.body.dispatchEvent(new Event('pulse'))")
    seen.page.keyboard.press("Escape")

    seen.page.wait_for_selector(f"dialog#{dialog}[open]", state="detached")
    seen.page.wait_for_selector(f"#{opener}:focus")
    with seen.page.expect_response(portal.url + portal.path(path)):
        seen.page.evaluate("document.body.dispatchEvent(new Event('pulse'))")
    seen.page.wait_for_timeout(100)
    assert seen.page.locator("dialog[open]").count() == 0, "closed is closed"


def test_a_route_in_a_dialog(portal: Portal, window: Open) -> None:
    """A refusal keeps the dialog and what was typed; a success closes it, and the page behind it knows."""
    seen = window(PROVIDER, "en")
    seen.open(portal.path("/provider/api-services/{billing}"))
    seen.dress("light", 1280)
    page = seen.page
    page.click("#add-route")
    page.fill("dialog[open] #id_path", "refunds")
    page.click("dialog[open] .btn-primary")
    assert "starts with" in page.inner_text("dialog[open] .ig-field-error")
    assert page.input_value("dialog[open] #id_path") == "refunds"

    page.fill("dialog[open] #id_path", "/refunds/{id}")
    page.press("dialog[open] #id_path", "Enter")

    page.wait_for_selector("#routes :text('/refunds/{id}')")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.id") == "add-route"
    page.wait_for_selector("#service-uses :text('not yet published')")
    seen.hush()


def tab_until(seen: Window, condition: str) -> None:
    for _press in range(40):
        seen.page.keyboard.press("Tab")
        if seen.page.evaluate(f"(el => {condition})(document.activeElement)"):
            return
    pytest.fail(f"40 times Tab, and never {condition}")


@pytest.mark.parametrize(
    ("who", "path", "change", "told"),
    [
        (
            PROVIDER,
            "/provider/publishes/{waiting}",
            (
                "from publishing.models import Deployment; from publishing.services import publishes;"
                "row = Deployment.objects.get(publish__hostname_base='waiting.payments.example');"
                "publishes.cancel(actor=row.requested_by, deployment_id=row.pk)"
            ),
            "#publish-live :text('Cancelled')",
        ),
        (
            OPERATOR,
            "/operator/clusters",
            (
                "from clusters.models import Cluster; from clusters.services import clusters;"
                "row = Cluster.objects.get(name='us-east-primary');"
                "clusters.set_maintenance(actor=row.created_by, cluster_id=row.pk, enabled=True,"
                " reason='New certificates')"
            ),
            "#cluster-rows :text('New certificates')",
        ),
    ],
    ids=["publish", "clusters"],
)
def test_an_open_page_changes_when_another_process_commits(
    portal: Portal, window: Open, who: str, path: str, change: str, told: str
) -> None:
    seen = window(who, "en")
    seen.open(portal.path(path))
    seen.page.wait_for_selector("#ig-live .ig-dot.live")  # the socket is open
    seen.page.evaluate("window.sameDocument = true")
    assert seen.page.locator(told).count() == 0

    portal.run("manage.py", "shell", "-v0", "-c", change)

    seen.page.wait_for_selector(told, timeout=10_000)
    assert seen.page.evaluate("window.sameDocument")
    assert seen.hush() == []


@pytest.mark.parametrize("when", ["while the page is read", "while the answer settles"])
def test_a_pulse_that_comes_while_a_page_is_read_anew_is_not_lost(
    portal: Portal, window: Open, when: str
) -> None:
    """htmx drops what an element that is being replaced still wanted, and its heir listens only later."""
    seen = window(OPERATOR, "en")
    seen.open("/operator/clusters")
    seen.page.wait_for_selector("#ig-live .ig-dot.live")
    seen.page.wait_for_load_state("networkidle")
    asked: list[str] = []
    seen.page.on("request", lambda request: asked.append(request.url))
    moment = "beforeSend" if when == "while the page is read" else "afterSwap"
    seen.page.evaluate(
        """moment => {
            const pulse = () => document.body.dispatchEvent(new Event('pulse'));
            document.addEventListener('htmx:' + moment, () => setTimeout(pulse), { once: true });
            pulse();
        }""",
        moment,
    )

    seen.page.wait_for_timeout(1_500)
    assert len([url for url in asked if url.endswith("/operator/clusters")]) == 2
