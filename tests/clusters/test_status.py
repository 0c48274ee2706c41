"""The status is derived: its truth table, in SQL and for a row in hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Agent, Cluster
from tests.factories.clusters import AgentFactory, ClusterFactory

pytestmark = pytest.mark.django_db


def status_of(cluster: Cluster) -> str:
    return Cluster.objects.with_status().get(pk=cluster.pk).status


def at(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


# Ages in seconds of the last heartbeat and of the disconnect.
AGENTS = [
    ("just joined, never connected", None, None, False, "pending"),
    ("beats", 5, None, False, "active"),
    ("beats, within the window", 88, None, False, "active"),
    ("missed three beats", 91, None, False, "inactive"),
    ("disconnected, within the grace", 25, 18, False, "active"),
    ("disconnected, beyond the grace", 25, 21, False, "inactive"),
    ("within the grace, but silent before it", 91, 10, False, "inactive"),
    ("revoked while it beats", 5, None, True, "inactive"),
    ("revoked before it ever beat", None, None, True, "pending"),
]


@pytest.mark.parametrize(("story", "beat", "gone", "revoked", "expected"), AGENTS)
def test_one_agent(story, beat, gone, revoked, expected):
    agent = AgentFactory(
        last_heartbeat_at=None if beat is None else at(beat),
        disconnected_at=None if gone is None else at(gone),
        revoked_at=timezone.now() if revoked else None,
    )

    assert status_of(agent.cluster) == expected
    live = expected == "active"
    assert Agent.objects.get(pk=agent.pk).is_live is live
    assert Agent.objects.live().filter(pk=agent.pk).exists() is live


def test_without_agents_it_is_pending():
    assert status_of(ClusterFactory()) == "pending"


def test_one_live_agent_is_enough():
    cluster = ClusterFactory(active=True)
    AgentFactory(cluster=cluster, stale=True)
    AgentFactory(cluster=cluster, revoked=True)

    row = Cluster.objects.with_status().get(pk=cluster.pk)

    assert (row.status, row.agent_count, row.active_agent_count) == ("active", 2, 1)
    assert row.last_heartbeat == cluster.agents.live().get().last_heartbeat_at


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (-60, None, "maintenance"),
        (-60, 60, "maintenance"),
        (-60, -1, "active"),
        (60, None, "active"),
    ],
)
def test_maintenance_lasts_from_since_until_its_end(since, until, expected):
    now = timezone.now()
    cluster = ClusterFactory(
        active=True,
        maintenance_since=now + timedelta(seconds=since),
        maintenance_until=None if until is None else now + timedelta(seconds=until),
    )

    assert status_of(cluster) == expected
    assert cluster.maintained is (expected == "maintenance")


def test_maintenance_hides_that_agents_are_gone():
    assert status_of(ClusterFactory(inactive=True, maintenance=True)) == "maintenance"


def test_since_when():
    pending, active = ClusterFactory(), ClusterFactory(active=True)
    inactive, paused = ClusterFactory(inactive=True), ClusterFactory(maintenance=True)
    AgentFactory(cluster=active, live=True, connected_at=at(60))

    since = {row.pk: row.status_since for row in Cluster.objects.with_status()}

    assert since[pending.pk] == pending.created_at
    assert since[active.pk] == min(active.agents.values_list("connected_at", flat=True))
    assert since[inactive.pk] == inactive.agents.get().last_heartbeat_at
    assert since[paused.pk] == paused.maintenance_since


def test_the_status_can_be_filtered_and_counted():
    ClusterFactory(active=True), ClusterFactory(), ClusterFactory(inactive=True)

    assert Cluster.objects.with_status().filter(status="inactive").count() == 1
    assert Cluster.objects.with_bare_status().filter(status="active").count() == 1


def test_progress_is_the_least_of_the_live_agents():
    cluster = ClusterFactory(active=True, agent__applied_generation=7)
    cluster.state.desired_generation = 9
    cluster.state.save()
    AgentFactory(
        cluster=cluster, live=True, applied_generation=8, gateway_classes=["kong", "envoy"]
    )
    AgentFactory(cluster=cluster, stale=True, applied_generation=1, gateway_classes=["nginx"])

    row = Cluster.objects.with_status().with_progress().with_capabilities().get(pk=cluster.pk)

    assert (row.applied_generation, row.desired_generation) == (7, 9)
    assert row.capabilities == ["envoy", "kong"]
