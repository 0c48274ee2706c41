"""The words of many agents at once: as if each had come alone, for the price of one."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from clusters.models import Agent
from core.errors import InvalidInput
from publishing.models import Deployment
from publishing.services.reports import StaleSession
from publishing.services.verdicts import Answer, Word, record_results
from publishing.states import Progress, Status
from tests.factories.clusters import AgentFactory
from tests.publishing.stage import PROOF, Stage, revoked

pytestmark = pytest.mark.django_db


def word(stage: Stage, agent: Agent, outcome: str = "applied", **fields: Any) -> Word:
    deployment: Deployment = fields.pop("deployment", None) or stage.latest()
    values = {
        "agent_id": agent.pk,
        "epoch": agent.session_epoch,
        "deployment_id": deployment.pk,
        "revision": deployment.revision.digest if deployment.revision else "",
        "outcome": outcome,
        "error": "Address already in use" if outcome == "failed" else "",
        "probe": [PROOF] if outcome == "applied" else [],
        "timings": {"apply_ms": 2.0},
    }
    return Word(**values | fields)


def refusals(answers: list[Answer]) -> list[type | None]:
    return [type(answer) if answer else None for answer in answers]


@pytest.fixture
def stage() -> Stage:
    stage = Stage(agent_count=3)
    stage.click()
    stage.dispatch()
    return stage


def test_all_at_once_is_published(stage):
    assert refusals(record_results([word(stage, each) for each in stage.agents])) == [None] * 3
    assert stage.fresh().status == Status.PUBLISHED
    assert set(stage.outcomes().values()) == {"applied"}
    assert stage.happenings() == ["requested", "dispatched", *["applied"] * 3, "published"]
    assert set(stage.publish.on_agents.values_list("revision", flat=True)) == {
        stage.fresh().live_revision.digest
    }


def test_a_hundred_cost_hardly_more_than_one(stage, django_assert_max_num_queries):
    stage.agents += [AgentFactory(cluster=stage.cluster, live=True) for _each in range(97)]
    stage.dispatch()
    begun = [word(stage, each, "applying") for each in stage.agents]
    done = [word(stage, each) for each in stage.agents]
    with django_assert_max_num_queries(10):
        record_results(begun)
    with django_assert_max_num_queries(36):
        record_results(done)
    assert stage.fresh().status == Status.PUBLISHED


def test_of_several_the_first_refusal_ends_it_and_the_rest_is_kept(stage):
    first, second, third = stage.agents
    record_results(
        [word(stage, first), word(stage, second, "failed"), word(stage, third, "failed")]
    )
    deployment = stage.latest()
    assert (deployment.status, deployment.detail) == (
        Progress.FAILED,
        f"{second.name}: Address already in use",
    )
    assert stage.outcomes() == {first.name: "applied", second.name: "failed", third.name: "failed"}
    assert stage.happenings()[-3:] == ["applied", "refused", "failed"]
    assert stage.fresh().wanted_revision is None


def test_a_newcomers_word_after_a_refusal_in_the_same_batch_is_moot(stage):
    newcomer = AgentFactory(cluster=stage.cluster, live=True)
    record_results([word(stage, stage.agents[0], "failed"), word(stage, newcomer)])
    assert newcomer.name not in stage.outcomes()


def test_a_newcomers_word_counts_while_it_is_open(stage):
    newcomer = AgentFactory(cluster=stage.cluster, live=True)
    record_results([word(stage, newcomer)])
    assert stage.outcomes()[newcomer.name] == "applied"


def test_applying_and_applied_of_one_agent_in_one_batch(stage):
    agent = stage.agents[0]
    record_results([word(stage, agent, "applying"), word(stage, agent)])
    record_results([word(stage, agent, "failed")])  # the first final word stands
    assert stage.outcomes()[agent.name] == "applied"
    assert stage.latest().status == Progress.APPLYING


def test_each_is_answered_for_itself(stage):
    elsewhere = AgentFactory(live=True)
    gone = AgentFactory(cluster=stage.cluster, live=True)
    revoked(gone)
    words = [
        word(stage, stage.agents[0]),
        word(stage, stage.agents[1], epoch=0),
        word(stage, gone),
        word(stage, stage.agents[1], "dancing"),
        word(stage, elsewhere),
        word(stage, stage.agents[1], revision="0" * 64),
        word(stage, stage.agents[1], deployment_id=uuid4()),
        word(stage, stage.agents[2]),
    ]
    assert refusals(record_results(words)) == [
        None,
        StaleSession,
        StaleSession,
        InvalidInput,
        None,
        None,
        None,
        None,
    ]
    assert sorted(stage.outcomes().values()) == ["applied", "applied", "pending"]


def test_several_deployments_in_one_batch(stage):
    other = Stage(settings={"cluster": stage.cluster})
    other.click()
    other.dispatch()
    everybody = [*stage.agents, *other.agents]
    record_results([word(each, agent) for agent in everybody for each in (stage, other)])
    assert {stage.fresh().status, other.fresh().status} == {Status.PUBLISHED}


def test_nothing_is_no_question(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert record_results([]) == []
