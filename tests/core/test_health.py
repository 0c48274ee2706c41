import pytest
from django.db import connection
from django.test import RequestFactory

from core import health


def test_alive_needs_nothing(client):
    response = client.get("/healthz", headers={"host": "10.1.2.3"})

    assert response.json() == {"status": "ok"}


@pytest.mark.django_db(transaction=True)
def test_ready_names_each_check(client):
    response = client.get("/readyz", headers={"host": "10.1.2.3"})

    assert response.status_code == 200, response.content
    assert response.json() == {
        "status": "ok",
        "checks": {"database": "ok", "redis": "ok", "migrations": "ok"},
    }


def test_not_ready_without_redis(db, settings):
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    response = health.HealthMiddleware(lambda request: None)(RequestFactory().get("/readyz"))

    assert response.status_code == 503
    assert b'"redis": "failed: ConnectionError"' in response.content
    assert b'"database": "ok"' in response.content


def test_not_ready_with_a_migration_to_come(db):
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'accounts' AND name ="
            " (SELECT max(name) FROM django_migrations WHERE app = 'accounts')"
        )
    response = health.ready()

    assert response.status_code == 503
    assert b'"migrations": "failed: 1 unapplied"' in response.content


def test_not_ready_without_a_database(settings):
    """No `db` fixture: pytest-django refuses the connection, as a dead server would."""
    response = health.ready()

    assert response.status_code == 503
    assert b'"database": "failed: RuntimeError"' in response.content
