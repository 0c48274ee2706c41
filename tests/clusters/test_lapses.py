from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Agent, Cluster
from clusters.services.lapses import announce_since, lapsed
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db


def at(seconds: float):
    return timezone.now() - timedelta(seconds=seconds)


def found() -> list[Cluster]:
    """In the last five seconds."""
    return list(lapsed(at(5), at(0)))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"last_heartbeat_at": 92}, True),
        ({"last_heartbeat_at": 88}, False),
        ({"last_heartbeat_at": 96}, False),  # told five seconds ago
        ({"last_heartbeat_at": 30, "disconnected_at": 22}, True),
        ({"last_heartbeat_at": 30, "disconnected_at": 18}, False),
        ({"last_heartbeat_at": 92, "revoked_at": 60}, False),
    ],
)
def test_an_agent_that_fell_silent(fields, told):
    agent = AgentFactory(live=True)
    moments = {name: at(seconds) for name, seconds in fields.items()}
    Agent.objects.filter(pk=agent.pk).update(**moments)

    assert found() == ([agent.cluster] if told else [])


def test_the_status_changes_at_the_moment_that_is_told():
    agent = AgentFactory(live=True)
    Agent.objects.filter(pk=agent.pk).update(last_heartbeat_at=at(90.001))

    assert Cluster.objects.with_status().get().status == "inactive"
    assert found() == [agent.cluster]


@pytest.mark.parametrize(("use_count", "told"), [(0, True), (1, False)])
def test_a_token_that_expired(use_count, told):
    token = RegistrationTokenFactory(
        created_at=at(3600),
        expires_at=at(2),
        use_count=use_count,
        last_used_at=at(60) if use_count else None,
    )
    assert found() == ([token.cluster] if told else [])


@pytest.mark.parametrize(("seconds", "told"), [(2, True), (-2, False), (7, False)])
def test_maintenance_that_ended_by_itself(seconds, told):
    cluster = ClusterFactory(maintenance=True, maintenance_until=at(seconds))
    assert found() == ([cluster] if told else [])


def test_each_look_begins_where_the_last_one_ended():
    before = timezone.now()
    first = announce_since(None)
    assert before < first < announce_since(first)
