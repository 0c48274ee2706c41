"""What a list cannot be narrowed to: said on the page; the API answers 400."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import django_filters
from django.db.models import Choices, Count
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.pages import page_of, terms

# What the lists are narrowed by, as their pages call it.
NAMES = {
    "category": gettext_lazy("category"),
    "cluster_id": gettext_lazy("cluster"),
    "environment": gettext_lazy("environment"),
    "in_sync": gettext_lazy("state of sync"),
    "kind": gettext_lazy("kind"),
    "label": gettext_lazy("label"),
    "order": gettext_lazy("order"),
    "product_id": gettext_lazy("product"),
    "product_publish_id": gettext_lazy("publish"),
    "region": gettext_lazy("region"),
    "search": gettext_lazy("search"),
    "status": gettext_lazy("status"),
    "version": gettext_lazy("version"),
}


class Flag(django_filters.TypedChoiceFilter):
    """?over=true or ?over=false. Anything else is refused; django-filter's own would ignore it."""

    def __init__(self, **options: Any) -> None:
        words = [("true", "true"), ("false", "false")]
        super().__init__(choices=words, coerce=lambda word: word == "true", **options)


def listing(
    request: HttpRequest,
    chosen: Any,
    orders: dict[str, tuple[Any, list[str]]] | None = None,
    *,
    besides: str = "",
) -> dict[str, Any]:
    """What each page of a list shows of `chosen`, a FilterSet; `besides` is left out of the pages' links.

    `orders`: by the word in ?order=, its label and terms. The first holds unless another is asked for.
    """
    rows = chosen.qs
    asked = chosen.form.cleaned_data  # there is none before .qs has looked
    context: dict[str, Any] = {
        "asked": asked,
        "narrowed": any(value not in (None, "", []) for value in asked.values()),
        "refused": refused(chosen, orders),
        "query": terms(request, "page", besides),
    }
    if orders:
        order = request.GET.get("order", "")
        order = order if order in orders else next(iter(orders))
        rows = rows.order_by(*orders[order][1])
        context["order"] = order
        context["orders"] = [(word, label) for word, (label, _terms) in orders.items()]
    return context | {"page": page_of(request, rows)}


def segments(
    request: HttpRequest, chosen: Any, rows: Any, statuses: Iterable[Choices], *, besides: str = ""
) -> list[dict[str, Any]]:
    """How many of each status the other filters of `chosen`, a FilterSet that has looked, leave of `rows`.

    `besides` is left out of the links.
    """
    others = request.GET.copy()
    for name in ("status", "page", besides):
        others.pop(name, None)
    for name, value in chosen.form.cleaned_data.items():
        if name != "status":
            rows = chosen.filters[name].filter(rows, value)
    counts = dict(rows.order_by().values_list("status").annotate(Count("pk")))
    statuses = list(statuses)
    chosen = request.GET.get("status", "")

    def segment(value: str, label: Any, count: int) -> dict[str, Any]:
        query = others.copy()
        if value:
            query["status"] = value
        return {
            "id": f"segment-{value or 'all'}",
            "label": label,
            "count": count,
            "url": f"?{query.urlencode()}",
            "current": value == (chosen if chosen in statuses else ""),
        }

    return [
        segment("", _("All"), sum(counts.values())),
        *(segment(status, status.label, counts.get(status, 0)) for status in statuses),
    ]


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
        "name": NAMES.get(name, name),
        "value": value[:80],
    }
