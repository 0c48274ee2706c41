"""Rules for all tests. The servers come from deploy.local.pytest_services."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _real_services(services: None) -> None:
    """Code under test finds PostgreSQL and Valkey running, as it would anywhere else."""
