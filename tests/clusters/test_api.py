from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import Role
from clusters.models import Cluster, RegistrationToken
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db
CLUSTERS = "/api/v1/operator/clusters"
SPEC_FIELDS = {
    "id",
    "operator_tenant_id",
    "name",
    "description",
    "region",
    "status",
    "metadata",
    "agent_count",
    "active_agent_count",
    "last_heartbeat",
    "created_at",
    "updated_at",
}


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def as_member(member):
    return client_of(member)


@pytest.fixture
def as_admin(admin):
    return client_of(admin)


def data(response, status=200):
    assert response.status_code == status, response.content
    return response.json()["data"]


def error(response, status):
    assert response.status_code == status, response.content
    return response.json()["error"]


# --- clusters: happy paths ------------------------------------------------------------


def test_create_answers_with_the_specs_names(as_member, operator):
    provider = OrganizationFactory(provider=True)
    body = {
        "name": "kr-central-main",
        "region": "kr-central",
        "description": "Main",
        "metadata": {"tier": "production"},
        "allowed_ports": [80, "8000-8999"],
        "allowed_networks": ["127.0.0.0/8"],
        "trusted_hops": 1,
        "open_to_all": False,
        "open_to": [str(provider.pk)],
    }

    made = data(as_member.post(CLUSTERS, body), 201)

    assert set(made) >= SPEC_FIELDS
    assert {name: made[name] for name in body} == body
    assert made["status"] == "pending"
    assert made["operator_tenant_id"] == str(operator.pk)
    assert (made["agent_count"], made["last_heartbeat"], made["agents"]) == (0, None, [])
    assert Cluster.objects.get(pk=made["id"]).organization == operator


def test_create_in_the_organization_that_the_header_names(admin, operator):
    second = MembershipFactory(user=admin, role=Role.MEMBER).organization
    client = client_of(admin)
    body = {"name": "kr-main", "region": "kr"}

    made = data(client.post(CLUSTERS, body, headers={"X-Organization": str(second.pk)}), 201)

    assert made["operator_tenant_id"] == str(second.pk)


def test_list_pages_filters_and_orders(as_member, operator, cluster):
    ClusterFactory(organization=operator, name="us-east", region="us", labels={"tier": "edge"})
    ClusterFactory(name="not-mine")

    def names(query):
        return [row["name"] for row in data(as_member.get(f"{CLUSTERS}?{query}"))["items"]]

    assert names("") == ["kr-main", "us-east"]
    assert names("ordering=-name") == ["us-east", "kr-main"]
    assert names("ordering=-active_agent_count") == ["kr-main", "us-east"]
    assert names("status=pending") == ["us-east"]
    assert names("region=us") == ["us-east"]
    assert names("search=EDGE") == ["us-east"]
    assert names("search=kr-m") == ["kr-main"]
    page = data(as_member.get(f"{CLUSTERS}?page_size=1&page=2"))
    assert (page["total"], page["pages"], page["items"][0]["name"]) == (2, 2, "us-east")


def test_read_with_agents_but_never_their_secrets(as_member, cluster):
    AgentFactory(cluster=cluster, revoked=True)

    shown = data(as_member.get(f"{CLUSTERS}/{cluster.pk}"))

    assert (shown["status"], shown["active_agent_count"]) == ("active", 1)
    assert shown["capabilities"] == ["envoy"]
    [agent] = shown["agents"]
    assert (agent["status"], agent["capabilities"]) == ("active", ["envoy"])
    assert not {"public_key", "rest_token_digest"} & set(agent)


def test_put_replaces(as_member, cluster):
    body = {"name": "kr-new", "region": "kr-south"}

    shown = data(as_member.put(f"{CLUSTERS}/{cluster.pk}", body))

    assert (shown["name"], shown["region"], shown["metadata"]) == ("kr-new", "kr-south", {})


def test_maintenance_on_and_off(as_member, cluster):
    url = f"{CLUSTERS}/{cluster.pk}/maintenance"
    until = (timezone.now() + timedelta(hours=1)).isoformat()

    on = data(as_member.post(url, {"enabled": True, "reason": "Kernel", "until": until}))
    assert on["status"] == "maintenance"
    assert (on["maintenance"]["enabled"], on["maintenance"]["reason"]) == (True, "Kernel")

    off = data(as_member.post(url, {"enabled": False}))
    assert (off["status"], off["maintenance"]["since"]) == ("active", None)


def test_delete(as_admin, operator):
    cluster = ClusterFactory(organization=operator)
    assert as_admin.delete(f"{CLUSTERS}/{cluster.pk}").status_code == 204
    assert error(as_admin.get(f"{CLUSTERS}/{cluster.pk}"), 404)["code"] == "not_found"


