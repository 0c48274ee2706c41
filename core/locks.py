"""Row locks that the ORM has no word for."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.db.models import Model
from psycopg import sql

HOLD = sql.SQL("SELECT 1 FROM {} WHERE {} = %s FOR KEY SHARE")


def hold(model: type[Model], pk: Any) -> None:
    """The row stays until this transaction ends: for whoever is about to refer to it. Raises DoesNotExist.

    Edits go on meanwhile; a deletion waits, and then sees the reference. Without it, foreign keys are checked
    only at the commit, where nobody can tell the caller what happened.
    """
    names = (sql.Identifier(model._meta.db_table), sql.Identifier(model._meta.pk.column))
    with connection.cursor() as cursor:
        cursor.execute(HOLD.format(*names), [pk])
        if cursor.fetchone() is None:
            raise model.DoesNotExist
