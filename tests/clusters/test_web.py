from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role
from clusters.models import Cluster
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
LIST = "/operator/clusters"


@pytest.fixture
def cluster(operator):
    return ClusterFactory(organization=operator, name="kr-main", active=True)


@pytest.fixture
def as_(client):
    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


def text(response) -> str:
    """What a person reads, without tags and runs of white space."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


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


def test_detail_links_a_publish_only_to_those_who_may_open_it(as_, admin, cluster, publish_on):
    publish = publish_on(cluster, status="PUBLISHED")
    link = reverse("publishing:detail", args=[publish.pk])
    client = as_(admin)

    assert link not in client.get(f"{LIST}/{cluster.pk}").content.decode()

    both = UserFactory(member_of=publish.organization)
    both.memberships.create(organization=cluster.organization, role=Role.ADMIN)
    assert link in as_(both).get(f"{LIST}/{cluster.pk}").content.decode()


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


# --- the form ---------------------------------------------------------------------------

FILLED = {
    "name": "kr-new",
    "region": "kr-central",
    "description": "Main",
    "cloud_provider": "AWS EKS",
    "labels_key": ["tier", ""],
    "labels_value": ["production", ""],
    "open_to_all": "True",
    "allowed_ports": "80, 8000 - 8999",
    "allowed_networks": "127.0.0.0/8\n10.0.0.0/8",
}


def test_form_full_page_and_for_whom(as_, member, viewer, stranger, cluster):
    for path in (f"{LIST}/new", f"{LIST}/{cluster.pk}/edit"):
        page = as_(member).get(path)
        assert page.status_code == 200
        assert "Kubernetes" in text(page)
        assert as_(viewer).get(path).status_code == 403
    assert as_(stranger).get(f"{LIST}/{cluster.pk}/edit").status_code == 404
    provider = UserFactory(member_of=OrganizationFactory(provider=True))
    assert as_(provider).get(f"{LIST}/new").status_code == 403


def test_register(as_, member, operator):
    response = as_(member).post(f"{LIST}/new", FILLED)

    cluster = Cluster.objects.get()
    assert response.status_code == 302
    assert response.url == f"{LIST}/{cluster.pk}"
    assert (cluster.name, cluster.organization) == ("kr-new", operator)
    assert cluster.labels == {"tier": "production"}
    assert cluster.allowed_ports == [80, 80, 8000, 8999]
    assert cluster.allowed_networks == ["10.0.0.0/8", "127.0.0.0/8"]


WRONG = [
    ({"name": "Foo_Bar"}, "not a valid name"),
    ({"name": "a" * 64}, "not a valid name"),
    ({"name": "kr-main"}, "already have a cluster named"),
    ({"name": ""}, "required"),
    ({"region": ""}, "required"),
    ({"allowed_ports": "80, many"}, "is not a port"),
    ({"allowed_networks": "10.0.0.1/8"}, "CIDR notation"),
    ({"labels_key": ["a b"], "labels_value": ["x"]}, "not a valid label key"),
    ({"labels_key": ["a", "a"], "labels_value": ["x", "y"]}, "is there twice"),
    ({"open_to_all": "perhaps"}, "valid choice"),
    ({"open_to": ["7"]}, "valid"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_register_says_what_is_wrong_and_keeps_what_was_typed(as_, member, cluster, wrong, said):
    response = as_(member).post(f"{LIST}/new", FILLED | wrong)

    assert response.status_code == 422
    assert said in text(response)
    page = response.content.decode()
    for value in (FILLED | wrong).values():
        if isinstance(value, str) and value not in {"", "True", "perhaps"}:
            assert value.replace("\n", " ") in page.replace("\n", " ")
    assert Cluster.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_label_rows_come_and_go_without_losing_input(as_, member, headers):
    client = as_(member)
    typed = FILLED | {"labels_key": ["tier", "team"], "labels_value": ["gold", "core"]}

    def rows(**button):
        page = client.post(f"{LIST}/new", typed | button, headers=headers)
        assert page.status_code == 200
        html = page.content.decode()
        assert ("<html" in html) is (not headers)
        assert headers or 'value="kr-new"' in html
        assert "ig-field-error" not in html
        return re.findall(r'name="labels_key" value="([^"]*)"', html)

    assert rows(add_label="1") == ["tier", "team", ""]
    assert rows(remove_label="0") == ["team"]
    assert rows(remove_label="9") == ["tier", "team"]
    assert rows(remove_label="x") == ["tier", "team"]
    assert not Cluster.objects.exists()


def test_edit_shows_what_is_there_and_saves(as_, member, operator):
    provider = OrganizationFactory(provider=True)
    cluster = ClusterFactory(
        organization=operator, labels={"a": "b"}, allowed_ports=[80, 80], open_to_all=False
    )
    client, path = as_(member), f"{LIST}/{cluster.pk}/edit"

    page = client.get(path).content.decode()
    assert f'value="{cluster.name}"' in page
    assert 'name="labels_key" value="a"' in page

    answer = client.post(path, FILLED | {"open_to_all": "False", "open_to": [str(provider.pk)]})
    assert answer.status_code == 302
    cluster.refresh_from_db()
    assert cluster.name == "kr-new"
    assert list(cluster.open_to.all()) == [provider]
    assert "settings are saved" in text(client.get(answer.url))


def test_edit_of_labels_keeps_the_page(as_, member, cluster):
    answer = as_(member).post(f"{LIST}/{cluster.pk}/edit", FILLED | {"add_label": "1"})
    assert answer.status_code == 200
    assert answer.content.decode().count('name="labels_key"') == 3


def test_enter_saves_and_never_removes_a_label(as_, member):
    page = as_(member).get(f"{LIST}/new").content.decode()
    form = page[page.index('id="cluster-form"') :]
    first = re.search(r"<button[^>]*>", form).group()
    assert "name=" not in first


# --- dialogs ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["maintenance", "delete"])
def test_dialogs_page_partial_and_for_whom(as_, admin, viewer, stranger, cluster, name):
    path = f"{LIST}/{cluster.pk}/{name}"

    page = as_(admin).get(path)
    assert "<html" in page.content.decode()
    assert "kr-main" in text(page)
    partial = as_(admin).get(path, headers=HTMX).content.decode()
    assert partial.lstrip().startswith("<dialog")
    assert "data-ig-open" in partial

    for method in ("get", "post"):
        assert getattr(as_(viewer), method)(path).status_code == 403
        assert getattr(as_(stranger), method)(path).status_code == 404


def test_maintenance_by_the_dialog(as_, member, cluster):
    client, path = as_(member), f"{LIST}/{cluster.pk}/maintenance"

    answer = client.post(path, {"reason": "Kernel", "lasts": "3600"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == f"{LIST}/{cluster.pk}"
    cluster.refresh_from_db()
    left = cluster.maintenance_until - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert cluster.maintenance_reason == "Kernel"

    assert client.post(path, {"end": "1"}).status_code == 302
    cluster.refresh_from_db()
    assert not cluster.maintained


@pytest.mark.parametrize("wrong", [{"lasts": "7"}, {"lasts": "0", "reason": "x" * 301}])
def test_maintenance_that_makes_no_sense(as_, member, cluster, wrong):
    answer = as_(member).post(f"{LIST}/{cluster.pk}/maintenance", wrong, headers=HTMX)
    assert answer.status_code == 422
    assert "<dialog" in answer.content.decode()
    cluster.refresh_from_db()
    assert not cluster.maintained


def test_delete_asks_for_the_name(as_, admin, operator):
    cluster = ClusterFactory(organization=operator, name="kr-old")
    client, path = as_(admin), f"{LIST}/{cluster.pk}/delete"

    wrong = client.post(path, {"name": "kr-new"}, headers=HTMX)
    assert wrong.status_code == 422
    assert "kr-new" in wrong.content.decode()
    assert Cluster.objects.exists()

    answer = client.post(path, {"name": "kr-old"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == LIST
    assert not Cluster.objects.exists()
    assert "kr-old is deleted" in text(client.get(LIST))


def test_delete_lists_what_is_in_the_way(as_, admin, cluster, publish_on):
    publish = publish_on(cluster)
    client, path = as_(admin), f"{LIST}/{cluster.pk}/delete"

    words = text(client.get(path))
    assert cluster.agents.get().name in words
    assert publish.product.name in words
    assert "Delete cluster" not in words

    answer = client.post(path, {"name": "kr-main"})
    assert answer.status_code == 422
    assert Cluster.objects.exists()


def test_delete_refused_by_a_withdrawn_publish_says_so(as_, admin, operator, publish_on):
    cluster = ClusterFactory(organization=operator)
    publish = publish_on(cluster, status="WITHDRAWN")
    answer = as_(admin).post(f"{LIST}/{cluster.pk}/delete", {"name": cluster.name})
    assert answer.status_code == 422
    assert f"still in use: {publish}" in text(answer)


def test_member_may_not_delete(as_, member, cluster):
    assert as_(member).get(f"{LIST}/{cluster.pk}/delete").status_code == 403


# --- joining ---------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_new_token_is_shown_this_once(as_, admin, cluster, headers):
    client, path = as_(admin), f"{LIST}/{cluster.pk}"

    answer = client.post(
        f"{path}/tokens", {"ttl_seconds": "28800", "max_uses": "2"}, headers=headers
    )

    token = cluster.registration_tokens.get()
    assert (answer.status_code, token.max_uses) == (200, 2)
    page = answer.content.decode()
    secret = re.search(rf"igr_{token.prefix}_[0-9a-f]+", page).group()
    assert f"--token {secret}" in page
    assert "no-store" in answer.headers["Cache-Control"]
    assert ("<html" in page) is (not headers)
    once = re.search(r'<div id="join-once"[^>]*>', page).group()
    assert "hx-preserve" not in once

    again = client.get(path, headers=HTMX).content.decode()
    assert secret not in again
    assert 'id="join-once" hx-preserve' in again


def test_a_bad_token_form_says_why(as_, admin, cluster):
    answer = as_(admin).post(
        f"{LIST}/{cluster.pk}/tokens", {"ttl_seconds": "3600", "max_uses": "0"}, headers=HTMX
    )
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not cluster.registration_tokens.exists()


def test_the_checklist_follows_the_rows(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator)
    cluster, client = token.cluster, as_(admin)
    cluster.state.desired_generation = 3
    cluster.state.save()

    def steps():
        page = client.get(f"{LIST}/{cluster.pk}", headers=HTMX).content.decode()
        listed = page[page.index("Progress of the join") :]
        listed = listed[: listed.index("</ol>")]
        return re.findall(r'class="ig-tl-i (\w*)"', listed)

    assert steps() == ["busy", "", "", "", ""]
    token.use_count, token.last_used_at = 1, timezone.now()
    token.save()
    agent = AgentFactory(cluster=cluster, name="agent-new")
    assert steps() == ["ok", "ok", "busy", "", ""]
    agent.connected_at = agent.last_heartbeat_at = timezone.now()
    agent.save()
    assert steps() == ["ok", "ok", "ok", "ok", "busy"]
    agent.last_error = "bind: address in use"
    agent.save()
    assert steps() == ["ok", "ok", "ok", "ok", "bad"]
    agent.last_error, agent.applied_generation = "", 3
    agent.save()
    assert steps() == ["ok"] * 5


def test_an_expired_token_says_so_and_old_news_is_gone(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator, expired=True)
    client, path = as_(admin), f"{LIST}/{token.cluster.pk}"
    assert "Token expired" in text(client.get(path))
    token.expires_at = timezone.now() - timedelta(hours=1)
    token.save()
    assert "Token expired" not in text(client.get(path))


def test_revoke_a_token(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator)
    client = as_(admin)

    answer = client.post(f"/operator/tokens/{token.pk}/revoke")

    assert answer.url == f"{LIST}/{token.cluster.pk}"
    token.refresh_from_db()
    assert token.revoked_at
    assert "token is revoked" in text(client.get(answer.url))


def test_revoke_a_spent_token_explains(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator, used=True)
    client = as_(admin)
    answer = client.post(f"/operator/tokens/{token.pk}/revoke")
    assert "nothing to revoke" in text(client.get(answer.url))


def test_revoke_an_agent_after_asking(as_, admin, cluster):
    agent, client = cluster.agents.get(), as_(admin)
    path = f"/operator/agents/{agent.pk}/revoke"

    assert f"Revoke {agent.name}?" in text(client.get(path))
    assert client.get(path, headers=HTMX).content.decode().lstrip().startswith("<dialog")
    answer = client.post(path, headers=HTMX)

    assert answer.headers["HX-Redirect"] == f"{LIST}/{cluster.pk}"
    agent.refresh_from_db()
    assert agent.revoked_at


def test_joining_and_revoking_is_for_admins_of_this_operator(
    as_, member, viewer, stranger, cluster
):
    token = RegistrationTokenFactory(cluster=cluster)
    paths = [
        f"{LIST}/{cluster.pk}/tokens",
        f"/operator/tokens/{token.pk}/revoke",
        f"/operator/agents/{cluster.agents.get().pk}/revoke",
    ]
    for path in paths:
        assert as_(member).post(path, {}).status_code == 403, path
        assert as_(viewer).post(path, {}).status_code == 403, path
        assert as_(stranger).post(path, {}).status_code == 404, path
