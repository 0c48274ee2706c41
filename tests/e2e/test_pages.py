"""Every page in a real browser: both languages, both themes, a desk and a phone; keyboard; live."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.browser import CHROMIUM, WIDTHS, Window
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
                faults += [f"{language} {theme} {width}: {fault}" for fault in seen.faults()]
        faults += [f"{language}: {words}" for words in seen.hush()]
    assert not faults, "\n".join(faults)
