"""What agents read over HTTP, and that nobody else does."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.models import Role
from clusters.models import Agent, ClusterState
from clusters.services import agents
from publishing.models import Deployment, ProductPublish
from tests.agents.server.rig import Key, make_cluster, make_deployment
from tests.factories.accounts import UserFactory

MANIFEST = "/api/v1/agent/manifest"
ACCESS = "/api/v1/agent/access"
ENDPOINTS = [MANIFEST, ACCESS, "/api/v1/agent/bundles/" + "ab" * 32]


def bundle_url(deployment: Deployment) -> str:
    return f"/api/v1/agent/bundles/{deployment.revision.digest}"


def open_session(agent: Agent) -> agents.Session:
    return agents.open_session(
        agent_id=agent.pk, version="", gateway_classes=["envoy"], owner="x/1"
    )


@pytest.fixture
def session(cluster) -> agents.Session:
    agent = Agent.objects.create(cluster=cluster, name="agent-1", public_key=Key().public)
    return open_session(agent)


@pytest.fixture
def get(client, session):
    def get(path: str, token: str | None = None, **headers: str):
        headers["Authorization"] = f"Bearer {token or session.rest_token}"
        return client.get(path, headers=headers)

    return get


# --- Documents ---------------------------------------------------------------------------------


def test_the_manifest_is_a_bare_document_of_the_agents_cluster(get, cluster):
    deployment = make_deployment(cluster)
    make_deployment_elsewhere()

    document = get(MANIFEST).json()

    assert document["cluster_id"] == str(cluster.pk)
    assert document["generation"] == 1
    assert document["agent_count"] == 1
    assert document["publishes"] == [
        {
            "publish_id": str(deployment.publish_id),
            "revision": deployment.revision.digest,
            "deployment_id": str(deployment.pk),
        }
    ]


def make_deployment_elsewhere() -> Deployment:
    return make_deployment(make_cluster("busan-1"))


def test_nothing_new_is_a_304_without_a_body(get, cluster):
    first = get(MANIFEST)
    again = get(MANIFEST, **{"If-None-Match": first["ETag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]

    make_deployment(cluster)
    changed = get(MANIFEST, **{"If-None-Match": first["ETag"]})
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_a_bundle_hashes_to_its_name(get, cluster):
    deployment = make_deployment(cluster)

    response = get(bundle_url(deployment))

    assert response["Content-Type"] == "application/json"
    assert hashlib.sha256(response.content).hexdigest() == deployment.revision.digest


def test_access_is_read_in_full_without_a_cursor(get, cluster):
    ClusterState.objects.update(access_version=3)

    page = get(ACCESS).json()

    assert page["lineage"] == str(cluster.state.lineage)
    assert (page["version"], page["full"], page["more"], page["entries"]) == (3, True, False, [])
    again = get(
        f"{ACCESS}?lineage={page['lineage']}&after_version={page['next_version']}"
        f"&after_id={page['next_id']}"
    )
    assert again.json()["full"] is False


@pytest.mark.parametrize(
    "query",
    [
        f"lineage={uuid4()}&after_version=1&after_id={uuid4()}",
        "after_version=1",
        "after_version=-1",
        "after_version=x",
        "after_version=9999999999999999999999",
        "after_id=x",
        "lineage=x%00",
    ],
)
def test_a_cursor_that_is_not_ours_is_gone(get, query):
    response = get(f"{ACCESS}?{query}")

    assert response.status_code == 410
    assert response.json()["error"]["code"] == "cursor_gone"


# --- Who reads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer x", "Basic eDp5", "iga_x", "Bearer \xff"]
)
def test_without_its_token_an_agent_is_nobody(client, session, path, header):
    response = client.get(path, headers={"Authorization": header} if header is not None else {})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    body = response.json()
    assert body["success"] is False
    assert body["error"]["code"].startswith("rest_token_")


@pytest.mark.parametrize("path", ENDPOINTS)
def test_people_read_nothing_here(client, session, cluster, path):
    client.force_login(UserFactory(member_of=cluster.organization, role=Role.ADMIN))

    assert client.get(path).status_code == 401


@pytest.mark.parametrize("path", ENDPOINTS)
def test_nobody_writes_here(client, session, path):
    headers = {"Authorization": f"Bearer {session.rest_token}"}
    for method in ("post", "put", "patch", "delete"):
        response = getattr(client, method)(path, headers=headers)
        assert response.status_code == 405, method


@pytest.mark.parametrize(
    "path", ["/api/v1/operator/clusters", "/api/v1/provider/clusters", "/api/v1/auth/tokens"]
)
def test_an_agents_token_opens_nothing_of_the_portal(get, path):
    assert get(path).status_code in {401, 404}


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"last_heartbeat_at": timezone.now() - timedelta(minutes=6)},
    ],
    ids=["revoked", "silent"],
)
def test_the_token_ends_with_the_agent(get, path, change):
    Agent.objects.update(**change)

    assert get(path).status_code == 401


def test_a_new_session_ends_the_old_token(get, session):
    newer = open_session(Agent.objects.get())

    assert get(MANIFEST).status_code == 401
    assert get(MANIFEST, token=newer.rest_token).status_code == 200


def test_a_revocation_ends_it_at_once(get, session, cluster):
    actor = UserFactory(member_of=cluster.organization, role=Role.ADMIN)

    agents.revoke_agent(actor=actor, agent_id=session.agent_id)

    assert get(MANIFEST).status_code == 401


def test_a_bundle_of_another_cluster_does_not_exist(get, session):
    response = get(bundle_url(make_deployment_elsewhere()))

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_a_bundle_that_is_no_longer_wanted_does_not_exist(get, cluster):
    deployment = make_deployment(cluster)
    ProductPublish.objects.update(wanted_revision=None)

    assert get(bundle_url(deployment)).status_code == 404


@pytest.mark.parametrize("name", ["x", "ab", "AB" * 32, "ab" * 33, "..%2f..%2fetc"])
def test_what_is_no_digest_does_not_exist(get, name):
    assert get(f"/api/v1/agent/bundles/{name}").status_code == 404


# --- Cost --------------------------------------------------------------------------------------


def test_each_read_takes_few_queries(get, cluster, django_assert_max_num_queries):
    deployment = make_deployment(cluster)
    with django_assert_max_num_queries(6):
        get(MANIFEST)
    with django_assert_max_num_queries(2):
        get(bundle_url(deployment))
    with django_assert_max_num_queries(4):
        get(ACCESS)


def test_the_same_content_is_the_same_bytes(get, cluster):
    make_deployment(cluster)

    assert get(MANIFEST).content == get(MANIFEST).content
    assert json.loads(get(MANIFEST).content)


# --- The authority -----------------------------------------------------------------------------


def test_the_authority_is_public(client, db, settings, tmp_path):
    path = Path(tmp_path) / "ca.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\n")
    settings.AGENT_CA_FILE = str(path)

    response = client.get("/agent/ca.pem")

    assert response.status_code == 200
    assert response.content == path.read_bytes()
    assert response["Content-Type"] == "application/x-pem-file"
    assert client.post("/agent/ca.pem").status_code in {403, 405}


def test_without_a_private_authority_there_is_none_to_fetch(client, db, settings):
    settings.AGENT_CA_FILE = ""

    assert client.get("/agent/ca.pem").status_code == 404
