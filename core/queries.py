"""Querysets that cost more to make than to ask."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import local
from typing import Any, TypeVar

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

Rows = TypeVar("Rows", bound=QuerySet[Any])


def prepared(make: Callable[[], Rows]) -> Callable[[], Rows]:
    """Makes it once in each thread; whoever calls gets a clone to narrow.

    Nothing in it may be of one request or moment: ask the database for the time. Threads do not share it,
    as Django counts references inside of its subqueries while it writes them as SQL.
    """
    made = local()

    @wraps(make)
    def clone() -> Rows:
        if not hasattr(made, "rows"):
            made.rows = make()
        return made.rows.all()

    return clone


def count(rows: Any, of: str) -> Coalesce:
    """How many of `rows` belong to the outer query's row, to which their field `of` leads. Never null."""
    return number(rows.filter(**{of: OuterRef("pk")}), of)


def number(rows: Any, by: str) -> Coalesce:
    """How many these are, which are narrowed already to one value of `by`. Never null."""
    found = rows.order_by().values(by).annotate(found=Count("*"))
    return Coalesce(Subquery(found.values("found")), 0)
