"""What agentd asks and reports: repeated, late, stale, or of another cluster."""

from __future__ import annotations

import hashlib
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist
from google.protobuf import json_format

from agents.wire import bundle_pb2
from clusters.models import Agent
from core.addresses import DENIED_NETWORKS
from core.errors import DomainError, InvalidInput
from publishing.models import AgentPublish, DeploymentVerdict
from publishing.services import agents
from tests.factories.clusters import AgentFactory
from tests.factories.publishing import ProductPublishFactory
from tests.publishing.stage import Stage, gone

pytestmark = pytest.mark.django_db


# --- Sending -----------------------------------------------------------------------------------


def test_dispatch_asks_every_live_agent_once():
    stage = Stage(agent_count=2)
    AgentFactory(cluster=stage.cluster, stale=True)
    AgentFactory(cluster=stage.cluster, disconnected=True)
    AgentFactory(cluster=stage.cluster, live=True, revoked=True)
    AgentFactory(live=True)
    deployment = stage.click()
    stage.dispatch()
    stage.dispatch()
    assert set(stage.outcomes()) == {agent.name for agent in stage.agents}
    command = agents.Command(deployment.pk, stage.publish.pk, 1)
    ids = [agent.pk for agent in stage.agents]
    assert agents.pending_commands(agent_ids=ids) == {pk: [command] for pk in ids}


def test_dispatch_and_sweep_are_one_query_when_there_is_nothing_to_do(django_assert_num_queries):
    stage = Stage(agent_count=2)
    stage.click()
    stage.dispatch()
    with django_assert_num_queries(1):
        stage.dispatch()
    with django_assert_num_queries(1):
        stage.sweep()


def test_another_clusters_deployments_are_not_touched():
    stage, other = Stage(), Stage()
    other.click()
    stage.dispatch()
    assert other.open.status == "QUEUED"


def test_who_has_answered_gets_no_command():
    stage = Stage(agent_count=3)
    stage.click()
    stage.dispatch()
    stage.say("applying", stage.agents[0])
    stage.say("applied", stage.agents[1])
    assert stage.commanded() == {stage.agents[2].pk}


def test_a_closed_deployment_is_no_command():
    stage = Stage(agent_count=2)
    stage.click()
    stage.dispatch()
    stage.say("failed", stage.agents[0])
    assert stage.commanded() == set()


# --- Results -----------------------------------------------------------------------------------


def test_a_session_that_is_over_changes_nothing():
    stage = Stage()
    stage.click()
    stage.dispatch()
    with pytest.raises(DomainError) as refusal:
        stage.say("applied", epoch=stage.agents[0].session_epoch - 1)
    assert refusal.value.code == "stale_epoch"
    assert stage.outcomes() == {stage.agents[0].name: "pending"}


def test_a_revoked_agent_has_nothing_to_say():
    stage = Stage()
    stage.click()
    stage.dispatch()
    Agent.objects.filter(pk=stage.agents[0].pk).update(revoked_at="2026-01-01T00:00Z")
    with pytest.raises(DomainError) as refusal:
        stage.say("applied")
    assert refusal.value.code == "stale_epoch"


def test_a_repeat_is_no_second_verdict():
    stage = Stage(agent_count=2)
    deployment = stage.click()
    stage.dispatch()
    for _again in range(3):
        stage.say("applying")
    for _again in range(3):
        stage.say("applied")
    assert deployment.verdicts.count() == 2
    assert stage.happenings().count("applied") == 1
    stage.say("applied", stage.agents[1])
    stage.say("applied", stage.agents[1], deployment=deployment)
    assert stage.happenings().count("published") == 1
    assert stage.generation() == 1


def test_the_first_final_word_counts():
    stage = Stage(agent_count=2)
    deployment = stage.click()
    stage.dispatch()
    stage.say("applied")
    stage.say("failed")
    stage.say("applying")
    assert stage.outcomes()[stage.agents[0].name] == "applied"
    assert stage.open == deployment


