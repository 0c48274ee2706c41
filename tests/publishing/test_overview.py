"""The provider's first page, and its REST twin."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Role
from publishing import overview
from publishing.states import Progress
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import (
    AgentPublishFactory,
    DeploymentFactory,
    ProductPublishFactory,
    PublishRevisionFactory,
)
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
PAGE = "/provider/"


@pytest.fixture
def provider():
    return OrganizationFactory(provider=True)


@pytest.fixture
def as_viewer(client, provider):
    client.force_login(UserFactory(member_of=provider, role=Role.VIEWER))
    return client


def live(provider, **cluster):
    """On every agent of its cluster."""
    publish = ProductPublishFactory(
        organization=provider, published=True, cluster=ClusterFactory(**cluster)
    )
    for agent in publish.cluster.agents.all():
        AgentPublishFactory(agent=agent, publish=publish, revision=publish.live_revision.digest)
    return publish


def test_it_counts_what_is_mine(provider):
    live(provider, active=True)
    ProductPublishFactory(organization=provider)
    live(OrganizationFactory(provider=True))
    SubscriptionFactory(plan=PlanFactory(publish=live(provider, active=True)), pending=True)

    found = overview.of(provider)

    assert (found.products, found.requests, found.total) == (3, 1, 3)
    assert found.publishes == {"DRAFT": 1, "PUBLISHED": 2, "WITHDRAWN": 0}


def test_what_needs_attention_comes_worst_first(provider):
    calm = live(provider, active=True)
    paused = live(provider, active=True, maintenance=True)
    lost = live(provider, inactive=True)
    failed = live(provider, active=True)
    DeploymentFactory(
        publish=failed,
        revision=failed.live_revision,
        status=Progress.FAILED,
        finished_at=timezone.now(),
        detail="bad regex",
    )

    shown = overview.of(provider).attention

    assert [(row.pk, row.why) for row in shown] == [
        (failed.pk, "failed"),
        (lost.pk, "no_agent"),
        (paused.pk, "maintenance"),
    ]
    assert calm.pk not in {row.pk for row in shown}


def test_a_failure_that_was_made_good_is_none(provider):
    publish = live(provider, active=True)
    ended = {"publish": publish, "revision": publish.live_revision, "finished_at": timezone.now()}
    DeploymentFactory(**ended, status=Progress.FAILED)
    assert [row.why for row in overview.of(provider).attention] == ["failed"]

    DeploymentFactory(**ended, status=Progress.SUCCEEDED)
    assert overview.of(provider).attention == []


def test_each_is_told_once_for_the_worst_of_its_reasons(provider):
    """Queued on a cluster without an agent; a draft only waits."""
    lost = live(provider, inactive=True)
    DeploymentFactory(publish=lost, revision=lost.live_revision, status=Progress.QUEUED)
    draft = ProductPublishFactory(organization=provider)
    revision = PublishRevisionFactory(publish=draft)
    DeploymentFactory(publish=draft, revision=revision, status=Progress.QUEUED, detail="no agent")

    shown = overview.of(provider).attention

    assert [(row.pk, row.why) for row in shown] == [(lost.pk, "no_agent"), (draft.pk, "waiting")]
    assert shown[1].newest_detail == "no agent"


def test_a_full_list_holds_the_newest_of_the_worst(provider, monkeypatch):
    monkeypatch.setattr(overview, "SHOWN", 2)
    paused = live(provider, active=True, maintenance=True)
    older, newer = live(provider, inactive=True), live(provider, inactive=True)
    for number, publish in enumerate([older, newer]):
        DeploymentFactory(
            publish=publish,
            revision=publish.live_revision,
            status=Progress.SUCCEEDED,
            created_at=timezone.now() - timedelta(hours=2 - number),
            finished_at=timezone.now(),
        )

    assert [row.pk for row in overview.of(provider).attention] == [newer.pk, older.pk]
    monkeypatch.setattr(overview, "SHOWN", 3)
    assert overview.of(provider).attention[2].pk == paused.pk


def test_what_some_agent_does_not_serve_needs_attention(provider, as_viewer):
    publish = live(provider, active=True)
    AgentFactory(cluster=publish.cluster, live=True)

    shown = overview.of(provider).attention
    assert [(row.pk, row.why) for row in shown] == [(publish.pk, "partly")]
    page = as_viewer.get(PAGE).content.decode()
    assert "is live on 1 of 2 agents" in page

    DeploymentFactory(publish=publish, revision=publish.live_revision, status=Progress.APPLYING)
    assert overview.of(provider).attention == []  # on its way


def test_deployments_of_the_last_day(provider):
    publish = live(provider, active=True)
    DeploymentFactory(publish=publish, revision=publish.live_revision, status=Progress.APPLYING)

    found = overview.of(provider)

    assert found.running == 1
    assert found.outcomes["FAILED"] == 0


def test_full_page_and_partial(as_viewer, provider):
    publish = live(provider, inactive=True)
    page = as_viewer.get(PAGE).content.decode()
    assert "<html" in page
    assert publish.product.name in page
    assert 'data-ig-socket="/ws/publishes"' in page

    part = as_viewer.get(PAGE, headers=HTMX).content.decode()
    assert "<html" not in part
    assert part.lstrip().startswith('<div class="ig-stack" id="overview-live"')


def test_an_empty_one_says_how_to_begin(as_viewer):
    assert "Begin with an API service" in as_viewer.get(PAGE).content.decode()


def test_an_operator_has_another_one(client):
    client.force_login(UserFactory(member_of=OrganizationFactory(operator=True)))
    assert client.get(PAGE)["Location"] == "/"


def test_the_api_says_the_same(as_viewer, provider):
    live(provider, inactive=True)
    found = as_viewer.get("/api/v1/provider/overview").json()["data"]
    assert found["publishes"]["PUBLISHED"] == 1
    assert [row["why"] for row in found["attention"]] == ["no_agent"]


def test_the_number_of_queries_does_not_grow(as_viewer, provider, django_assert_max_num_queries):
    for _number in range(10):
        publish = live(provider, inactive=True)
        AgentFactory(cluster=publish.cluster)
    with django_assert_max_num_queries(12):
        assert as_viewer.get(PAGE).status_code == 200
