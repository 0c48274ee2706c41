"""What a connected agent is told, when, and who is cut off."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from channels.layers import channel_layers
from django.db.models import F
from django.utils import timezone

from accounts.models import Role
from agents.server.options import Timings
from agents.wire import agent_pb2 as pb
from clusters.models import Agent, ClusterState
from clusters.services import agents
from core import notify
from deploy.local.valkey import Valkey
from publishing.models import AgentPublish, DeploymentVerdict
from tests.agents.server.conftest import (
    FAST,
    dial,
    eventually,
    make_cluster,
    make_deployment,
    make_remote,
)
from tests.factories.accounts import UserFactory

LAZY = Timings(sweep=600.0, flush=600.0, drain=0.05)  # only wakes bring news


def move(cluster: Any, **numbers: int) -> None:
    ClusterState.objects.filter(cluster=cluster).update(**numbers)


def drained(wire: Any) -> list[pb.ServerMessage]:
    """Everything until the stream's end."""
    return list(iter(wire.receive, None))


# --- News --------------------------------------------------------------------------------------


def test_a_wake_brings_the_newest_numbers_at_once(start_agentd):
    cluster = make_cluster()
    with dial(start_agentd(timings=LAZY)) as channel:
        wire, _ = make_remote(channel, cluster).connect()
        move(cluster, access_version=5)
        began = time.monotonic()
        notify.wake(cluster.pk)

        assert wire.expect("state_changed").access_version == 5
        assert time.monotonic() - began < 1


def test_a_wake_of_another_cluster_brings_nothing(start_agentd):
    cluster, other = make_cluster(), make_cluster("busan-1")
    with dial(start_agentd(timings=LAZY)) as channel:
        wire, _ = make_remote(channel, cluster).connect()
        move(other, access_version=5)
        notify.wake(other.pk)

        assert wire.nothing()


def test_a_burst_of_wakes_becomes_few_messages_and_the_last_one_tells_the_end(start_agentd):
    cluster = make_cluster()
    with dial(start_agentd(timings=LAZY)) as channel:
        wire, _ = make_remote(channel, cluster).connect()
        for _ in range(50):
            ClusterState.objects.update(access_version=F("access_version") + 1)
            notify.wake(cluster.pk)

        told = [wire.expect("state_changed").access_version]
        while told[-1] < 50:
            told.append(wire.expect("state_changed").access_version)

    assert told == sorted(told)
    assert len(told) < 40


def test_without_a_wake_the_sweep_finds_what_is_behind(remote, cluster):
    wire, _ = remote.connect()
    move(cluster, desired_generation=3, access_version=4)

    news = wire.expect("state_changed", within=3)

    assert (news.generation, news.access_version) == (3, 4)


def test_an_agent_that_stays_behind_is_told_again_until_it_reports(remote, cluster):
    wire, _ = remote.connect()
    move(cluster, desired_generation=3)
    for _ in range(3):
        assert wire.expect("state_changed", within=3).generation == 3

    wire.send(state_report=pb.StateReport(applied_generation=3, settled_generation=3))

    eventually(lambda: remote.row().settled_generation == 3)
    time.sleep(2 * FAST.sweep)
    while not wire.nothing(0.05):  # what was under way
        pass
    assert wire.nothing(3 * FAST.sweep)


# --- Deployments -------------------------------------------------------------------------------


def test_what_waits_goes_out_when_an_agent_connects(remote, cluster):
    deployment = make_deployment(cluster)

    wire, _ = remote.connect()

    command = wire.expect("deploy_command")
    assert command.deployment_id == str(deployment.pk)
    assert command.product_publish_id == str(deployment.publish_id)
    assert command.generation == deployment.generation
    deployment.refresh_from_db()
    assert deployment.status == "DISPATCHED"


def test_every_agent_of_the_cluster_is_asked_and_no_other(channel, cluster):
    first, second = (make_remote(channel, cluster, name) for name in ("agent-1", "agent-2"))
    stranger = make_remote(channel, make_cluster("busan-1"))
    wires = [remote.connect()[0] for remote in (first, second, stranger)]
    deployment = make_deployment(cluster)
    notify.wake(cluster.pk)

    for wire in wires[:2]:
        assert wire.expect("deploy_command").deployment_id == str(deployment.pk)
    assert wires[2].nothing()


def result_of(deployment: Any, outcome: Any, **fields: Any) -> pb.DeployResult:
    values = {
        "deployment_id": str(deployment.pk),
        "revision": deployment.revision.digest,
        "generation": deployment.generation,
        "outcome": outcome,
    }
    return pb.DeployResult(**values | fields)


def test_an_agents_word_decides_the_deployment_and_keeps_its_proof(remote, cluster):
    deployment = make_deployment(cluster)
    wire, _ = remote.connect()
    wire.expect("deploy_command")

    wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLYING))
    call = pb.ProbeCall(
        method="GET", host="api.example.com", port=8080, path="/", expected=200, got=200,
        body="x@y", latency_ms=float("inf"),
    )  # fmt: skip
    timings = pb.Timings(fetch_ms=1.5, apply_ms=20, probe_ms=float("nan"))
    wire.send(
        deploy_result=result_of(
            deployment, pb.OUTCOME_APPLIED, probe=pb.Probe(calls=[call]), timings=timings
        )
    )

    verdict = eventually(lambda: DeploymentVerdict.objects.filter(outcome="applied").first())
    deployment.refresh_from_db()
    assert deployment.status == "SUCCEEDED"
    assert verdict.probe[0]["body"] == "x@y"
    assert verdict.probe[0]["latency_ms"] == 0.0
    assert verdict.timings == {"fetch_ms": 1.5, "apply_ms": 20.0, "probe_ms": 0.0}


