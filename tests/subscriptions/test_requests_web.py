"""The list of subscriptions and what a provider says to them: one or many, each answered by itself."""

from __future__ import annotations

import re

import pytest

from subscriptions.states import Status
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.subscriptions import ApplicationFactory, PlanFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
LIST = "/provider/subscriptions"


@pytest.fixture
def browser(client, provider_member):
    client.force_login(provider_member)
    return client


@pytest.fixture
def waiting(plan):
    return SubscriptionFactory(plan=plan, pending=True)


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def status(*rows) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [row.status for row in rows]


def consumers(response) -> list[str]:
    return re.findall(r'class="ig-main">([^<]+)</span>', response.content.decode())


# --- the list ----------------------------------------------------------------


def test_the_list_shows_who_asks_for_what(browser, waiting, plan):
    SubscriptionFactory(pending=True)  # of another provider

    page = browser.get(LIST)

    assert 'data-ig-socket="/ws/subscriptions"' in page.content.decode()
    assert consumers(page) == [str(waiting.application.organization)]
    assert str(plan.publish.product) in text(page)
    assert "Approve selected" in text(page)


def test_a_partial_is_the_rows_and_the_counts(browser, waiting):
    page = browser.get(LIST, headers=HTMX).content.decode()

    assert page.strip().startswith('<div class="ig-stack" id="request-rows"')
    assert 'id="request-segments"' in page


def test_what_is_ticked_stays_so_when_the_list_reads_itself_again(browser, waiting, plan):
    other = SubscriptionFactory(plan=plan, pending=True)

    page = browser.get(f"{LIST}?status=pending&ids={waiting.pk}", headers=HTMX).content.decode()

    assert re.search(rf'value="{waiting.pk}" checked', page)
    assert not re.search(rf'value="{other.pk}" checked', page)
    assert 'hx-get="/provider/subscriptions?status=pending"' in page


def test_status_product_search_and_order_narrow(browser, plan):
    shop = OrganizationFactory(consumer=True, name="Aurora")
    SubscriptionFactory(plan=plan, application__organization=shop)
    SubscriptionFactory(plan=plan, pending=True, application__organization__name="Lumen")

    assert consumers(browser.get(LIST)) == ["Lumen", "Aurora"]
    assert consumers(browser.get(f"{LIST}?order=consumer")) == ["Aurora", "Lumen"]
    assert consumers(browser.get(f"{LIST}?status=active")) == ["Aurora"]
    assert consumers(browser.get(f"{LIST}?search=lum")) == ["Lumen"]
    assert len(consumers(browser.get(f"{LIST}?product_id={plan.publish.product_id}"))) == 2
    assert "There is no status “odd”" in text(browser.get(f"{LIST}?status=odd"))
    assert "No subscription matches" in text(browser.get(f"{LIST}?status=rejected"))


def test_no_open_request_is_good_news(browser, plan):
    SubscriptionFactory(plan=plan)

    assert "No request waits for you." in text(browser.get(f"{LIST}?status=pending"))


def test_nobody_yet_says_what_to_do(browser):
    assert "Nobody has subscribed yet" in text(browser.get(LIST))


@pytest.mark.parametrize("count", [10, 200])
def test_queries_do_not_grow(browser, plan, count, django_assert_max_num_queries):
    consumer = OrganizationFactory(consumer=True)
    for application in ApplicationFactory.create_batch(count, organization=consumer):
        SubscriptionFactory(plan=plan, application=application, pending=True)

    with django_assert_max_num_queries(12):
        browser.get(LIST)


def test_the_menu_counts_what_waits(browser, waiting, plan):
    SubscriptionFactory(plan=plan)

    page = browser.get(LIST).content.decode()

    entry = re.search(r'href="/provider/subscriptions"[^>]*>(.*?)</a>', page, re.DOTALL)
    assert re.search(r">1<", entry[1])


# --- deciding ----------------------------------------------------------------


def test_one_is_approved_by_its_own_button(browser, waiting, plan):
    ticked = SubscriptionFactory(plan=plan, pending=True)

    response = browser.post(
        f"{LIST}/approve", {"only": waiting.pk, "ids": [ticked.pk], "back": "status=pending"}
    )

    assert response["Location"] == f"{LIST}?status=pending"
    assert status(waiting, ticked) == [Status.ACTIVE, Status.PENDING]
    assert "1 request is approved." in text(browser.get(LIST))


def test_many_are_approved_and_the_others_are_named(browser, plan):
    rows = [SubscriptionFactory(plan=plan, pending=True) for _ in range(3)]
    late = SubscriptionFactory(plan=plan, cancelled=True)
    foreign = SubscriptionFactory(pending=True)

    browser.post(f"{LIST}/approve", {"ids": [row.pk for row in [*rows, late, foreign]]})

    page = text(browser.get(LIST))
    assert status(*rows, late, foreign) == ["active"] * 3 + ["cancelled", "pending"]
    assert "3 requests are approved." in page
    assert f"{late.application}: A subscription cannot move from cancelled to active." in page


