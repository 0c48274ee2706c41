"""The fixture for tests whose threads must see each other's commits. Import both names into a conftest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

__all__ = ["committed_db", "triggers_back"]

TRUNCATE_TRIGGERS = """
SELECT t.tgrelid::regclass::text, quote_ident(t.tgname) FROM pg_trigger t
WHERE NOT t.tgisinternal AND t.tgtype & 32 > 0
"""


def _switch_truncate_triggers(word: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TRUNCATE_TRIGGERS)
        for table, trigger in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} {word} TRIGGER {trigger}")


@pytest.fixture
def triggers_back(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    yield
    with django_db_blocker.unblock():
        _switch_truncate_triggers("ENABLE")


@pytest.fixture
def committed_db(triggers_back: None, transactional_db: None) -> Iterator[None]:
    """Transactions really commit; afterwards all tables are emptied.

    Emptying is what the append-only tables refuse, so their triggers look away for that moment.
    """
    yield
    _switch_truncate_triggers("DISABLE")
