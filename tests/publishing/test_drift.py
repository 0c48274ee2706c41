"""What gateways serve against what is live: told once when it differs, and once when it is over."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from clusters.models import Agent
from publishing import services
from publishing.models import AgentPublish, ProductPublish, PublishEvent
from publishing.services import drift
from publishing.states import Happening, Progress, Status
from tests.factories.clusters import AgentFactory
from tests.factories.publishing import ProductPublishFactory
from tests.publishing.stage import Stage
from tests.publishing.test_api import client_of, data, path_of

pytestmark = pytest.mark.django_db


def says(stage: Stage, revision: str, agent: Agent | None = None, **fields: Any) -> None:
    """The agent's read-back, all that was asked of it being done."""
    row = {"id": stage.publish.pk, "revision": revision, "error": "", "warning": ""}
    numbers = {"settled_generation": stage.generation(), "applied_generation": stage.generation()}
    rest = {name: fields.pop(name) for name in ("error", "warning") if name in fields}
    stage.report(agent, publishes=[row | rest], **numbers | fields)


def told(stage: Stage) -> list[str]:
    return [kind for kind in stage.happenings() if kind in ("drifted", "restored")]


def live_on(stage: Stage) -> tuple[int, int]:
    row = ProductPublish.objects.with_reach().get(pk=stage.publish.pk)
    return row.live_on, row.agents


@pytest.fixture
def stage() -> Stage:
    stage = Stage(agent_count=3)
    stage.serve()
    return stage


def digest(stage: Stage) -> str:
    return stage.fresh().live_revision.digest


def test_drift_is_told_once_and_when_it_is_over(stage):
    live = digest(stage)
    assert live_on(stage) == (3, 3)
    says(stage, "", error="not served on port 8080")
    assert (told(stage), live_on(stage)) == (["drifted"], (2, 3))
    event = stage.publish.events.get(kind=Happening.DRIFTED)
    assert (event.agent, event.served, event.note) == (
        stage.agents[0],
        "",
        "not served on port 8080",
    )
    assert drift.in_words(event) == "It does not serve it. not served on port 8080"
    begun = AgentPublish.objects.get(agent=stage.agents[0]).drifted_at
    assert begun is not None

    says(stage, "", error="Address already in use")
    says(stage, "e" * 64)
    row = AgentPublish.objects.get(agent=stage.agents[0])
    assert (told(stage), row.drifted_at, row.revision) == (["drifted"], begun, "e" * 64)
    assert stage.fresh().status == Status.PUBLISHED

    says(stage, live)
    assert (told(stage), live_on(stage)) == (["drifted", "restored"], (3, 3))
    assert AgentPublish.objects.get(agent=stage.agents[0]).drifted_at is None
    says(stage, live, warning="a backend does not answer")
    says(stage, "")
    assert told(stage) == ["drifted", "restored", "drifted"]


def test_each_agent_drifts_for_itself(stage):
    says(stage, "", stage.agents[0])
    says(stage, "", stage.agents[1])
    assert (told(stage), live_on(stage)) == (["drifted", "drifted"], (1, 3))


def test_a_report_that_does_not_name_it_says_that_it_is_not_served(stage):
    generation = stage.generation()
    stage.report(publishes=[], settled_generation=generation)
    assert told(stage) == ["drifted"]


def test_what_is_on_its_way_is_no_drift(stage):
    live = digest(stage)
    stage.change()
    stage.click()
    stage.dispatch()
    says(stage, stage.open.revision.digest)
    says(stage, live, stage.agents[1])
    says(stage, "", stage.agents[2])
    assert told(stage) == []


def test_a_late_word_from_before_a_revert_is_no_drift(stage):
    """It applied the new revision, another agent refused that, and its report comes after the revert."""
    old = digest(stage)
    stage.change()
    stage.click()
    stage.dispatch()
    new, before = stage.open.revision.digest, stage.generation()
    stage.say("applied", stage.agents[0])
    stage.say("failed", stage.agents[1])
    assert stage.latest().status == Progress.FAILED
    says(stage, new, settled_generation=before)
    says(stage, new)  # even when it is as far: it never served the old one since
    says(stage, old)
    assert told(stage) == []


