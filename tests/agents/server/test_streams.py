"""What a connected agent is told, when, and who is cut off."""

from __future__ import annotations

import time

from django.db.models import F

from agents.wire import agent_pb2 as pb
from clusters.models import ClusterState
from core import notify
from publishing.models import AgentPublish, DeploymentVerdict
from tests.agents.server.rig import (
    FAST,
    LAZY,
    dial,
    eventually,
    make_cluster,
    make_deployment,
    make_remote,
    move,
    result_of,
)

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