def test_delete_in_use_names_what_is_in_the_way(as_admin, cluster, publish_on):
    publish = publish_on(cluster)
    agent = cluster.agents.get()

    refusal = error(as_admin.delete(f"{CLUSTERS}/{cluster.pk}"), 409)

    assert refusal["code"] == "cluster_in_use"
    assert agent.name in refusal["message"]
    assert str(publish) in refusal["message"]
    assert refusal["details"]["agents"] == [{"id": str(agent.pk), "name": agent.name}]
    assert refusal["details"]["publishes"][0]["id"] == str(publish.pk)


def test_the_number_of_queries_does_not_grow(as_member, operator, django_assert_max_num_queries):
    for _ in range(12):
        cluster = ClusterFactory(organization=operator, active=True)
        AgentFactory.create_batch(3, cluster=cluster, live=True)
    with django_assert_max_num_queries(8):
        assert len(data(as_member.get(CLUSTERS))["items"]) == 12
    with django_assert_max_num_queries(8):
        as_member.get(f"{CLUSTERS}/{cluster.pk}")


# --- clusters: bad input ------------------------------------------------------------

GOOD = {"name": "kr-main-2", "region": "kr"}
BAD = [
    ({"name": "Foo_Bar"}, "name"),
    ({"name": "a" * 64}, "name"),
    ({"name": "kr-main"}, "name"),  # taken by the fixture
    ({"name": 7}, "name"),
    ({"name": None}, "name"),
    ({"name": ["a"]}, "name"),
    ({"name": True}, "name"),
    ({"region": ""}, "region"),
    ({"region": {}}, "region"),
    ({"region": "x" * 101}, "region"),
    ({"description": 1}, "description"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {"a": {"b": "c"}}}, "metadata"),
    ({"metadata": {"a b": "c"}}, "metadata"),
    ({"allowed_ports": 80}, "allowed_ports"),
    ({"allowed_ports": [True]}, "allowed_ports"),
    ({"allowed_ports": [1.5]}, "allowed_ports"),
    ({"allowed_ports": ["90-80"]}, "allowed_ports"),
    ({"allowed_networks": "127.0.0.0/8"}, "allowed_networks"),
    ({"trusted_hops": 11}, "trusted_hops"),
    ({"allowed_networks": ["127.0.0.1/8"]}, "allowed_networks"),
    ({"open_to_all": "perhaps"}, "open_to_all"),
    ({"open_to": ["x"]}, "open_to"),
    ({"open_to": [str(uuid.uuid4())]}, "open_to"),
]


@pytest.mark.parametrize(("wrong", "field"), BAD)
@pytest.mark.parametrize("verb", ["post", "put"])
def test_bad_input_names_the_field(as_member, operator, cluster, verb, wrong, field):
    other = ClusterFactory(organization=operator, name="other")
    url = CLUSTERS if verb == "post" else f"{CLUSTERS}/{other.pk}"

    refusal = error(getattr(as_member, verb)(url, GOOD | wrong), 400)

    assert refusal["code"] in {"invalid", "duplicate"}
    assert list(refusal["details"]) == [field]
    assert Cluster.objects.filter(name="kr-main-2").count() == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'"x"', b"{", b'{"name": "\\ud800"}'])
def test_bodies_that_are_no_object(as_member, cluster, body):
    for url in (CLUSTERS, f"{CLUSTERS}/{cluster.pk}/maintenance"):
        response = as_member.post(url, body, content_type="application/json")
        assert response.status_code == 400


def test_missing_fields_are_named(as_member):
    assert set(error(as_member.post(CLUSTERS, {}), 400)["details"]) == {"name", "region"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "enabled"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"enabled": True, "reason": 1}, "reason"),
        ({"enabled": True, "reason": "x" * 301}, "reason"),
        ({"enabled": True, "until": "tomorrow"}, "until"),
        ({"enabled": True, "until": "2001-01-01T00:00:00Z"}, "until"),
    ],
)
def test_bad_maintenance_names_the_field(as_member, cluster, body, field):
    refusal = error(as_member.post(f"{CLUSTERS}/{cluster.pk}/maintenance", body), 400)
    assert list(refusal["details"]) == [field]


@pytest.mark.parametrize("query", ["status=broken", "region=" + "x" * 101, "search=%00"])
def test_bad_filters_are_refused(as_member, query):
    assert error(as_member.get(f"{CLUSTERS}?{query}"), 400)["code"] == "invalid"


# --- who may ------------------------------------------------------------


