"""Rows of older versions survive the migrations that read them anew."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.factories.publishing import ProductPublishFactory

BEFORE, AFTER = ("publishing", "0007_index_of_secrets"), ("publishing", "0008_drift_as_data")


def migrated(*targets: tuple[str, str]):
    """The models as they are there. All of it happens within the test's transaction."""
    executor = MigrationExecutor(connection)
    return executor.migrate(list(targets)).apps


# Kind and note as they were; what is served and the note as they are now.
DRIFTS = [
    ("drifted", "serves revision 0a1b2c3d", "0a1b2c3d", ""),
    ("drifted", "does not serve it", "", ""),
    ("drifted", "serves revision 0a1b2c3d: bad\nregex", "0a1b2c3d", "bad\nregex"),
    ("drifted", "does not serve it: no port", "", "no port"),
    ("drifted", "", "", ""),
    ("drifted", "something else", "", "something else"),
    ("published", "does not serve it", "", "does not serve it"),
]


@pytest.mark.django_db
def test_a_drift_told_in_words_becomes_data():
    publish = ProductPublishFactory()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    events = migrated(BEFORE).get_model("publishing", "PublishEvent").objects
    rows = [
        events.create(publish_id=publish.pk, kind=kind, note=old)
        for kind, old, _served, _note in DRIFTS
    ]

    events = migrated(AFTER).get_model("publishing", "PublishEvent").objects

    found = [events.get(pk=row.pk) for row in rows]
    assert [(row.served, row.note) for row in found] == [
        (served, note) for _kind, _old, served, note in DRIFTS
    ]
