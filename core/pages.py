"""Pages of long lists."""

from __future__ import annotations

from typing import Any

from django.core.paginator import EmptyPage, Page, PageNotAnInteger, Paginator
from django.db.models import Count, QuerySet, Window
from django.http import HttpRequest

PAGE_SIZE = 25
FAR = 10_000  # a page number that is checked against the count before anything is looked up


class Pages(Paginator):
    """Finds which rows are on a page, and how many there are in all, before it reads what a row shows.

    The database would otherwise join, annotate and sort all rows to show twenty-five.
    """

    def get_page(self, number: Any) -> Page:
        try:
            return self.page(number)
        except PageNotAnInteger:
            return self.page(1)
        except EmptyPage:
            return self.page(self.num_pages)

    def page(self, number: Any) -> Page:
        wanted = self._whole(number)
        start = (wanted - 1) * self.per_page
        keys = self._keys(start) if 0 < wanted < FAR else []
        if not keys:
            wanted = self.validate_number(wanted)
        return self._get_page(self._read(keys), wanted, self)

    def _keys(self, start: int) -> list[Any]:
        counted = self.object_list.annotate(of_all=Window(Count("*")))
        found = list(counted.values_list("pk", "of_all")[start : start + self.per_page])
        if found:
            self.count = found[0][1]
        return [key for key, _count in found]

    def _read(self, keys: list[Any]) -> list[Any]:
        """In the order of the keys, so that the database need not work it out again."""
        found = {row.pk: row for row in self.object_list.filter(pk__in=keys).order_by()}
        return [found[key] for key in keys if key in found]

    def _whole(self, number: Any) -> int:
        try:
            if isinstance(number, float) and not number.is_integer():
                raise ValueError
            return int(number)
        except (TypeError, ValueError):
            raise PageNotAnInteger(self.error_messages["invalid_page"]) from None


def page_of(request: HttpRequest, rows: QuerySet, size: int = PAGE_SIZE) -> Page:
    """The one that ?page= asks for, or the nearest to it."""
    return Pages(rows, size).get_page(request.GET.get("page"))


def terms(request: HttpRequest, *without: str) -> str:
    """What a list was asked for, in front of what a link adds to it."""
    query = request.GET.copy()
    for name in without:
        query.pop(name, None)
    return f"{query.urlencode()}&" if query else ""