def endpoints(cluster, token, agent):
    """Method, path and body of every call that names an object."""
    one = f"{CLUSTERS}/{cluster.pk}"
    return [
        ("get", one, None),
        ("put", one, GOOD),
        ("put", one, {}),
        ("delete", one, None),
        ("post", f"{one}/maintenance", {"enabled": True}),
        ("post", f"{one}/maintenance", {}),
        ("get", f"{one}/registration-tokens", None),
        ("post", f"{one}/registration-tokens", {}),
        ("delete", f"{one}/registration-tokens/{token.pk}", None),
        ("get", f"/api/v1/operator/agents/{agent.pk}", None),
        ("post", f"/api/v1/operator/agents/{agent.pk}/revoke", None),
        ("delete", f"/api/v1/operator/agents/{agent.pk}/revoke", None),
    ]


@pytest.fixture
def calls(cluster):
    return endpoints(cluster, RegistrationTokenFactory(cluster=cluster), cluster.agents.get())


def test_strangers_see_nothing(stranger, calls):
    client = client_of(stranger)
    for method, url, body in calls:
        assert error(getattr(client, method)(url, body), 404)["code"] == "not_found", (method, url)


def test_viewers_read_and_write_nothing(viewer, calls):
    client = client_of(viewer)
    for method, url, body in calls:
        if method != "get" and body == {} and "tokens" not in url:
            continue  # the body is refused before the role
        response = getattr(client, method)(url, body)
        assert response.status_code == (200 if method == "get" else 403), (method, url)
    assert error(client.post(CLUSTERS, GOOD), 403)["code"] == "permission_denied"


def test_members_neither_delete_nor_touch_tokens_nor_agents(as_member, calls):
    for method, url, body in calls:
        if method == "delete" or "revoke" in url or (method, "tokens" in url) == ("post", True):
            assert getattr(as_member, method)(url, body).status_code == 403, (method, url)


def test_nobody_gets_in_without_signing_in(calls):
    for method, url, body in calls:
        assert error(getattr(APIClient(), method)(url, body), 401)["code"] == "unauthenticated"


@pytest.mark.parametrize("bad", ["7", "kr-main", "%00", "0" * 32 + "x"])
def test_ids_that_are_no_uuids(as_member, bad):
    assert error(as_member.get(f"{CLUSTERS}/{bad}"), 404)["code"] == "not_found"
    assert error(as_member.get(f"/api/v1/operator/agents/{bad}"), 404)["code"] == "not_found"


def test_unknown_ids(as_admin):
    assert error(as_admin.get(f"{CLUSTERS}/{uuid.uuid4()}"), 404)
    assert error(as_admin.delete(f"{CLUSTERS}/{uuid.uuid4()}"), 404)


# --- tokens and agents ------------------------------------------------------------


def test_a_token_shows_its_secret_once(as_admin, cluster):
    url = f"{CLUSTERS}/{cluster.pk}/registration-tokens"

    made = data(as_admin.post(url, {"ttl_seconds": 600, "max_uses": 3}), 201)

    assert made["token"].startswith(f"igr_{made['prefix']}_")
    assert made["token"] in made["join_command"]
    assert (made["max_uses"], made["use_count"], made["usable"]) == (3, 0, True)
    [listed] = data(as_admin.get(url))["items"]
    assert listed["id"] == made["id"]
    assert not {"token", "join_command", "digest"} & set(listed)


def test_a_token_without_a_body_lives_an_hour(as_admin, cluster):
    url = f"{CLUSTERS}/{cluster.pk}/registration-tokens"
    made = data(as_admin.post(url), 201)
    token = RegistrationToken.objects.get(pk=made["id"])
    assert token.max_uses == 1
    assert token.expires_at - token.created_at < timedelta(hours=1, seconds=1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"ttl_seconds": 1}, "ttl_seconds"),
        ({"ttl_seconds": "long"}, "ttl_seconds"),
        ({"ttl_seconds": 1e300}, "ttl_seconds"),
        ({"ttl_seconds": None}, "ttl_seconds"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 10**30}, "max_uses"),
    ],
)
def test_bad_tokens(as_admin, cluster, body, field):
    refusal = error(as_admin.post(f"{CLUSTERS}/{cluster.pk}/registration-tokens", body), 400)
    assert list(refusal["details"]) == [field]


def test_revoke_a_token(as_admin, cluster):
    token = RegistrationTokenFactory(cluster=cluster)
    url = f"{CLUSTERS}/{cluster.pk}/registration-tokens/{token.pk}"

    assert as_admin.delete(url).status_code == 204
    token.refresh_from_db()
    assert token.revoked_at


def test_a_token_of_another_cluster_is_not_here(as_admin, operator, cluster):
    token = RegistrationTokenFactory(cluster__organization=operator)
    url = f"{CLUSTERS}/{cluster.pk}/registration-tokens/{token.pk}"
    assert error(as_admin.delete(url), 404)["code"] == "not_found"


