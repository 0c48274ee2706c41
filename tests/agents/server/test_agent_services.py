"""clusters.services.agents: sessions, heartbeats, revocation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AuditEvent, Role
from clusters.models import Agent, Cluster
from clusters.services import agents
from clusters.services.agents import AgentRevoked
from core.errors import Unauthenticated
from tests.agents.server.rig import Key, make_cluster
from tests.factories.accounts import UserFactory


def open_session(agent: Agent, **fields: Any) -> agents.Session:
    values = {"version": "0.1.0", "gateway_classes": ["envoy"], "owner": "here/1"}
    return agents.open_session(agent_id=agent.pk, **values | fields)


# --- Sessions ----------------------------------------------------------------------------------


@pytest.fixture
def agent(cluster: Cluster) -> Agent:
    return Agent.objects.create(cluster=cluster, name="agent-1", public_key=Key().public)


def test_connecting_moves_the_epoch_on_and_makes_the_cluster_active(agent):
    session = open_session(agent, version="0.3.0", gateway_classes=["kong", "envoy"])

    agent.refresh_from_db()
    assert session.epoch == agent.session_epoch == 1
    assert agent.is_live
    assert (agent.version, agent.gateway_classes) == ("0.3.0", ["envoy", "kong"])
    assert agent.owner == "here/1"
    assert session.rest_token not in str(session)
    assert Cluster.objects.get().first_active_at is not None
    assert Cluster.objects.with_status().get().status == "active"


def test_the_first_activity_stays(agent):
    open_session(agent)
    first = Cluster.objects.get().first_active_at

    open_session(agent)

    assert Cluster.objects.get().first_active_at == first


def test_a_revoked_agent_cannot_connect(agent):
    Agent.objects.update(revoked_at=timezone.now())

    with pytest.raises(AgentRevoked):
        open_session(agent)

    agent.refresh_from_db()
    assert agent.session_epoch == 0
    assert agent.rest_token_digest == ""


def test_an_unknown_agent_does_not_exist(agent):
    agent.pk = Key().public and make_cluster("x").pk
    with pytest.raises(ObjectDoesNotExist):
        open_session(agent)


def test_only_the_session_that_stands_can_be_closed(agent):
    old, new = open_session(agent), open_session(agent)

    agents.close_session(agent_id=agent.pk, epoch=old.epoch)
    agent.refresh_from_db()
    assert agent.disconnected_at is None

    agents.close_session(agent_id=agent.pk, epoch=new.epoch)
    agent.refresh_from_db()
    assert agent.disconnected_at is not None

    open_session(agent)
    agent.refresh_from_db()
    assert agent.disconnected_at is None


def test_the_rest_token_is_good_for_the_newest_session_only(agent):
    old, new = open_session(agent), open_session(agent)

    assert agents.agent_by_rest_token(new.rest_token) == agent
    with pytest.raises(Unauthenticated):
        agents.agent_by_rest_token(old.rest_token)
    assert new.rest_token not in str(Agent.objects.values().get())


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"last_heartbeat_at": timezone.now() - timedelta(minutes=5, seconds=1)},
        {"rest_token_digest": ""},
    ],
)
def test_the_rest_token_ends_with_the_agent(agent, change):
    session = open_session(agent)
    Agent.objects.update(**change)

    with pytest.raises(Unauthenticated):
        agents.agent_by_rest_token(session.rest_token)


def test_no_token_is_nobodys(agent):
    """An agent that never connected has an empty digest."""
    for token in ("", "iga_", "\udcff", "x" * 10_000):
        with pytest.raises(Unauthenticated):
            agents.agent_by_rest_token(token)


# --- Heartbeats --------------------------------------------------------------------------------


def test_all_beats_are_one_statement(cluster, django_assert_num_queries):
    sessions = []
    for number in range(20):
        key = Key()
        row = Agent.objects.create(cluster=cluster, name=f"a{number}", public_key=key.public)
        sessions.append(open_session(row))
    now = timezone.now() + timedelta(seconds=30)

    with django_assert_num_queries(1), transaction.atomic(savepoint=False):
        agents.record_heartbeats.__wrapped__(  # without its own savepoint
            [(session.agent_id, session.epoch, now) for session in sessions]
        )

    assert set(Agent.objects.values_list("last_heartbeat_at", flat=True)) == {now}


def test_beats_never_go_backwards_and_never_count_for_a_stale_epoch(agent):
    session = open_session(agent)
    at = timezone.now() + timedelta(seconds=30)
    agents.record_heartbeats(beats=[(agent.pk, session.epoch, at)])

    earlier, later = at - timedelta(seconds=10), at + timedelta(seconds=10)
    agents.record_heartbeats(beats=[(agent.pk, session.epoch, earlier)])
    agents.record_heartbeats(beats=[(agent.pk, session.epoch - 1, later)])
    agents.record_heartbeats(beats=[(agent.pk, session.epoch + 1, later)])

    agent.refresh_from_db()
    assert agent.last_heartbeat_at == at


def test_a_revoked_agent_no_longer_beats(agent):
    session = open_session(agent)
    before = Agent.objects.get().last_heartbeat_at
    Agent.objects.update(revoked_at=timezone.now())

    agents.record_heartbeats(beats=[(agent.pk, session.epoch, timezone.now())])

    assert Agent.objects.get().last_heartbeat_at == before


def test_no_beats_need_no_database(django_assert_num_queries, db):
    with django_assert_num_queries(0):
        agents.record_heartbeats.__wrapped__([])


# --- Revocation --------------------------------------------------------------------------------


def admin_of(cluster: Cluster) -> Any:
    return UserFactory(member_of=cluster.organization, role=Role.ADMIN)


def test_revoking_moves_the_epoch_on_and_takes_the_token(agent):
    session = open_session(agent)

    agents.revoke_agent(actor=admin_of(agent.cluster), agent_id=agent.pk)

    agent.refresh_from_db()
    assert agent.revoked_at is not None
    assert agent.session_epoch == session.epoch + 1
    assert agent.rest_token_digest == ""
    assert AuditEvent.objects.filter(action="agent.revoke", object_id=str(agent.pk)).exists()


def test_revoking_twice_changes_nothing_more(agent):
    actor = admin_of(agent.cluster)
    first = agents.revoke_agent(actor=actor, agent_id=agent.pk)

    again = agents.revoke_agent(actor=actor, agent_id=agent.pk)

    assert (again.revoked_at, again.session_epoch) == (first.revoked_at, first.session_epoch)
    assert AuditEvent.objects.filter(action="agent.revoke").count() == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.MEMBER])
def test_only_admins_revoke(agent, role):
    actor = UserFactory(member_of=agent.cluster.organization, role=role)

    with pytest.raises(PermissionDenied):
        agents.revoke_agent(actor=actor, agent_id=agent.pk)


def test_a_stranger_finds_no_agent(agent):
    stranger = admin_of(make_cluster("elsewhere"))

    with pytest.raises(ObjectDoesNotExist):
        agents.revoke_agent(actor=stranger, agent_id=agent.pk)
    assert Agent.objects.get().revoked_at is None


def test_the_database_knows_the_tables_that_raw_sql_names(db):
    assert "clusters_agent" in connection.introspection.table_names()
