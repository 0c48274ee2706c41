"""An agent's last word on a deployment is lost: it is asked again, or says it again, with no one's help."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from agents.wire import agent_pb2 as pb
from clusters.models import Agent
from publishing.models import DeploymentVerdict
from publishing.services import agents as publishing
from publishing.states import Outcome, Progress
from tests.agents.server.rig import (
    FAST,
    Remote,
    dial,
    eventually,
    make_cluster,
    make_deployment,
    make_remote,
    result_of,
)


def outcome() -> str:
    return DeploymentVerdict.objects.values_list("outcome", flat=True).get()


def named(remote: Remote) -> set[str]:
    manifest = publishing.manifest(agent=Agent.objects.get(pk=remote.agent_id))
    return {row["deployment_id"] for row in manifest["publishes"]}


def test_the_stream_dies_with_the_last_word_and_the_next_one_brings_it(start_agentd):
    cluster = make_cluster()
    first = start_agentd()
    with dial(first) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()
        deployment = make_deployment(cluster)
        wire.expect("deploy_command")
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLYING))
        eventually(lambda: outcome() == Outcome.APPLYING)
        first.stop()  # the last word goes to a server that is gone
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
    assert outcome() == Outcome.APPLYING

    with dial(start_agentd()) as channel:
        again = Remote(channel, remote.key, remote.agent_id)
        wire, _ = again.connect()
        assert named(again) == {str(deployment.pk)}  # what a connected agent reads first
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
        eventually(lambda: outcome() == Outcome.APPLIED)
    deployment.refresh_from_db()
    assert deployment.status == Progress.SUCCEEDED
    assert named(again) == {""}


def test_an_agent_that_began_and_said_no_more_is_asked_again(start_agentd):
    cluster = make_cluster()
    with dial(start_agentd(timings=FAST)) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()
        deployment = make_deployment(cluster)
        wire.expect("deploy_command")
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLYING))
        eventually(lambda: outcome() == Outcome.APPLYING)
        wire.send(state_report=pb.StateReport(settled_generation=1))
        eventually(lambda: remote.row().settled_generation == 1)
        while not wire.nothing(0.5):
            pass  # it works: nothing more is asked
        long_ago = timezone.now() - publishing.QUIET - timedelta(seconds=1)
        DeploymentVerdict.objects.update(updated_at=long_ago)

        assert wire.expect("deploy_command").deployment_id == str(deployment.pk)
        assert named(remote) == {str(deployment.pk)}
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
        eventually(lambda: outcome() == Outcome.APPLIED)
    deployment.refresh_from_db()
    assert deployment.status == Progress.SUCCEEDED
