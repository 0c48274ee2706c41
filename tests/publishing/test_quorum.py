"""Whose word is waited for: those that drive the gateway's class, and none of them for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import AuditEvent
from clusters.models import Agent
from publishing import services
from publishing.models import DeploymentVerdict
from publishing.services import agents
from publishing.states import Kind, Progress, Status
from tests.factories.clusters import AgentFactory
from tests.publishing.stage import Stage, back, gone

pytestmark = pytest.mark.django_db
DEADLINE = timedelta(seconds=settings.DEPLOYMENT_DEADLINE_SECONDS)


def passes(span: timedelta = DEADLINE) -> None:
    """Time, while every agent beats on."""
    then = timezone.now() - span
    DeploymentVerdict.objects.update(updated_at=then)
    Agent.objects.update(last_heartbeat_at=timezone.now())


# --- The deadline ------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["pending", "applying"])
def test_a_connected_agent_that_never_answers_fails_the_deployment(outcome):
    stage = Stage(agent_count=2)
    stage.click()
    stage.dispatch()
    silent = stage.agents[1]
    if outcome == "applying":
        stage.say("applying", silent)
    stage.say("applied", stage.agents[0])
    passes()
    stage.sweep()

    deployment, publish = stage.latest(), stage.fresh()
    words = "connected, but gave no answer within 5 minutes"
    assert (deployment.status, deployment.detail) == (Progress.FAILED, f"{silent.name}: {words}")
    assert (publish.status, publish.wanted_revision) == (Status.DRAFT, None)
    assert stage.outcomes() == {stage.agents[0].name: "applied", silent.name: "failed"}
    assert deployment.verdicts.get(agent=silent).error == words
    assert stage.happenings()[-1] == "failed"
    assert AuditEvent.objects.filter(action="deployment.fail").count() == 1
    assert stage.generation() == 2  # every gateway goes back


def test_before_its_time_is_up_it_is_waited_for():
    stage = Stage()
    stage.click()
    stage.dispatch()
    passes(DEADLINE - timedelta(seconds=20))
    stage.sweep()
    assert stage.open.status == Progress.DISPATCHED


def test_a_new_revision_that_gets_no_answer_leaves_the_old_one_live():
    stage = Stage()
    first = stage.serve()
    stage.change()
    stage.click()
    stage.dispatch()
    passes()
    stage.sweep()
    publish = stage.fresh()
    assert publish.live_revision == publish.wanted_revision == first.revision


def test_a_withdrawal_without_an_answer_fails_and_the_publish_stays():
    stage = Stage()
    stage.serve()
    stage.withdraw()
    stage.dispatch()
    passes()
    stage.sweep()
    assert (stage.latest().kind, stage.latest().status) == (Kind.WITHDRAW, Progress.FAILED)
    assert stage.fresh().status == Status.PUBLISHED


def test_an_agent_that_is_away_is_not_overdue():
    stage = Stage(agent_count=2)
    stage.serve()
    stage.withdraw()
    stage.dispatch()
    passes()
    gone(stage.agents[0])
    gone(stage.agents[1])
    stage.sweep()
    assert stage.open.kind == Kind.WITHDRAW


def test_whoever_comes_back_has_its_time_anew():
    stage = Stage()
    stage.serve()
    stage.withdraw()
    stage.dispatch()
    gone(stage.agents[0])
    stage.sweep()
    passes()
    back(stage.agents[0])
    Agent.objects.update(connected_at=timezone.now())
    stage.sweep()
    assert stage.open.status == Progress.DISPATCHED
    Agent.objects.update(connected_at=timezone.now() - DEADLINE)
    stage.sweep()
    assert stage.latest().status == Progress.FAILED


def test_its_word_after_that_changes_nothing():
    stage = Stage()
    deployment = stage.click()
    stage.dispatch()
    passes()
    stage.sweep()
    stage.say("applied", deployment=deployment)
    assert stage.fresh().status == Status.DRAFT
    assert set(stage.outcomes(deployment).values()) == {"failed"}


# --- Classes -----------------------------------------------------------------------------------------


def of_kong(stage: Stage, **traits) -> Agent:
    return AgentFactory(cluster=stage.cluster, gateway_classes=["kong"], **traits)


def test_agents_of_another_class_are_neither_asked_nor_waited_for():
    stage = Stage()
    other = of_kong(stage, live=True)
    deployment = stage.serve()
    assert stage.outcomes(deployment) == {stage.agents[0].name: "applied"}
    assert stage.fresh().status == Status.PUBLISHED
    assert agents.pending_commands(agent_ids=[other.pk]) == {}


def test_their_words_do_not_count():
    stage = Stage()
    other = of_kong(stage, live=True)
    stage.click()
    stage.dispatch()
    stage.say("failed", other)
    assert stage.open.status == Progress.DISPATCHED
    assert stage.outcomes() == {stage.agents[0].name: "pending"}


def test_when_nobody_drives_the_class_it_waits_and_says_so():
    stage = Stage()
    of_kong(stage, live=True)
    gone(stage.agents[0])
    deployment = stage.click()
    reason = "no agent that drives envoy is connected"
    assert (deployment.status, deployment.detail) == (Progress.QUEUED, reason)
    stage.dispatch()
    assert (stage.open.status, stage.open.detail) == (Progress.QUEUED, reason)
    back(stage.agents[0])
    stage.sweep()
    assert (stage.open.status, stage.open.detail) == (Progress.DISPATCHED, "")


def test_who_is_lost_while_others_drive_another_class():
    stage = Stage()
    of_kong(stage, live=True)
    stage.click()
    stage.dispatch()
    gone(stage.agents[0])
    stage.sweep()
    reason = "no agent that drives envoy is connected"
    assert (stage.open.status, stage.open.detail) == (Progress.QUEUED, reason)


def test_an_agent_hears_only_of_what_it_drives():
    stage = Stage()
    deployment = stage.click()
    other = of_kong(stage, live=True)
    both = AgentFactory(cluster=stage.cluster, gateway_classes=["envoy", "kong"], live=True)

    def named(agent: Agent) -> list[str]:
        return [row["publish_id"] for row in agents.manifest(agent=agent)["publishes"]]

    mine = [str(deployment.publish_id)]
    assert [named(agent) for agent in (stage.agents[0], other, both)] == [mine, [], mine]
    tags = {agents.manifest_tag(agent=agent) for agent in (stage.agents[0], other, both)}
    assert len(tags) == 3
    counts = [
        agents.manifest(agent=agent)["agent_count"] for agent in (stage.agents[0], other, both)
    ]
    assert counts == [2, 2, 3]  # who shares the limits of a publish with it


def test_a_withdrawal_asks_whoever_served_it_whatever_it_drives_now():
    stage = Stage(agent_count=2)
    stage.serve()
    Agent.objects.filter(pk=stage.agents[1].pk).update(gateway_classes=["kong"])
    stage.withdraw()
    stage.dispatch()
    assert set(stage.outcomes()) == {agent.name for agent in stage.agents}
    stage.say("applied", stage.agents[0])
    assert stage.fresh().status == Status.PUBLISHED
    stage.say("applied", Agent.objects.get(pk=stage.agents[1].pk))
    assert stage.fresh().status == Status.WITHDRAWN


def test_a_sweep_finds_nothing_to_do_for_agents_of_another_class(django_assert_num_queries):
    stage = Stage()
    of_kong(stage, live=True)
    stage.click()
    stage.dispatch()
    with django_assert_num_queries(1):
        stage.sweep()


def test_a_cancelled_deployment_of_nobodys_class():
    stage = Stage()
    of_kong(stage, live=True)
    gone(stage.agents[0])
    deployment = stage.click()
    services.cancel(actor=stage.user, deployment_id=deployment.pk)
    assert stage.fresh().wanted_revision is None
