from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from clusters.models import Agent, ClusterState
from tests.clusters.conftest import HTMX, LIST, text
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db


# --- the list ------------------------------------------------------------


def test_list_full_page(as_, member, operator, cluster):
    ClusterFactory(name="not-mine")

    response = as_(member).get(LIST)

    assert response.status_code == 200
    page = response.content.decode()
    assert "<html" in page
    assert 'data-ig-socket="/ws/clusters"' in page
    assert "kr-main" in page
    assert "not-mine" not in page
    assert "Register cluster" in page
    assert "1 / 1" in text(response)


def test_list_partial_brings_rows_and_counts(as_, member, cluster):
    response = as_(member).get(f"{LIST}?status=active&search=kr", headers=HTMX)

    page = response.content.decode()
    assert "<html" not in page
    assert 'id="cluster-rows"' in page
    assert 'id="cluster-segments"' in page
    assert 'hx-swap-oob="true"' in page
    assert 'hx-get="/operator/clusters?status=active&amp;search=kr"' in page


def test_list_filters_searches_and_orders(as_, member, operator, cluster):
    ClusterFactory(organization=operator, name="us-lost", region="us", inactive=True)
    ClusterFactory(organization=operator, name="a-new", region="us")
    client = as_(member)

    def names(query):
        page = client.get(f"{LIST}?{query}", headers=HTMX).content.decode()
        return re.findall(r'class="ig-main"[^>]*>([^<]+)<', page)

    assert names("") == ["us-lost", "a-new", "kr-main"]
    assert names("order=name") == ["a-new", "kr-main", "us-lost"]
    assert names("order=newest") == ["a-new", "us-lost", "kr-main"]
    assert names("status=pending") == ["a-new"]
    assert names("region=us&status=inactive") == ["us-lost"]
    assert names("search=kr-") == ["kr-main"]
    assert names("status=broken&order=broken") == ["us-lost", "a-new", "kr-main"]
    assert names("search=%00&page=99") == ["us-lost", "a-new", "kr-main"]


def test_list_filters_by_label(as_, member, operator):
    ClusterFactory(organization=operator, name="a", labels={"tier": "production", "owner": "x"})
    ClusterFactory(organization=operator, name="b", labels={"tier": "test"})
    client = as_(member)

    def names(query):
        page = client.get(f"{LIST}?{query}", headers=HTMX).content.decode()
        return re.findall(r'class="ig-main"[^>]*>([^<]+)<', page)

    assert "tier=production" in client.get(LIST).content.decode()
    assert names("label=tier=production") == ["a"]
    assert names("label=tier") == ["a", "b"]
    assert names("label=tier=test&label=owner") == []
    assert names("label=nothing") == []


@pytest.mark.parametrize("query", ["status=broken", "region=atlantis", "order=broken"])
def test_list_says_what_does_not_exist(as_, member, cluster, query):
    name, value = query.split("=")
    assert f"There is no {name} “{value}”" in text(as_(member).get(f"{LIST}?{query}"))


def test_list_pages(as_, member, operator):
    for number in range(26):
        ClusterFactory(organization=operator, name=f"c-{number:02}")
    client = as_(member)

    first, second = client.get(f"{LIST}?order=name"), client.get(f"{LIST}?order=name&page=2")

    assert "1–25 of 26" in text(first)
    assert "order=name&amp;page=2" in first.content.decode()
    assert "c-25" in text(second)


def test_list_tells_how_to_begin(as_, member, viewer):
    begin = as_(member).get(LIST).content.decode()
    assert "No clusters yet" in begin
    assert reverse("clusters:new") in begin

    assert reverse("clusters:new") not in as_(viewer).get(LIST).content.decode()


def test_list_that_filters_emptied(as_, member, cluster):
    page = text(as_(member).get(f"{LIST}?search=tokio"))
    assert "No cluster matches" in page
    assert "tokio" in page
    assert "Clear filters" in page


def test_list_in_another_kind_of_organization(as_):
    provider = OrganizationFactory(provider=True)
    page = text(as_(UserFactory(member_of=provider)).get(LIST))
    assert "belong to operator organizations" in page
    assert "Register cluster" not in page


def test_list_needs_to_sign_in(client):
    assert client.get(LIST).status_code == 302


ROWS = [
    ({"inactive": True}, "No agent is connected"),
    ({"maintenance": True}, "Kernel upgrade"),
    ({}, "No agent has joined yet"),
    ({"active": True, "agent__last_error": "cds: bad cluster"}, "cds: bad cluster"),
]


@pytest.mark.parametrize(("traits", "note"), ROWS)
def test_list_rows_say_what_needs_attention(as_, member, operator, traits, note):
    ClusterFactory(organization=operator, **traits)
    assert note in text(as_(member).get(LIST))


