"""What a list cannot be narrowed to: said on the page; the API answers 400."""

from __future__ import annotations

from typing import Any

import django_filters
from django.utils.translation import gettext as _


class Flag(django_filters.TypedChoiceFilter):
    """?over=true or ?over=false. Anything else is refused; django-filter's own would ignore it."""

    def __init__(self, **options: Any) -> None:
        words = [("true", "true"), ("false", "false")]
        super().__init__(choices=words, coerce=lambda word: word == "true", **options)


def refused(filters: Any, orders: dict[str, Any] | None = None) -> list[str]:
    """Of a FilterSet and of ?order=: one sentence for each value that does not exist.

    Show them with components/unknown_filters.html: a list that silently ignores a filter lies.
    """
    said = [_sentence(name, filters.data.get(name, "")) for name in filters.form.errors]
    order = filters.data.get("order")
    if orders is not None and order and order not in orders:
        said.append(_sentence("order", order))
    return said


def _sentence(name: str, value: str) -> str:
    return _("There is no %(name)s “%(value)s”, so it narrows nothing here.") % {
        "name": name,
        "value": value[:80],
    }
