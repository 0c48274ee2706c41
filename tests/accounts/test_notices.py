"""Notices: one open for each topic and organization, read by each person for themselves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.urls import reverse
from django.utils import timezone, translation
from rest_framework.test import APIClient

from accounts import notices
from accounts.models import Notice, Role
from tests.factories.accounts import NoticeFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db
TEXT = "%(cluster)s is in maintenance: new publishes are refused, what is live keeps serving."


@pytest.fixture
def provider():
    return OrganizationFactory(provider=True)


@pytest.fixture
def reader(provider):
    return UserFactory(member_of=provider, role=Role.VIEWER)


def tell(*organizations, topic="t:1", **more):
    said = {"text": TEXT, "params": {"cluster": "kr-main"}} | more
    notices.tell(organization_ids=[row.pk for row in organizations], topic=topic, **said)


def test_each_organization_is_told_once(provider):
    other = OrganizationFactory(provider=True)
    tell(provider, other)
    tell(provider, params={"cluster": "kr-new"})

    assert Notice.objects.count() == 2
    assert provider.notices.get().words.startswith("kr-new is in maintenance")


def test_what_is_said_anew_is_unread_again(provider, reader):
    tell(provider)
    notices.mark_read(actor=reader, notice_id=provider.notices.get().pk)
    assert not provider.notices.unread_by(reader)

    tell(provider)

    assert provider.notices.unread_by(reader).get()


def test_an_ended_notice_stays_and_a_new_one_may_come(provider):
    tell(provider)
    notices.end(topic="t:1")
    tell(provider)

    assert provider.notices.count() == 2
    assert provider.notices.open().count() == 1


def test_one_that_is_past_its_end_is_not_open(provider):
    notice = NoticeFactory(organization=provider, until=timezone.now() - timedelta(seconds=1))
    assert notice.over
    assert not provider.notices.open()


def test_the_database_keeps_one_open_per_topic(provider):
    NoticeFactory(organization=provider, topic="t:1")
    with pytest.raises(IntegrityError, match="accounts_notice_one_open_per_topic"):
        NoticeFactory(organization=provider, topic="t:1")


def test_a_notice_is_told_in_the_readers_language(provider):
    tell(provider)
    with translation.override("ko"):
        assert "유지보수" in provider.notices.get().words


def test_every_page_shows_it_until_it_is_put_away(client, provider, reader):
    tell(provider, until=timezone.now() + timedelta(hours=2))
    notice = provider.notices.get()
    client.force_login(reader)
    page = client.get("/account/tokens").content.decode()
    assert "kr-main is in maintenance" in page

    answer = client.post(
        reverse("accounts:read_notice", args=[notice.pk]), {"next": "/account/tokens"}
    )

    assert answer["Location"] == "/account/tokens"
    assert "kr-main is in maintenance" not in client.get("/account/tokens").content.decode()
    assert "kr-main is in maintenance" in client.get("/notices").content.decode()


def test_a_partial_puts_it_away_in_place(client, provider, reader):
    tell(provider)
    client.force_login(reader)
    url = reverse("accounts:read_notice", args=[provider.notices.get().pk])
    answer = client.post(url, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.content) == (200, b"")


def test_somebody_elses_notice_does_not_exist(client, provider):
    tell(provider)
    client.force_login(UserFactory(member_of=OrganizationFactory(provider=True)))
    notice = provider.notices.get()
    assert client.post(reverse("accounts:read_notice", args=[notice.pk])).status_code == 404
    assert "kr-main" not in client.get("/notices").content.decode()


def test_no_notices_yet(client, reader):
    client.force_login(reader)
    assert "No notices" in client.get("/notices").content.decode()


def test_the_api_lists_and_marks_them(provider, reader):
    tell(provider, url="/provider/publishes")
    NoticeFactory(organization=provider, ended_at=timezone.now())
    api = APIClient()
    api.force_login(reader)

    def listed(query=""):
        return api.get(f"/api/v1/notices{query}").json()["data"]["items"]

    assert len(listed()) == 2
    [row] = listed("?over=false")
    assert (row["read"], row["over"], row["url"]) == (False, False, "/provider/publishes")
    assert len(listed("?over=true")) == 1

    answer = api.post(f"/api/v1/notices/{row['id']}/read").json()["data"]

    assert answer["read"] is True
    stranger = UserFactory(member_of=OrganizationFactory(provider=True))
    api.force_login(stranger)
    assert api.post(f"/api/v1/notices/{row['id']}/read").status_code == 404
