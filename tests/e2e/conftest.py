"""The portal as processes of its own, over a database of its own, with a scene committed into it.

Nothing here uses Django's models: Playwright keeps an event loop in this thread, which they refuse.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Page

from deploy.local import paths, ports
from deploy.local.processes import Child
from deploy.local.screenshots import LOCALES, chromium
from deploy.local.stack import Stack, responds
from tests.e2e import office as offices
from tests.e2e.browser import Window, cookies

DATABASE = f"pages_{os.getpid()}"
# Live is who was heard of within 90 s; the tests may take longer.
BEAT = """UPDATE clusters_agent SET last_heartbeat_at = now() - interval '4 s'
    WHERE last_heartbeat_at > now() - interval '10 min' AND disconnected_at IS NULL"""


@dataclass
class Portal:
    url: str
    environment: dict[str, str]
    ids: dict[str, str]
    sessions: dict[str, str]

    def path(self, pattern: str) -> str:
        """ "/operator/clusters/{empty}" with the id of the scene's row of that name."""
        return re.sub(r"{([^}]+)}", lambda match: self.ids[match[1]], pattern)

    def beat(self) -> None:
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute(BEAT)

    def run(self, *arguments: str) -> str:
        """Another process of the same portal."""
        return _run(self.environment, *arguments)


@pytest.fixture(scope="module")
def portal(services: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    port = ports.free()[0]
    url = f"http://127.0.0.1:{port}"
    environment = _environment(url)
    daphne = Child(
        "daphne",
        [
            str(paths.program("daphne")),
            "-b",
            "127.0.0.1",
            "-p",
            str(port),
            "config.asgi:application",
        ],
        tmp_path_factory.mktemp("pages") / "daphne.log",
        env=environment,
        cwd=paths.ROOT,
        ready=lambda: responds(f"{url}/healthz"),
        stop_signal=signal.SIGKILL,  # it holds nothing, and would wait for its sockets
    )
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            _run(environment, "manage.py", "migrate", "--noinput", "-v0")
            told = json.loads(_run(environment, "-m", "tests.e2e"))
            daphne.start()
            yield Portal(url, environment, told["ids"], told["sessions"])
        finally:
            daphne.stop()
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture(scope="module")
def browser(portal: Portal) -> Iterator[Any]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def window(portal: Portal, browser: Any) -> Iterator[Callable[[str, str], Window]]:
    """window(who, language): opened once, kept for the module. "" is nobody."""
    opened: dict[tuple[str, str], Window] = {}

    def window(who: str, language: str) -> Window:
        if (who, language) not in opened:
            context = browser.new_context(locale=LOCALES[language], reduced_motion="reduce")
            session = {"sessionid": portal.sessions[who]} if who else {}
            context.add_cookies(cookies(portal.url, django_language=language, **session))
            opened[who, language] = Window(portal.url, context)
        return opened[who, language]

    yield window
    for kept in opened.values():
        kept.context.close()


@pytest.fixture(scope="package")
def running() -> Iterator[tuple[Stack, dict[str, Any]]]:
    """One for all flows: starting it takes longer than most of them."""
    with offices.running() as told:
        yield told


@pytest.fixture(scope="module")
def office(running: tuple[Stack, dict[str, Any]]) -> Iterator[offices.Office]:
    with chromium() as running_browser:
        yield offices.Office(*running, running_browser)


@pytest.fixture(scope="module")
def provider(office: offices.Office) -> Page:
    return office.window("provider")


@pytest.fixture(scope="module")
def colleague(office: offices.Office) -> Page:
    return office.window("member")


@pytest.fixture(scope="module")
def operator(office: offices.Office) -> Page:
    return office.window("operator")


def _environment(url: str) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.e2e.settings",
        "DATABASE_URL": urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{DATABASE}").geturl(),
        "PYTHONPATH": str(paths.ROOT),
        "PUBLIC_URL": url,
        "ALLOWED_HOSTS": "127.0.0.1",
        "HTTPS": "false",
    }


def _run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