def test_nothing_chosen_is_said(browser):
    assert browser.post(f"{LIST}/approve").status_code == 302
    assert "Choose at least one subscription." in text(browser.get(LIST))


def test_rejecting_asks_for_a_reason_first(browser, waiting, plan):
    other = SubscriptionFactory(plan=plan, pending=True)
    ids = [waiting.pk, other.pk]

    asked = browser.post(f"{LIST}/reject", {"ids": ids})
    dialog = browser.post(f"{LIST}/reject", {"ids": ids}, headers=HTMX)
    empty = browser.post(f"{LIST}/reject", {"ids": ids, "reason": " "})

    assert "Reject 2 requests?" in text(asked)
    assert "<dialog" in dialog.content.decode()
    assert empty.status_code == 422
    assert status(waiting, other) == ["pending", "pending"]

    browser.post(f"{LIST}/reject", {"ids": ids, "reason": "No contract"})

    assert status(waiting, other) == ["rejected", "rejected"]
    assert waiting.reason == "No contract"


def test_suspend_and_resume(browser, plan):
    row = SubscriptionFactory(plan=plan)

    assert "Suspend this subscription?" in text(browser.get(f"{LIST}/suspend?only={row.pk}"))
    browser.post(f"{LIST}/suspend", {"ids": [row.pk], "reason": "Unpaid"})
    assert status(row) == ["suspended"]
    assert "“Unpaid”" in text(browser.get(LIST))

    browser.post(f"{LIST}/resume", {"only": row.pk})
    assert status(row) == ["active"]


def test_a_decision_from_the_dialog_leads_back(browser, waiting):
    response = browser.post(
        f"{LIST}/reject", {"ids": [waiting.pk], "reason": "x", "back": "page=2"}, headers=HTMX
    )

    assert response["HX-Redirect"] == f"{LIST}?page=2"


def test_a_viewer_reads_and_decides_nothing(client, provider_viewer, waiting):
    client.force_login(provider_viewer)

    page = client.get(LIST)
    assert "Approve" not in text(page)
    for verb in ("approve", "reject", "suspend", "resume"):
        sent = client.post(f"{LIST}/{verb}", {"ids": [waiting.pk], "reason": "x"})
        assert sent.status_code == 403
    assert status(waiting) == ["pending"]


def test_a_consumer_is_told_where_this_belongs(client, member):
    client.force_login(member)

    assert "Switch to a provider organization" in text(client.get(LIST))
    assert client.post(f"{LIST}/approve").status_code == 403


# --- the REST twin -----------------------------------------------------------


def test_many_over_rest_each_with_its_answer(client, provider_member, waiting, plan):
    client.force_login(provider_member)
    active, foreign = SubscriptionFactory(plan=plan), SubscriptionFactory(pending=True)
    ids = [str(row.pk) for row in (waiting, active, foreign)]

    answer = client.post(
        f"/api/v1{LIST}/approve", {"ids": ids}, content_type="application/json"
    ).json()["data"]

    assert (answer["done"], answer["refused"]) == (1, 2)
    assert [(row["id"], row["ok"], row["code"]) for row in answer["results"]] == [
        (ids[0], True, ""),
        (ids[1], False, "invalid_state"),
        (ids[2], False, "not_found"),
    ]
    assert answer["results"][0]["subscription"]["status"] == "active"


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": "x"}])
def test_what_is_no_list_of_ids_is_a_400(client, provider_member, body):
    client.force_login(provider_member)

    answer = client.post(f"/api/v1{LIST}/approve", body, content_type="application/json")

    assert answer.status_code == 400
    assert "ids" in answer.json()["error"]["details"]


def test_a_viewer_of_one_of_them_changes_none(client, waiting, plan):
    """Somebody who works for one provider and only looks at another."""
    other = SubscriptionFactory(pending=True)
    actor = UserFactory(member_of=waiting.publish.organization)
    MembershipFactory(user=actor, organization=other.publish.organization, role="viewer")
    client.force_login(actor)

    answer = client.post(
        f"/api/v1{LIST}/approve",
        {"ids": [str(waiting.pk), str(other.pk)]},
        content_type="application/json",
    )

    assert answer.status_code == 403
    assert status(waiting, other) == ["pending", "pending"]


def test_one_plan_narrows(browser, plan):
    SubscriptionFactory(plan=plan)
    SubscriptionFactory(plan=PlanFactory(publish=plan.publish))

    assert len(consumers(browser.get(f"{LIST}?plan_id={plan.pk}"))) == 1
