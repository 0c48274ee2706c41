"""The test session's own PostgreSQL and Valkey, started once and thrown away at the end.

A plugin rather than a conftest: pytest-django reads the settings before any conftest is loaded, so the
environment must stand when this module is imported (`-p` in pyproject.toml). The servers themselves
start with the first test. DATABASE_URL or REDIS_URL set by the caller are used as they are.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local.postgres import Postgres
from deploy.local.valkey import Valkey

FOLDER = Path(tempfile.mkdtemp(prefix="imp-"))
OWN_SERVERS: list[Postgres | Valkey] = []


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(lambda: shutil.rmtree(FOLDER, ignore_errors=True))


@pytest.fixture(scope="session")
def services() -> Iterator[None]:
    """PostgreSQL and Valkey are up."""
    with ExitStack() as stack:
        for server in OWN_SERVERS:
            server.start()
            stack.callback(server.stop)
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: None) -> None:
    """Runs before pytest-django's first connection."""


def _own(server: Postgres | Valkey) -> str:
    OWN_SERVERS.append(server)
    return server.url


def _prepare_environment() -> None:
    # The server's user has to pass through it; mkdtemp made it ours alone.
    FOLDER.chmod(0o711)
    if "DATABASE_URL" not in os.environ:
        os.environ["DATABASE_URL"] = _own(Postgres(FOLDER / "pg", durable=False))
    if "REDIS_URL" not in os.environ:
        os.environ["REDIS_URL"] = _own(Valkey(FOLDER / "valkey"))
    os.environ.setdefault("SECRET_KEY", "only-for-tests-" + "x" * 50)
    os.environ.setdefault("TOKEN_PEPPER", "only-for-tests-" + "y" * 50)


_prepare_environment()
