"""What an operator sees of the publishes on its clusters: pages and their REST twins."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from accounts.models import Role
from publishing.models import AgentPublish, DeploymentVerdict, RouteClaim
from publishing.states import Outcome, Progress
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import DeploymentFactory, ProductPublishFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
DEPLOYMENTS, PUBLISHES = "/operator/deployments", "/operator/publishes"
REST = "/api/v1/operator"


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


@pytest.fixture
def operator(db):
    return OrganizationFactory(operator=True)


@pytest.fixture
def as_viewer(client, operator):
    client.force_login(UserFactory(member_of=operator, role=Role.VIEWER))
    return client


@pytest.fixture
def publish(operator):
    """Live, and refused by an agent since."""
    row = ProductPublishFactory(
        organization=OrganizationFactory(provider=True, name="Payments"),
        cluster=ClusterFactory(organization=operator, name="kr-main", active=True),
        published=True,
    )
    refused = DeploymentFactory(
        publish=row,
        revision=row.live_revision,
        status=Progress.FAILED,
        finished_at=timezone.now(),
        note="Faster",
    )
    agent = AgentFactory(cluster=row.cluster, name="agent-7", live=True, gateway_classes=["envoy"])
    DeploymentVerdict.objects.create(
        deployment=refused, agent=agent, outcome=Outcome.FAILED, error="bad regex in /pay"
    )
    AgentPublish.objects.create(agent=agent, publish=row, revision=row.live_revision.digest)
    RouteClaim.objects.create(
        cluster=row.cluster,
        publish=row,
        port=8080,
        protocol="HTTP",
        host="pay.example.com",
        match="prefix",
        path="/pay",
        method="GET",
    )
    return row


def test_one_publish(as_viewer, publish):
    page = as_viewer.get(f"{PUBLISHES}/{publish.pk}")
    words = text(page)

    assert page.status_code == 200
    for said in ("Payments", "agent-7", "What is published", "bad regex in /pay", "“Faster”"):
        assert said in words
    assert "pay.example.com:8080" in words
    assert "1 route claimed" in words
    part = as_viewer.get(f"{PUBLISHES}/{publish.pk}", headers=HTMX).content.decode()
    assert part.lstrip().startswith('<div class="ig-stack" id="operated-live"')


def test_an_agent_that_serves_something_else_is_told(as_viewer, publish):
    AgentPublish.objects.update(revision="f" * 64)
    assert "Another revision, ffffffff" in text(as_viewer.get(f"{PUBLISHES}/{publish.pk}"))
    AgentPublish.objects.update(revision="", error="out of memory")
    words = text(as_viewer.get(f"{PUBLISHES}/{publish.pk}"))
    assert "Nothing of it" in words
    assert "out of memory" in words
    AgentPublish.objects.all().delete()
    assert "Nothing said yet" in text(as_viewer.get(f"{PUBLISHES}/{publish.pk}"))


def test_agents_that_say_the_same_are_told_in_one(as_viewer, publish):
    [deployment] = publish.deployments.filter(status=Progress.FAILED)
    for number in range(5):
        agent = AgentFactory(cluster=publish.cluster, name=f"late-{number}", live=True)
        DeploymentVerdict.objects.create(
            deployment=deployment, agent=agent, outcome=Outcome.FAILED, error="bad regex in /pay"
        )
    page = text(as_viewer.get(f"{PUBLISHES}/{publish.pk}"))
    assert "agent-7, late-0, late-1 and 3 more agents bad regex in /pay" in page
    assert page.count("bad regex in /pay") == 1


def test_of_what_is_not_live_no_agent_needs_to_say_anything(as_viewer, operator):
    row = ProductPublishFactory(cluster=ClusterFactory(organization=operator, active=True))
    DeploymentFactory(publish=row)
    words = text(as_viewer.get(f"{PUBLISHES}/{row.pk}"))
    assert "No agent serves it, and none should" in words


def test_the_list_of_deployments(as_viewer, publish):
    page = as_viewer.get(DEPLOYMENTS)
    words = text(page)

    assert str(publish.product) in words
    assert "Payments" in words
    assert f'href="{PUBLISHES}/{publish.pk}#deployment-' in page.content.decode()
    assert "No deployment matches" in text(as_viewer.get(f"{DEPLOYMENTS}?status=QUEUED"))
    assert "There is no status “HALF”" in text(as_viewer.get(f"{DEPLOYMENTS}?status=HALF"))
    part = as_viewer.get(DEPLOYMENTS, headers=HTMX).content.decode()
    assert part.lstrip().startswith('<div class="ig-stack" id="deployment-rows"')


def test_nothing_was_deployed_yet(as_viewer):
    assert "No deployments yet" in text(as_viewer.get(DEPLOYMENTS))


def test_a_draft_that_was_never_sent_is_the_providers_own(as_viewer, operator):
    draft = ProductPublishFactory(cluster=ClusterFactory(organization=operator))
    assert as_viewer.get(f"{PUBLISHES}/{draft.pk}").status_code == 404
    assert as_viewer.get(f"{REST}/product-publishes/{draft.pk}").status_code == 404


def test_nobody_else_sees_it(client, publish):
    """Not another operator, and not the provider: it has pages of its own."""
    others = (OrganizationFactory(operator=True), publish.organization)
    for organization in others:
        client.force_login(UserFactory(member_of=organization, role=Role.ADMIN))
        deployment = publish.deployments.first()
        assert client.get(f"{PUBLISHES}/{publish.pk}").status_code == 404
        assert str(publish.product) not in text(client.get(DEPLOYMENTS))
        assert client.get(f"{REST}/product-publishes/{publish.pk}").status_code == 404
        assert client.get(f"{REST}/deployments/{deployment.pk}").status_code == 404
        assert client.get(f"{REST}/deployments").json()["data"]["total"] == 0


def test_who_works_for_both_may_go_on_to_the_providers_page(as_viewer, publish):
    mine, theirs = f"{PUBLISHES}/{publish.pk}", f"/provider/publishes/{publish.pk}"
    assert theirs not in as_viewer.get(mine).content.decode()
    both = UserFactory(member_of=publish.organization)
    both.memberships.create(organization=publish.cluster.organization, role=Role.VIEWER)
    as_viewer.force_login(both)
    assert theirs in as_viewer.get(mine).content.decode()


def test_over_rest(as_viewer, publish):
    [row] = as_viewer.get(f"{REST}/product-publishes").json()["data"]["items"]
    one = as_viewer.get(f"{REST}/product-publishes/{publish.pk}").json()["data"]
    assert row == one
    assert (one["provider_name"], one["cluster_name"]) == ("Payments", "kr-main")
    assert one["status"] == "PUBLISHED"
    assert one["live_on"]["live"] == 1
    assert "visibility" not in one

    [deployment] = as_viewer.get(f"{REST}/deployments?status=FAILED").json()["data"]["items"]
    assert deployment["error"] == "bad regex in /pay"
    found = as_viewer.get(f"{REST}/deployments/{deployment['id']}").json()["data"]
    assert found["verdicts"][0]["agent"] == "agent-7"
    assert as_viewer.get(f"{REST}/deployments?status=HALF").status_code == 400


@pytest.mark.parametrize("count", [1, 30])
def test_queries_do_not_grow(as_viewer, publish, count, django_assert_max_num_queries):
    for number in range(count):
        agent = AgentFactory(cluster=publish.cluster, live=True, gateway_classes=["envoy"])
        row = DeploymentFactory(
            publish=publish,
            revision=publish.live_revision,
            number=number + 10,
            status=Progress.FAILED,
            finished_at=timezone.now(),
        )
        DeploymentVerdict.objects.create(deployment=row, agent=agent, outcome=Outcome.FAILED)
    for path in (DEPLOYMENTS, f"{PUBLISHES}/{publish.pk}", f"{REST}/deployments"):
        with django_assert_max_num_queries(12):
            assert as_viewer.get(path).status_code == 200
