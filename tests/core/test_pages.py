"""A page finds its rows first and reads them then; numbers that are none lead to one that is."""

from __future__ import annotations

import pytest
from django.core.paginator import EmptyPage, PageNotAnInteger
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Organization
from core.pages import Pages
from tests.factories.accounts import OrganizationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def pages():
    Organization.objects.all().delete()
    for number in range(5):
        OrganizationFactory(name=f"org {number}")
    return Pages(Organization.objects.order_by("name", "pk"), 2)


def names(page):
    return [row.name for row in page]


def test_each_row_is_on_one_page(pages):
    assert [names(pages.page(number)) for number in (1, 2, 3)] == [
        ["org 0", "org 1"],
        ["org 2", "org 3"],
        ["org 4"],
    ]


def test_a_page_takes_two_queries_and_knows_how_many_there_are(pages):
    with CaptureQueriesContext(connection) as asked:
        page = pages.get_page("2")
        shown = names(page), page.paginator.count, page.paginator.num_pages, page.has_next()
    assert shown == (["org 2", "org 3"], 5, 3, True)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("number", "led_to"),
    [("x", 1), (None, 1), ("", 1), ("1.5", 1), ("4", 3), ("0", 3), ("-1", 3), ("9" * 30, 3)],
)
def test_what_is_no_page_leads_to_one(pages, number, led_to):
    assert pages.get_page(number).number == led_to


@pytest.mark.parametrize("number", ["4", "0", "-1", "9" * 30])
def test_a_strict_reader_is_refused_what_is_beyond_the_end(pages, number):
    with pytest.raises(EmptyPage):
        pages.page(number)


@pytest.mark.parametrize("number", ["x", "", None, 1.5])
def test_a_strict_reader_is_refused_what_is_no_number(pages, number):
    with pytest.raises(PageNotAnInteger):
        pages.page(number)


def test_an_empty_list_has_one_empty_page():
    page = Pages(Organization.objects.filter(name="none of this name"), 2).get_page("7")
    assert (names(page), page.number, page.paginator.count) == ([], 1, 0)
