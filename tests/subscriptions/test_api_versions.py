"""Applications are edited, and plans changed, without overwriting what somebody else did meanwhile."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEvent
from tests.factories.subscriptions import ApplicationFactory, PlanFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
V1 = "/api/v1/customer"


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def url(application):
    return f"{V1}/applications/{application.pk}"


@pytest.fixture
def as_member(member):
    return client_of(member)


def test_an_application_is_renamed_and_the_rest_stays(as_member, application, url):
    application.description = "The web shop"
    application.save()

    answer = as_member.patch(url, {"name": "Store"})

    assert answer.status_code == 200
    assert answer.json()["data"]["name"] == "Store"
    assert answer.json()["data"]["description"] == "The web shop"
    event = AuditEvent.objects.get(action="application.update")
    assert (event.before["name"], event.after["name"]) == ("Shop", "Store")


def test_the_same_again_is_no_event(as_member, application, url):
    assert as_member.patch(url, {"name": "Shop"}).status_code == 200
    assert as_member.patch(url, {}).status_code == 200
    assert not AuditEvent.objects.filter(action="application.update").exists()


def test_a_taken_name_is_refused_at_its_field(as_member, application, url):
    ApplicationFactory(organization=application.organization, name="Store")
    answer = as_member.patch(url, {"name": "Store"})
    assert answer.status_code == 400
    assert "name" in answer.json()["error"]["details"]


def test_viewers_and_strangers_edit_no_application(viewer, stranger, application, url):
    assert client_of(viewer).patch(url, {"name": "Store"}).status_code == 403
    assert client_of(stranger).patch(url, {"name": "Store"}).status_code == 404
    application.refresh_from_db()
    assert application.name == "Shop"


def test_two_editors_of_an_application_do_not_overwrite_each_other(as_member, application, url):
    read = as_member.get(url)["ETag"]
    first = as_member.patch(url, {"name": "Store"}, headers={"If-Match": read})
    assert first.status_code == 200

    late = as_member.patch(url, {"description": "Mine"}, headers={"If-Match": read})
    assert late.status_code == 412
    assert late.json()["error"]["code"] == "stale"

    again = as_member.patch(url, {"description": "Mine"}, headers={"If-Match": first["ETag"]})
    assert again.status_code == 200


def test_a_plan_is_changed_from_the_one_that_was_read(as_member, application, plan):
    subscription = SubscriptionFactory(application=application, plan=plan, status="active")
    others = [PlanFactory(publish=plan.publish, name=name) for name in ("Silver", "Gold")]
    url = f"{V1}/subscriptions/{subscription.pk}"
    read = as_member.get(url)["ETag"]

    def change(plan, version):
        return as_member.put(
            f"{url}/plan", {"plan_id": str(plan.pk)}, headers={"If-Match": version}
        )

    changed = change(others[0], read)
    assert changed.status_code == 200
    assert change(others[1], read).status_code == 412
    subscription.refresh_from_db()
    assert subscription.plan == others[0]
    assert change(others[1], changed["ETag"]).status_code == 200