def test_who_never_applied_it_does_not_drift(stage):
    newcomer = AgentFactory(cluster=stage.cluster, live=True)
    says(stage, "", newcomer, error="Address already in use")
    assert (told(stage), live_on(stage)) == ([], (3, 4))


def test_who_joined_late_and_applied_it_can_drift(stage):
    newcomer = AgentFactory(cluster=stage.cluster, live=True)
    says(stage, digest(stage), newcomer)
    says(stage, "", newcomer)
    assert told(stage) == ["drifted"]


def test_drift_seen_while_something_else_was_on_its_way_is_told_when_that_is_done(stage):
    generation = stage.generation()
    Stage(settings={"cluster": stage.cluster}).click()
    says(stage, "", settled_generation=generation)
    assert told(stage) == []
    says(stage, "")
    assert told(stage) == ["drifted"]
    says(stage, "")
    assert told(stage) == ["drifted"]


def test_a_withdrawal_ends_it_without_a_word(stage):
    says(stage, "")
    stage.withdraw()
    stage.dispatch()
    for agent in stage.agents:
        stage.say("applied", agent, deployment=stage.latest())
    says(stage, "")
    row = AgentPublish.objects.get(agent=stage.agents[0])
    assert (told(stage), row.drifted_at, row.applied) == (["drifted"], None, "")


def test_a_new_proof_ends_it(stage):
    says(stage, "")
    stage.change()
    stage.serve()
    assert AgentPublish.objects.get(agent=stage.agents[0]).drifted_at is None
    says(stage, digest(stage))
    says(stage, "")
    assert told(stage) == ["drifted", "drifted"]


def test_restore_leaves_the_episode_open_until_the_agent_says_that_it_is_over(stage):
    says(stage, "")
    services.restore(actor=stage.user, publish_id=stage.publish.pk)
    assert told(stage) == ["drifted"]
    says(stage, digest(stage))
    assert stage.happenings()[-3:] == ["drifted", "restore", "restored"]


def test_agents_of_another_class_are_not_counted(stage):
    AgentFactory(cluster=stage.cluster, live=True, gateway_classes=["kong"])
    assert live_on(stage) == (3, 3)


def test_a_report_that_says_nothing_new_asks_nothing_more(stage, django_assert_num_queries):
    others = [ProductPublishFactory(cluster=stage.cluster, published=True) for _each in range(3)]
    rows = [
        {"id": row.pk, "revision": row.live_revision.digest, "error": "", "warning": ""}
        for row in [stage.fresh(), *others]
    ]
    numbers = {"settled_generation": 1, "applied_generation": 1}
    stage.report(publishes=rows, **numbers)
    with django_assert_num_queries(4):  # a savepoint and its end, the agents, what is known
        stage.report(publishes=rows, **numbers)


def test_who_serves_what_over_rest(stage):
    lost = stage.agents[0]
    says(stage, "", lost, error="Address already in use")
    shown = data(client_of(stage.user).get(path_of(stage)))
    assert shown["live_on"] == {"live": 2, "total": 3}
    rows = {row["agent"]: row for row in shown["serving"]}
    assert {name: row["live"] for name, row in rows.items()} == {
        agent.name: agent != lost for agent in stage.agents
    }
    drifted = rows[lost.name]
    assert (drifted["error"], drifted["revision"]) == ("Address already in use", "")
    assert drifted["drifted_at"] is not None
    assert rows[stage.agents[1].name]["drifted_at"] is None


def test_a_drift_is_told_in_the_language_of_its_reader(stage):
    event = PublishEvent(publish=stage.publish, kind=Happening.DRIFTED, served="e" * 64)
    assert drift.in_words(event) == "It serves revision eeeeeeee instead."
    with translation.override("ko"):
        assert "eeeeeeee" in drift.in_words(event)
        assert drift.in_words(event) != "It serves revision eeeeeeee instead."