def test_list_says_that_a_token_waits(as_, member, operator):
    RegistrationTokenFactory(cluster__organization=operator)
    assert "token is not used yet" in text(as_(member).get(LIST))


# --- the page of one ------------------------------------------------------------


def test_detail_full_page(as_, admin, cluster, publish_on):
    publish_on(cluster, product="Payment API", status="PUBLISHED")
    publish_on(cluster, product="Secret draft")
    cluster.labels = {"tier": "production"}
    cluster.allowed_ports = [80, 80, 8000, 8999]
    cluster.save()

    response = as_(admin).get(f"{LIST}/{cluster.pk}")

    page, words = response.content.decode(), text(response)
    assert f'data-ig-socket="/ws/clusters/{cluster.pk}"' in page
    for said in ("kr-main", "Active", "Payment API", "api-key", "tier=production", "8000-8999"):
        assert said in words
    assert cluster.agents.get().name in words
    assert "Secret draft" not in words
    assert "Create token" in words


def test_detail_partial(as_, member, cluster):
    page = as_(member).get(f"{LIST}/{cluster.pk}", headers=HTMX).content.decode()
    assert page.lstrip().startswith("<div")
    assert 'id="cluster-live"' in page
    assert "<html" not in page


def test_detail_of_a_stranger_does_not_exist(as_, stranger, cluster):
    assert as_(stranger).get(f"{LIST}/{cluster.pk}").status_code == 404


def test_detail_offers_a_viewer_nothing_to_do(as_, viewer, cluster):
    page = as_(viewer).get(f"{LIST}/{cluster.pk}").content.decode()
    live = page[page.index('id="cluster-live"') :]
    assert 'method="post"' not in live
    for name in ("edit", "maintenance", "delete"):
        assert reverse(f"clusters:{name}", args=[cluster.pk]) not in page


def test_detail_offers_a_member_neither_tokens_nor_deletion(as_, member, cluster):
    page = as_(member).get(f"{LIST}/{cluster.pk}").content.decode()
    assert reverse("clusters:edit", args=[cluster.pk]) in page
    assert reverse("clusters:delete", args=[cluster.pk]) not in page
    assert "Create token" not in page
    assert "Revoke" not in page


def test_detail_links_what_runs_here(as_, viewer, cluster, publish_on):
    publish = publish_on(cluster, status="PUBLISHED")
    link = reverse("publishing:operated", args=[publish.pk])
    client = as_(viewer)

    assert link in client.get(f"{LIST}/{cluster.pk}").content.decode()
    assert client.get(link).status_code == 200


def test_detail_shows_the_gateways_own_words(as_, member, operator):
    cluster = ClusterFactory(
        organization=operator, active=True, agent__last_error="route <x>: no such cluster"
    )
    page = as_(member).get(f"{LIST}/{cluster.pk}").content.decode()
    assert "route &lt;x&gt;: no such cluster" in page


def test_detail_in_maintenance_says_why_and_until_when(as_, member, operator):
    cluster = ClusterFactory(
        organization=operator,
        maintenance=True,
        maintenance_until=timezone.now() + timedelta(hours=2),
    )
    words = text(as_(member).get(f"{LIST}/{cluster.pk}"))
    assert "In maintenance." in words
    assert "Kernel upgrade" in words
    assert "End maintenance" in words


@pytest.mark.parametrize("url", ["list", "detail"])
def test_the_number_of_queries_does_not_grow(
    as_, admin, operator, publish_on, url, django_assert_max_num_queries
):
    for number in range(10):
        cluster = ClusterFactory(organization=operator, active=True)
        AgentFactory.create_batch(4, cluster=cluster, live=True)
        RegistrationTokenFactory(cluster=cluster)
        publish_on(cluster, product=f"P{number}", status="PUBLISHED")
        publish_on(cluster, product=f"Q{number}", status="PUBLISHED")
    client = as_(admin)
    path = LIST if url == "list" else f"{LIST}/{cluster.pk}"

    with django_assert_max_num_queries(12):
        assert client.get(path).status_code == 200


def test_only_what_is_live_is_on_its_way(as_, viewer, operator):
    cluster = ClusterFactory(organization=operator, name="kr-lost")
    ClusterState.objects.filter(cluster=cluster).update(desired_generation=5)
    agent = AgentFactory(cluster=cluster, stale=True, applied_generation=4)
    client = as_(viewer)

    def turning(path):
        return "icon-spin" in client.get(path).content.decode()

    pages = [LIST, f"{LIST}/{cluster.pk}", "/operator/agents"]
    assert [turning(path) for path in pages] == [False, False, False]
    Agent.objects.filter(pk=agent.pk).update(last_heartbeat_at=timezone.now(), disconnected_at=None)
    assert [turning(path) for path in pages] == [True, True, True]
