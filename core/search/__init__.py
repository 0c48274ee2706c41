"""Finds things by name or id among what the asker may see.

Each context answers for its own rows: settings.SEARCH_SOURCES names functions of the shape
`find(request, text) -> Group`. They read through `visible_to`, and show at most LIMIT rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.db.models.functions import Cast
from django.utils.module_loading import import_string

LIMIT = 6
LONGEST = 100
# Fewer digits of an id than these would match by accident.
SHORTEST_ID = 6


@dataclass(frozen=True, slots=True)
class Hit:
    id: str
    title: str
    detail: str
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    kind: str  # for programs
    label: Any
    icon: str
    hits: list[Hit]


def find(request: Any, text: str) -> list[Group]:
    """The groups that have something; none for an empty text but the pages of the menu."""
    text = text.strip()[:LONGEST].replace("\x00", "")
    groups = (import_string(source)(request, text) for source in settings.SEARCH_SOURCES)
    return [group for group in groups if group.hits]


def matching(rows: QuerySet, text: str, fields: Sequence[str]) -> QuerySet:
    """The first rows with the text in one of these fields, or whose id begins with it.

    Those whose first field is the text, or begins with it, come before the others.
    """
    if not text:
        return rows.none()
    wanted = Q()
    for field in fields:
        wanted |= Q(**{f"{field}__icontains": text})
    if len(text) >= SHORTEST_ID:
        rows = rows.annotate(id_as_text=Cast("pk", CharField()))
        wanted |= Q(id_as_text__startswith=text.lower())
    nearness = Case(
        When(**{f"{fields[0]}__iexact": text}, then=Value(0)),
        When(**{f"{fields[0]}__istartswith": text}, then=Value(1)),
        default=Value(2),
    )
    order = rows.query.order_by
    return rows.filter(wanted).annotate(nearness=nearness).order_by("nearness", *order)[:LIMIT]