def test_a_word_on_another_revision_changes_nothing():
    stage = Stage()
    stage.click()
    stage.dispatch()
    stage.say("applied", revision="0" * 64)
    stage.say("failed", revision="")
    assert stage.open.status == "DISPATCHED"
    assert stage.outcomes() == {stage.agents[0].name: "pending"}


def test_a_word_after_the_end_is_kept_and_changes_nothing():
    stage = Stage(agent_count=2)
    here, away = stage.agents
    deployment = stage.click()
    stage.dispatch()
    gone(away)
    stage.say("applied", here)
    stage.sweep()
    assert stage.fresh().status == "PUBLISHED"
    stage.say("failed", away, deployment=deployment)
    assert stage.outcomes() == {here.name: "applied", away.name: "failed"}
    deployment.refresh_from_db()
    assert (deployment.status, stage.fresh().status) == ("SUCCEEDED", "PUBLISHED")


def test_a_deployment_of_another_cluster_or_of_none_is_ignored():
    stage, other = Stage(), Stage()
    foreign = other.click()
    other.dispatch()
    stage.say("failed", deployment=foreign)
    assert other.open == foreign
    stage.say("applied", deployment=foreign, deployment_id=uuid4())
    assert DeploymentVerdict.objects.filter(agent=stage.agents[0]).count() == 0


def test_an_outcome_that_nobody_knows_is_refused():
    stage = Stage()
    stage.click()
    with pytest.raises(InvalidInput):
        stage.say("waived")


def test_a_proof_says_where_it_is_live_before_the_next_report():
    stage = Stage()
    deployment = stage.serve()
    row = AgentPublish.objects.get()
    assert (row.agent, row.revision) == (stage.agents[0], deployment.revision.digest)


# --- State -------------------------------------------------------------------------------------


def served(publish, digest="a" * 64, error="", warning=""):
    return {"id": publish.pk, "revision": digest, "error": error, "warning": warning}


def test_a_report_is_what_the_gateway_serves_complete():
    stage = Stage()
    other = ProductPublishFactory(cluster=stage.cluster)
    warning = "name does not resolve"
    stage.report(
        publishes=[served(stage.publish), served(other, "b" * 64, warning=warning)],
        applied_generation=7,
        settled_generation=8,
        access_version=9,
        last_error="oops",
    )
    agent = Agent.objects.get(pk=stage.agents[0].pk)
    assert (agent.applied_generation, agent.settled_generation, agent.access_version) == (7, 8, 9)
    assert agent.last_error == "oops"
    assert dict(AgentPublish.objects.values_list("publish", "revision")) == {
        stage.publish.pk: "a" * 64,
        other.pk: "b" * 64,
    }
    stage.report(publishes=[served(other, "c" * 64)])
    assert dict(AgentPublish.objects.values_list("publish", "revision")) == {
        stage.publish.pk: "",
        other.pk: "c" * 64,
    }
    assert AgentPublish.objects.get(publish=other).warning == ""


def test_a_report_of_another_clusters_publish_is_ignored():
    stage, other = Stage(), Stage()
    stage.report(publishes=[served(other.publish), served(stage.publish)])
    assert AgentPublish.objects.get().publish == stage.publish


def test_a_report_of_a_session_that_is_over_changes_nothing():
    stage = Stage()
    with pytest.raises(DomainError) as refusal:
        stage.report(epoch=0, publishes=[served(stage.publish)])
    assert refusal.value.code == "stale_epoch"
    assert not AgentPublish.objects.exists()


def test_a_report_that_says_nothing_new_writes_nothing(django_assert_num_queries):
    stage = Stage()
    publishes = [ProductPublishFactory(cluster=stage.cluster) for _each in range(4)]
    rows = [served(publish) for publish in publishes]
    with django_assert_num_queries(7):  # savepoint 2, agent 2, known, own, upsert
        stage.report(publishes=rows)
    with django_assert_num_queries(4):  # savepoint 2, agent, known
        stage.report(publishes=rows)