def test_the_gateways_own_words_are_kept(remote, cluster):
    deployment = make_deployment(cluster)
    wire, _ = remote.connect()
    wire.expect("deploy_command")

    wire.send(
        deploy_result=result_of(deployment, pb.OUTCOME_FAILED, error="route 7: \x00 no cluster")
    )

    verdict = eventually(lambda: DeploymentVerdict.objects.filter(outcome="failed").first())
    assert "no cluster" in verdict.error
    deployment.refresh_from_db()
    assert deployment.status == "FAILED"


def test_a_state_report_is_stored(remote, cluster):
    publish = make_deployment(cluster).publish
    wire, _ = remote.connect()

    wire.send(
        state_report=pb.StateReport(
            applied_generation=1,
            settled_generation=1,
            access_version=0,
            publishes=[pb.PublishState(id=str(publish.pk), revision="ab" * 32, warning="slow DNS")],
            last_error="none so far",
        )
    )

    seen = eventually(lambda: AgentPublish.objects.filter(agent=remote.agent_id).first())
    assert (seen.revision, seen.warning) == ("ab" * 32, "slow DNS")
    assert remote.row().last_error == "none so far"


def test_a_word_about_what_is_gone_does_not_cost_the_stream(remote, cluster):
    wire, _ = remote.connect()
    deployment = make_deployment(make_cluster("busan-1"))  # another cluster's
    wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
    deployment.pk = cluster.pk  # nobody's
    wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
    wire.send(state_report=pb.StateReport(last_error="still here"))

    eventually(lambda: remote.row().last_error == "still here")
    assert not DeploymentVerdict.objects.filter(agent=remote.agent_id).exists()


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


# --- Redis -------------------------------------------------------------------------------------


@pytest.fixture
def own_valkey(tmp_path_factory, settings):
    """One that this test may stop, for the channel layer of this test alone."""
    home = Path(tmp_path_factory.mktemp("valkey"))
    for folder in (home, *list(home.parents)[:2]):
        folder.chmod(0o755)
    server = Valkey(home / "v")
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": server.url}], "prefix": "imp"},
        }
    }
    channel_layers.backends.clear()
    yield server
    server.stop()
    server.destroy()
    channel_layers.backends.clear()


def test_without_redis_everything_arrives_a_sweep_later_and_wakes_come_back(
    own_valkey, start_agentd, caplog
):
    cluster = make_cluster()
    with dial(start_agentd()) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()  # Redis is not even there yet
        deployment = make_deployment(cluster)
        notify.wake(cluster.pk)
        assert wire.expect("deploy_command", within=3).deployment_id == str(deployment.pk)
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
        eventually(lambda: DeploymentVerdict.objects.filter(outcome="applied").exists())

        own_valkey.start()
        eventually(lambda: "Listening for wakes" in caplog.text)
        own_valkey.stop()  # and it goes again, under way
        move(cluster, access_version=5)
        assert eventually(lambda: wire.expect("state_changed", within=3).access_version == 5)
        agents.open_session(agent_id=remote.agent_id, version="", gateway_classes=[], owner="e/1")
        assert wire.expect("goodbye", within=5).reason == pb.Goodbye.SUPERSEDED


def test_wakes_arrive_again_after_redis_was_away(own_valkey, start_agentd, caplog):
    cluster = make_cluster()
    own_valkey.start()
    with dial(start_agentd(timings=LAZY)) as channel:
        wire, _ = make_remote(channel, cluster).connect()
        eventually(lambda: "Listening for wakes" in caplog.text)
        own_valkey.stop()
        own_valkey.start()
        move(cluster, access_version=5)

        def woken() -> bool:
            notify.wake(cluster.pk)
            return not wire.nothing(0.3)

        assert eventually(woken)


# --- Slow agents -------------------------------------------------------------------------------


def test_an_agent_that_does_not_read_is_dropped_and_disturbs_nobody(start_agentd):
    """HTTP/2 flow control holds the server's write back; after the time limit the stream is dropped."""
    cluster = make_cluster()
    agentd = start_agentd(timings=replace(LAZY, write=0.5))
    window = ("grpc.http2.lookahead_bytes", 5), ("grpc.http2.bdp_probe", 0)
    with dial(agentd, *window) as narrow, dial(agentd) as channel:
        eager, _ = make_remote(channel, cluster, "eager").connect()
        lazy = make_remote(narrow, cluster, "lazy")
        silent = lazy.dial(reads=False)
        eventually(lambda: lazy.agent_id in agentd.server.hub.streams)
        move(cluster, access_version=5)
        notify.wake(cluster.pk)

        assert eager.expect("state_changed", within=1).access_version == 5
        eventually(lambda: lazy.agent_id not in agentd.server.hub.streams, within=2)
        eventually(lambda: lazy.row().disconnected_at)
        silent.cancel()
