"""The pages of a publish's plans."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from subscriptions.models import Plan, Subscription
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def browser(client, provider_member):
    client.force_login(provider_member)
    return client


def url(publish, verb=""):
    return f"/provider/publishes/{publish.pk}/plans{verb}"


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def body(**more):
    return {"name": "Basic", "price": "29", "currency": "usd", "rate_per_minute": "100"} | more


def test_the_list_says_what_each_costs_and_allows(browser, publish):
    plan = PlanFactory(publish=publish, name="Basic", price=29, quota_per_day=10_000)
    PlanFactory(publish=publish, name="Trial", rate_per_minute=None)
    SubscriptionFactory(plan=plan)

    page = text(browser.get(url(publish)))

    assert "29 USD a month" in page
    assert "10,000 calls a day" in page
    assert "100 calls a minute" in page
    assert "Free" in page
    assert "no rate limit" in page
    part = browser.get(url(publish), headers=HTMX).content.decode()
    assert part.strip().startswith('<section class="ig-card" id="plan-rows"')


def test_no_plan_yet(browser, publish):
    assert "Consumers can subscribe once there is one." in text(browser.get(url(publish)))


def test_adding_one(browser, publish):
    response = browser.post(url(publish, "/new"), body(approval="yes"))

    plan = Plan.objects.get()
    assert response["Location"] == url(publish)
    assert (plan.price, plan.currency, plan.quota_per_day) == (Decimal(29), "USD", None)
    assert (plan.rate_per_minute, plan.approval_required) == (100, True)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"price": "-1"}, "price"),
        ({"price": "1.999"}, "price"),
        ({"currency": "won!"}, "currency"),
        ({"rate_per_minute": "0"}, "rate_per_minute"),
        ({"quota_per_day": "many"}, "quota_per_day"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(browser, publish, wrong, field):
    response = browser.post(url(publish, "/new"), body(**wrong))

    assert response.status_code == 422
    assert f'id="id_{field}_error"' in response.content.decode()
    assert not Plan.objects.exists()


def test_changing_one_starts_from_what_it_is(browser, publish):
    plan = PlanFactory(publish=publish, name="Basic", approval_required=False)
    address = f"/provider/plans/{plan.pk}/edit"

    assert '<option value="no" selected>' in browser.get(address).content.decode()
    browser.post(address, body(rate_per_minute="", approval=""))

    plan.refresh_from_db()
    assert (plan.rate_per_minute, plan.approval_required) == (None, None)


def test_removing_one_asks_and_refuses_while_it_is_used(client, provider_admin, publish):
    client.force_login(provider_admin)
    plan = PlanFactory(publish=publish, name="Basic")
    SubscriptionFactory(plan=plan)
    address = f"/provider/plans/{plan.pk}/delete"

    assert "1 subscription is on it" in text(client.get(address))
    assert client.post(address).status_code == 422

    Subscription.objects.update(status="cancelled")
    assert "Remove “Basic”?" in text(client.get(address, headers=HTMX))
    assert client.post(address)["Location"] == url(publish)
    assert not Plan.objects.exists()


def test_a_stranger_finds_nothing(client, stranger, publish):
    client.force_login(stranger)
    plan = PlanFactory(publish=publish)

    for address in (
        url(publish),
        url(publish, "/new"),
        f"/provider/plans/{plan.pk}/edit",
        f"/provider/plans/{plan.pk}/delete",
    ):
        assert client.get(address).status_code == 404


def test_a_viewer_reads_and_changes_nothing(client, provider_viewer, publish):
    client.force_login(provider_viewer)
    plan = PlanFactory(publish=publish)

    assert "Add plan" not in text(client.get(url(publish)))
    assert client.post(url(publish, "/new"), body()).status_code == 403
    assert client.post(f"/provider/plans/{plan.pk}/edit", body()).status_code == 403
    assert client.post(f"/provider/plans/{plan.pk}/delete").status_code == 403


def test_two_editors_do_not_overwrite_each_other(browser, publish):
    plan = PlanFactory(publish=publish)
    address = f"/provider/plans/{plan.pk}/edit"
    seen = browser.get(address).context["seen"]
    browser.post(address, body(seen=seen, name="Theirs", approval="yes"))

    stale = browser.post(address, body(seen=seen, name="Mine", approval="no"))

    assert stale.status_code == 422
    for words in ("Somebody else changed this", "Name: Theirs", "We approve each one"):
        assert words in text(stale)
    assert 'value="Mine"' in stale.content.decode()
    plan.refresh_from_db()
    assert plan.name == "Theirs"
    again = body(seen=stale.context["seen"], name="Mine")
    assert browser.post(address, again).status_code == 302
