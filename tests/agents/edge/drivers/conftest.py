"""Envoy is real here, and nothing else is needed."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.model import Access
from tests.agents.edge.drivers.rig import Echo, Keys, free_port, snapshot


@pytest.fixture(autouse=True, scope="session")
def _real_services() -> None:
    """The agent needs neither PostgreSQL nor Valkey."""


@pytest.fixture
def state_dir() -> Iterator[Path]:
    # Not tmp_path: the path of a Unix socket is short.
    path = Path(tempfile.mkdtemp(prefix="imp-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
async def drivers(state_dir: Path) -> AsyncIterator[Callable[..., EnvoyDriver]]:
    """Make drivers of one state directory; the last one's Envoy is stopped at the end."""
    made: list[EnvoyDriver] = []

    def make(path: Path = state_dir, **options: Any) -> EnvoyDriver:
        driver = EnvoyDriver(path, "test-node", b"probe-secret", **options)
        made.append(driver)
        return driver

    yield make
    for driver in made:
        await driver.stop()


@pytest.fixture
async def driver(drivers: Callable[..., EnvoyDriver]) -> EnvoyDriver:
    driver = drivers()
    await driver.start(snapshot(), Access(version=0))
    return driver


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def keys() -> Keys:
    return Keys()