@pytest.mark.parametrize("method", ["post", "delete"])
def test_revoke_an_agent(as_admin, cluster, method):
    url = f"/api/v1/operator/agents/{cluster.agents.get().pk}"
    assert data(as_admin.get(url))["status"] == "active"

    revoked = data(getattr(as_admin, method)(f"{url}/revoke"))

    assert revoked["status"] == "revoked"
    assert data(as_admin.get(url))["revoked_at"]
    assert data(as_admin.get(f"{CLUSTERS}/{cluster.pk}"))["status"] == "inactive"


# --- what providers see ------------------------------------------------------------


def test_providers_see_the_clusters_open_to_them_and_no_agents():
    provider, other = (OrganizationFactory(provider=True) for _ in range(2))
    for_all = ClusterFactory(name="for-all", active=True, maintenance=True)
    for_me = ClusterFactory(name="for-me", open_to_all=False)
    for_me.open_to.add(provider)
    for_other = ClusterFactory(name="for-other", open_to_all=False)
    for_other.open_to.add(other)

    shown = data(client_of(UserFactory(member_of=provider)).get("/api/v1/provider/clusters"))

    assert [row["name"] for row in shown["items"]] == ["for-all", "for-me"]
    first = shown["items"][0]
    assert first["gateway_classes"] == ["envoy"]
    assert (first["status"], first["maintenance"]["reason"]) == ("maintenance", "Kernel upgrade")
    assert not {"agents", "agent_count", "last_heartbeat", "metadata"} & set(first)
    assert for_all.agents.get().name not in str(shown)


def test_a_person_in_two_providers_sees_what_is_open_to_the_chosen_one():
    first, second = (OrganizationFactory(provider=True) for _ in range(2))
    user = UserFactory(member_of=first)
    MembershipFactory(user=user, organization=second)
    ClusterFactory(name="for-second", open_to_all=False).open_to.add(second)
    client, url = client_of(user), "/api/v1/provider/clusters"

    seen = {
        chosen: data(client.get(url, headers={"X-Organization": str(chosen.pk)}))["total"]
        for chosen in (first, second)
    }

    assert seen == {first: 0, second: 1}


def test_operators_and_strangers_are_offered_nothing(as_member, cluster):
    assert data(as_member.get("/api/v1/provider/clusters"))["items"] == []


# --- unknown values, and moments without a zone ------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["status=broken", "region=atlantis", "ordering=broken", "ordering=-password"]
)
def test_unknown_filter_values_are_named(as_member, cluster, query):
    name, value = query.split("=")
    found = error(as_member.get(f"{CLUSTERS}?{query}"), 400)
    assert name in found["details"]
    assert value.lstrip("-") in found["message"]


def test_clusters_are_found_by_label(as_member, operator):
    ClusterFactory(organization=operator, name="a", labels={"tier": "production"})
    ClusterFactory(organization=operator, name="b", labels={"tier": "test"})

    def names(query):
        return [row["name"] for row in data(as_member.get(f"{CLUSTERS}?{query}"))["items"]]

    assert names("label=tier%3Dproduction") == ["a"]
    assert names("label=tier&label=tier%3Dtest") == ["b"]


def test_an_end_of_maintenance_must_name_its_zone(as_member, cluster):
    url = f"{CLUSTERS}/{cluster.pk}/maintenance"
    found = error(as_member.post(url, {"enabled": True, "until": "2036-01-01T10:00:00"}), 400)
    assert "time zone" in found["message"]

    shown = data(as_member.post(url, {"enabled": True, "until": "2036-01-01T10:00:00+09:00"}))
    assert shown["maintenance"]["until"] == "2036-01-01T01:00:00Z"


def test_an_older_version_overwrites_nothing(as_member, cluster):
    url, body = f"{CLUSTERS}/{cluster.pk}", {"name": "kr-main", "region": "us"}
    first = as_member.get(url).headers["ETag"]

    answer = as_member.put(url, body, headers={"If-Match": first})
    assert data(answer)["region"] == "us"
    assert answer.headers["ETag"] != first

    found = error(as_member.put(url, body | {"region": "kr"}, headers={"If-Match": first}), 412)
    assert found["code"] == "stale"
    assert data(as_member.get(url))["region"] == "us"
    for loose in ({}, {"If-Match": "*"}):
        assert as_member.put(url, body, headers=loose).status_code == 200


def test_maintenance_takes_the_version_that_was_read(as_member, cluster):
    url = f"{CLUSTERS}/{cluster.pk}"
    seen = {"If-Match": as_member.get(url).headers["ETag"]}
    answer = as_member.post(f"{url}/maintenance", {"enabled": True}, headers=seen)
    assert answer.headers["ETag"] == as_member.get(url).headers["ETag"]

    found = error(as_member.post(f"{url}/maintenance", {"enabled": False}, headers=seen), 412)
    assert found["code"] == "stale"
    assert data(as_member.get(url))["status"] == "maintenance"
