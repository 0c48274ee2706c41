"""The test session's own PostgreSQL and Valkey, started once and thrown away at the end.

A plugin rather than a conftest: pytest-django reads the settings before any conftest is loaded, so the
environment must stand when this module is imported (`-p` in pyproject.toml). The servers themselves
start with the first test.
"""

import os
from collections.abc import Iterator

import pytest

from deploy.local.throwaway import Throwaway

# What pytest named, as against whoever started it: its worker processes have servers of their own.
NAMED = "PYTEST_NAMED_SERVERS"

for name in os.environ.pop(NAMED, "").split():
    del os.environ[name]
given = set(os.environ)
SERVERS = Throwaway()
SERVERS.set_environment()
os.environ[NAMED] = " ".join({"DATABASE_URL", "REDIS_URL"} - given)


def pytest_configure(config: pytest.Config) -> None:
    """Also when no test ran, or the session broke off."""
    config.add_cleanup(SERVERS.stop)


@pytest.fixture(scope="session")
def services() -> Iterator[None]:
    """PostgreSQL and Valkey are up."""
    SERVERS.start()
    yield
    SERVERS.stop()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: None) -> None:
    """Replaces pytest-django's hook: runs before its first connection."""
