"""The operator's overview and the list of all agents, as pages and over REST."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from clusters import fleet
from clusters.models import Agent, ClusterState
from publishing.states import Progress
from tests.clusters.conftest import HTMX, LIST, text
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import DeploymentFactory, ProductPublishFactory

pytestmark = pytest.mark.django_db
OVERVIEW, AGENTS = "/operator/", "/operator/agents"


@pytest.fixture
def everything(operator):
    """One cluster of each status, and one that lags behind."""
    made = {
        "lost": ClusterFactory(organization=operator, name="lost", inactive=True),
        "paused": ClusterFactory(organization=operator, name="paused", maintenance=True),
        "new": ClusterFactory(organization=operator, name="new", region="us-east"),
        "fine": ClusterFactory(organization=operator, name="fine", active=True),
        "behind": ClusterFactory(organization=operator, name="behind", active=True),
    }
    made["behind"].state.desired_generation = 7
    made["behind"].state.save()
    ClusterFactory(name="not-mine", active=True)
    return made


def test_counts_and_what_needs_attention(everything, operator):
    found = fleet.of(operator)

    assert found.statuses == {"active": 2, "inactive": 1, "pending": 1, "maintenance": 1}
    assert (found.clusters, found.regions) == (5, 2)
    assert (found.agents, found.live, found.converged, found.lost) == (3, 2, 1, 1)
    assert [row.name for row in found.attention] == ["lost", "paused", "new", "behind"]


def test_agents_by_version(operator):
    cluster = ClusterFactory(organization=operator)
    AgentFactory.create_batch(2, cluster=cluster, live=True, version="0.2.0")
    AgentFactory(cluster=cluster, stale=True, version="0.1.0")
    AgentFactory(cluster=cluster, revoked=True, version="0.0.1")

    rows = [(row.version, row.agents, row.live) for row in fleet.of(operator).versions]

    assert rows == [("0.2.0", 2, 2), ("0.1.0", 1, 0)]


def test_deployments_of_the_last_day_by_outcome(operator):
    publish = ProductPublishFactory(cluster__organization=operator, published=True)
    ended = {"publish": publish, "revision": publish.live_revision}
    for status, hours in [("FAILED", 1), ("SUCCEEDED", 2), ("SUCCEEDED", 30)]:
        then = timezone.now() - timedelta(hours=hours)
        DeploymentFactory(**ended, status=status, finished_at=then)
    DeploymentFactory(**ended, status=Progress.QUEUED)

    found = fleet.of(operator)

    assert (found.outcomes["FAILED"], found.outcomes["SUCCEEDED"]) == (1, 1)
    assert (found.running, found.deployments) == (1, 3)


def test_overview_full_page_and_partial(as_, viewer, everything):
    client = as_(viewer)
    page = client.get(OVERVIEW)
    assert 'data-ig-socket="/ws/clusters"' in page.content.decode()
    words = text(page)
    assert "lost has no connected agent" in words
    assert "behind is out of sync" in words
    assert "not-mine" not in words
    assert "Register cluster" not in words

    part = client.get(OVERVIEW, headers=HTMX).content.decode()
    assert "<html" not in part
    assert 'id="overview-live"' in part


def test_an_empty_fleet_says_how_to_begin(as_, member):
    words = text(as_(member).get(OVERVIEW))
    assert "No clusters yet" in words
    assert "Register cluster" in words


def test_the_overview_of_a_provider_is_another_one(as_):
    provider = UserFactory(member_of=OrganizationFactory(provider=True))
    client = as_(provider)
    assert client.get(OVERVIEW)["Location"] == "/"
    assert client.get("/api/v1/operator/overview").status_code == 403


def test_overview_over_rest(as_, viewer, everything):
    found = as_(viewer).get("/api/v1/operator/overview").json()["data"]
    assert found["clusters"]["inactive"] == 1
    assert found["attention"][0]["name"] == "lost"
    assert {"version", "agents", "live", "converged"} == set(found["agent_versions"][0])


def test_clusters_out_of_sync(as_, viewer, operator):
    """Live agents count; where none is live, those that were."""

    def lagging(name, **agent):
        cluster = ClusterFactory(organization=operator, name=name)
        ClusterState.objects.filter(cluster=cluster).update(desired_generation=5)
        AgentFactory(cluster=cluster, **agent)
        return cluster

    lagging("late", live=True, applied_generation=4)
    lagging("refused", live=True, applied_generation=5, last_error="bad regex")
    lagging("late-and-lost", stale=True, applied_generation=4)
    fine = lagging("fine", live=True, applied_generation=5)
    AgentFactory(cluster=fine, stale=True, applied_generation=1)
    AgentFactory(cluster=fine, revoked=True, applied_generation=1)
    ClusterFactory(organization=operator, name="empty")
    client = as_(viewer)

    def listed(query):
        items = client.get(f"/api/v1{LIST}?{query}").json()["data"]["items"]
        return {row["name"] for row in items}

    assert listed("in_sync=false") == {"late", "refused", "late-and-lost"}
    assert listed("in_sync=true") == {"fine", "empty"}
    assert client.get(f"/api/v1{LIST}?in_sync=maybe").status_code == 400
    assert fleet.of(operator).out_of_sync == 3
    overview = client.get("/api/v1/operator/overview").json()["data"]
    assert overview["clusters_out_of_sync"] == 3
    assert "Clusters out of sync 3 of 5" in text(client.get(OVERVIEW))
    page = text(client.get(f"{LIST}?in_sync=false", headers=HTMX))
    assert "late-and-lost" in page
    assert "fine" not in page
    assert "There is no state of sync “maybe”" in text(client.get(f"{LIST}?in_sync=maybe"))


def test_nothing_out_of_sync_is_a_filter_that_finds_nothing(as_, viewer, cluster):
    assert "No cluster matches" in text(as_(viewer).get(f"{LIST}?in_sync=false"))


def test_agents_page_filters(as_, viewer, everything, operator):
    Agent.objects.filter(cluster=everything["lost"]).update(name="agent-lost", version="0.0.9")
    AgentFactory(cluster=everything["fine"], name="agent-gone", revoked=True)
    client = as_(viewer)

    def said(query=""):
        return text(client.get(f"{AGENTS}?{query}", headers=HTMX))

    assert "agent-lost" in said()
    assert "agent-gone" not in said()
    assert "agent-gone" in said("status=revoked")
    assert "Inactive" not in said("status=revoked").partition("agent-gone")[2]
    assert "agent-lost" not in said("status=active")
    assert "agent-lost" in said("status=inactive&version=0.0.9")
    assert "No agent matches" in said("search=nobody")
    assert "There is no status “broken”" in said("status=broken")
    assert "fine" not in said(f"cluster_id={everything['lost'].pk}")


def test_no_agents_yet(as_, viewer):
    assert "No agents yet" in text(as_(viewer).get(AGENTS))


def test_agents_over_rest(as_, viewer, everything, stranger):
    client = as_(viewer)
    rows = client.get("/api/v1/operator/agents?status=inactive").json()["data"]["items"]
    assert [row["cluster_name"] for row in rows] == ["lost"]
    assert client.get("/api/v1/operator/agents?status=broken").status_code == 400
    assert as_(stranger).get("/api/v1/operator/agents").json()["data"]["total"] == 0


def test_the_audit_trail_of_one_cluster(as_, member, operator, stranger):
    client = as_(member)
    created = client.post(
        "/api/v1/operator/clusters",
        {"name": "kr-new", "region": "kr"},
        content_type="application/json",
    ).json()["data"]
    path = f"{LIST}/{created['id']}"
    client.post(f"{path}/edit", {"name": "kr-new", "region": "us", "open_to_all": "True"})

    words = text(client.get(f"{path}/events"))
    assert "Settings changed" in words
    assert "Region kr" in words

    rows = client.get(f"/api/v1{path}/events").json()["data"]["items"]
    assert [row["action"] for row in rows] == ["cluster.update", "cluster.create"]
    assert as_(stranger).get(f"{path}/events").status_code == 404


def test_the_trail_speaks_of_tokens_and_maintenance_in_words(as_, admin, cluster):
    client, path = as_(admin), f"{LIST}/{cluster.pk}"
    client.post(f"{path}/tokens", {"ttl_seconds": "3600", "max_uses": "3"})
    client.post(f"{path}/maintenance", {"reason": "Disks", "lasts": "3600"})

    words = text(client.get(f"{path}/events"))

    assert "Agents that may join with it 3" in words
    assert re.search(r"Ends \d{4}-\d\d-\d\d \d\d:\d\d ", words)
    assert re.search(r"Expires \d{4}-\d\d-\d\d \d\d:\d\d ", words)
    assert "max_uses" not in words


@pytest.mark.parametrize("path", [OVERVIEW, AGENTS])
def test_the_number_of_queries_does_not_grow(
    as_, admin, operator, path, django_assert_max_num_queries
):
    for _number in range(10):
        cluster = ClusterFactory(organization=operator, inactive=True)
        AgentFactory.create_batch(3, cluster=cluster, live=True, last_error="x")
    client = as_(admin)
    with django_assert_max_num_queries(12):
        assert client.get(path).status_code == 200
