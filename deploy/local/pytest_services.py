"""The test session's own PostgreSQL and Valkey, started once and thrown away at the end.

A plugin rather than a conftest: pytest-django reads the settings before any conftest is loaded, so the
environment must stand when this module is imported (`-p` in pyproject.toml). The servers themselves
start with the first test.
"""

from collections.abc import Iterator

import pytest

from deploy.local.throwaway import Throwaway

SERVERS = Throwaway()
SERVERS.set_environment()


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
