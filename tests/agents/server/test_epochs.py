"""Only the newest session of an agent counts; heartbeats belong to it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import grpc
import pytest
from django.db.models import F
from django.utils import timezone

from accounts.models import Role
from agents.wire import agent_pb2 as pb
from clusters.models import Agent
from clusters.services import agents
from publishing.models import DeploymentVerdict
from tests.agents.server.rig import (
    FAST,
    LAZY,
    dial,
    eventually,
    make_cluster,
    make_deployment,
    make_remote,
    result_of,
)
from tests.factories.accounts import UserFactory


def drained(wire: Any) -> list[pb.ServerMessage]:
    """Everything until the stream's end."""
    return list(iter(wire.receive, None))


# --- Epochs ------------------------------------------------------------------------------------


def test_the_replaced_stream_is_told_and_its_words_count_no_more(remote):
    old, _ = remote.connect()
    new, _ = remote.connect()

    goodbye = old.expect("goodbye")

    assert goodbye.reason == pb.Goodbye.SUPERSEDED
    assert old.receive() is None
    assert old.status() == grpc.StatusCode.OK
    new.send(state_report=pb.StateReport(last_error="mine"))
    eventually(lambda: remote.row().last_error == "mine")
    assert remote.row().disconnected_at is None


def test_an_epoch_that_moved_elsewhere_cuts_the_stream_within_the_sweep(remote):
    """As when the agent connected to another process."""
    wire, _ = remote.connect()
    session = agents.open_session(
        agent_id=remote.agent_id, version="", gateway_classes=[], owner="elsewhere/1"
    )

    assert wire.expect("goodbye", within=5).reason == pb.Goodbye.SUPERSEDED
    assert wire.receive() is None
    row = remote.row()
    assert (row.session_epoch, row.disconnected_at) == (session.epoch, None)


def test_two_processes_agree_on_the_newest_stream(start_agentd):
    cluster = make_cluster()
    with dial(start_agentd()) as one, dial(start_agentd()) as two:
        remote = make_remote(one, cluster)
        old, _ = remote.connect()
        remote.channel = two
        new, _ = remote.connect()

        assert old.expect("goodbye", within=5).reason == pb.Goodbye.SUPERSEDED
        assert new.nothing()
        assert remote.row().session_epoch == 2


def test_a_stale_epoch_writes_nothing(start_agentd):
    """Between the takeover and the sweep the old stream still talks."""
    cluster = make_cluster()
    with dial(start_agentd(timings=LAZY)) as channel:
        remote = make_remote(channel, cluster)
        deployment = make_deployment(cluster)
        wire, _ = remote.connect()
        wire.expect("deploy_command")
        agents.open_session(
            agent_id=remote.agent_id, version="", gateway_classes=[], owner="elsewhere/1"
        )
        before = Agent.objects.values().get()

        wire.send(heartbeat=pb.Heartbeat())
        wire.send(state_report=pb.StateReport(applied_generation=9, last_error="stale"))
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))

        # The dropped word makes the server look, and cut.
        assert wire.expect("goodbye", within=5).reason == pb.Goodbye.SUPERSEDED
        drained(wire)
    assert Agent.objects.values().get() == before
    assert set(DeploymentVerdict.objects.values_list("outcome", flat=True)) == {"pending"}


@pytest.mark.parametrize("timings", [FAST, LAZY], ids=["by the sweep", "by the wake"])
def test_a_revoked_agent_is_cut_within_five_seconds(start_agentd, timings):
    cluster = make_cluster()
    actor = UserFactory(member_of=cluster.organization, role=Role.ADMIN)
    with dial(start_agentd(timings=timings)) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()
        began = time.monotonic()
        if timings is FAST:
            Agent.objects.update(revoked_at=timezone.now(), session_epoch=F("session_epoch") + 1)
        else:
            agents.revoke_agent(actor=actor, agent_id=remote.agent_id)

        assert wire.expect("goodbye").reason == pb.Goodbye.REVOKED
        assert wire.receive() is None
        assert time.monotonic() - began < 5
        assert remote.dial().receive() is None


def test_a_deleted_agent_is_cut_too(remote, cluster):
    wire, _ = remote.connect()

    Agent.objects.all().delete()

    assert wire.expect("goodbye", within=5).reason == pb.Goodbye.REVOKED


# --- Heartbeats --------------------------------------------------------------------------------


def test_beats_are_collected_and_keep_the_time_of_their_arrival(start_agentd):
    cluster = make_cluster()
    agentd = start_agentd(timings=LAZY)
    with dial(agentd) as channel:
        remotes = [make_remote(channel, cluster, f"agent-{number}") for number in range(5)]
        wires = [remote.connect()[0] for remote in remotes]
        hub = agentd.server.hub
        before = {row.pk: row.last_heartbeat_at for row in Agent.objects.all()}
        for wire in wires:
            wire.send(heartbeat=pb.Heartbeat())
        eventually(lambda: len(hub._beats) == 5)
        beats = {agent_id: at for agent_id, (_epoch, at) in hub._beats.items()}
        time.sleep(0.2)
        assert {row.pk: row.last_heartbeat_at for row in Agent.objects.all()} == before

        agentd.run(hub.flush())

        assert {row.pk: row.last_heartbeat_at for row in Agent.objects.all()} == beats
        assert not hub._beats


def test_beats_are_flushed_by_themselves(remote):
    wire, _ = remote.connect()
    before = remote.row().last_heartbeat_at

    wire.send(heartbeat=pb.Heartbeat())

    eventually(lambda: remote.row().last_heartbeat_at > before)


def test_connecting_is_the_first_beat(remote):
    remote.connect()

    assert timezone.now() - remote.row().last_heartbeat_at < timedelta(seconds=5)


def test_an_unchanged_report_is_a_beat_and_no_write(start_agentd):
    cluster = make_cluster()
    agentd = start_agentd(timings=LAZY)
    with dial(agentd) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()
        report = pb.StateReport(last_error="same")
        wire.send(state_report=report)
        eventually(lambda: remote.row().last_error == "same")
        Agent.objects.update(last_error="changed behind its back")

        wire.send(state_report=report)
        wire.send(heartbeat=pb.Heartbeat())
        time.sleep(0.3)
        assert remote.row().last_error == "changed behind its back"

        wire.send(state_report=pb.StateReport(last_error="another"))
        eventually(lambda: remote.row().last_error == "another")