# --- Reading -----------------------------------------------------------------------------------


def manifest_of(stage: Stage) -> bundle_pb2.Manifest:
    """Strictly: an unknown field or a wrong type is an error."""
    return json_format.ParseDict(agents.manifest(agent=stage.agents[0]), bundle_pb2.Manifest())


def test_the_manifest_is_what_the_cluster_should_run():
    stage = Stage(agent_count=2)
    AgentFactory(cluster=stage.cluster, revoked=True)
    stage.cluster.allowed_networks, stage.cluster.trusted_hops = ["127.0.0.0/8"], 2
    stage.cluster.save()
    other = ProductPublishFactory(cluster=stage.cluster, published=True)
    ProductPublishFactory(cluster=stage.cluster)
    ProductPublishFactory(published=True)
    deployment = stage.click()

    manifest = manifest_of(stage)
    assert (manifest.generation, manifest.access_version) == (1, 0)
    assert manifest.lineage == str(stage.cluster.state.lineage)
    assert manifest.cluster_id == str(stage.cluster.pk)
    assert manifest.agent_count == 2
    assert list(manifest.denied_networks) == list(DENIED_NETWORKS)
    assert list(manifest.allowed_networks) == ["127.0.0.0/8"]
    assert manifest.trusted_hops == 2
    assert {row.publish_id: (row.revision, row.deployment_id) for row in manifest.publishes} == {
        str(stage.publish.pk): (deployment.revision.digest, str(deployment.pk)),
        str(other.pk): (other.live_revision.digest, ""),
    }
    assert not manifest.withdrawals


def test_a_deployment_is_named_while_it_is_open():
    stage = Stage()
    stage.serve()
    assert [row.deployment_id for row in manifest_of(stage).publishes] == [""]


def test_a_withdrawal_is_named_while_it_is_open():
    stage = Stage()
    stage.serve()
    withdrawal = stage.withdraw()
    manifest = manifest_of(stage)
    assert not manifest.publishes
    assert [(row.publish_id, row.deployment_id) for row in manifest.withdrawals] == [
        (str(stage.publish.pk), str(withdrawal.pk))
    ]
    stage.dispatch()
    stage.say("applied")
    assert not manifest_of(stage).withdrawals


def test_the_manifest_and_its_tag_are_one_query_each_for_many_publishes(django_assert_num_queries):
    stage = Stage()
    for _each in range(5):
        ProductPublishFactory(cluster=stage.cluster, published=True)
    with django_assert_num_queries(1):
        agents.manifest(agent=stage.agents[0])
    with django_assert_num_queries(1):
        agents.manifest_tag(agent=stage.agents[0])


def test_the_same_state_is_the_same_manifest():
    stage = Stage()
    for _each in range(5):
        ProductPublishFactory(cluster=stage.cluster, published=True)
    assert agents.manifest(agent=stage.agents[0]) == agents.manifest(agent=stage.agents[0])


def test_bundles_of_what_is_wanted_or_live_can_be_had():
    stage = Stage()
    first = stage.serve()
    stage.change()
    second = stage.click()
    for revision in (first.revision, second.revision):
        document = agents.bundle(agent=stage.agents[0], digest=revision.digest)
        assert hashlib.sha256(document.encode()).hexdigest() == revision.digest
        bundle = json_format.Parse(document, bundle_pb2.Bundle())
        assert bundle.publish_id == str(stage.publish.pk)


def test_bundles_of_another_cluster_or_that_nobody_wants_do_not_exist():
    stage, other = Stage(), Stage()
    foreign = other.serve().revision.digest
    old = stage.serve().revision.digest
    stage.change()
    stage.serve()
    for digest in (foreign, old, "0" * 64, ""):
        with pytest.raises(ObjectDoesNotExist):
            agents.bundle(agent=stage.agents[0], digest=digest)
