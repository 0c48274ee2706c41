"""The life of a deployment: every transition once as it should be, once refused."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from clusters.models import Agent
from core.errors import DomainError, InvalidTransition
from publishing import services
from publishing.models import AgentPublish, RouteClaim
from publishing.services import agents
from publishing.states import (
    DEPLOYMENT_MOVES,
    PUBLISH_MOVES,
    Progress,
    Status,
    check_deployment_move,
    check_publish_move,
)
from tests.factories.clusters import AgentFactory
from tests.publishing.stage import Stage, back, gone, revoked

pytestmark = pytest.mark.django_db


# --- The tables --------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), list(product(Status, Status)))
def test_the_table_of_publishes_is_the_whole_truth(source, target):
    if target in PUBLISH_MOVES[source]:
        check_publish_move(source, target)
    else:
        with pytest.raises(InvalidTransition):
            check_publish_move(source, target)


@pytest.mark.parametrize(("source", "target"), list(product(Progress, Progress)))
def test_the_table_of_deployments_is_the_whole_truth(source, target):
    if target in DEPLOYMENT_MOVES[source]:
        check_deployment_move(source, target)
    else:
        with pytest.raises(InvalidTransition):
            check_deployment_move(source, target)


# --- From click to live ------------------------------------------------------------------------


def test_a_publish_goes_from_click_to_live():
    stage = Stage()
    deployment = stage.click(note="Production release v2.0")
    assert (deployment.status, deployment.detail, deployment.generation) == ("QUEUED", "", 1)
    assert stage.fresh().status == Status.DRAFT
    assert stage.fresh().wanted_revision == deployment.revision

    stage.dispatch()
    assert stage.open.status == Progress.DISPATCHED
    assert stage.open.dispatched_at is not None
    stage.say("applying")
    assert stage.open.status == Progress.APPLYING
    stage.say("applied")

    publish, done = stage.fresh(), stage.latest()
    assert (publish.status, done.status) == (Status.PUBLISHED, Progress.SUCCEEDED)
    assert publish.live_revision == publish.wanted_revision == deployment.revision
    assert publish.published_by == stage.user
    assert publish.published_at is not None
    assert done.finished_at is not None
    verdict = done.verdicts.get()
    assert (verdict.outcome, verdict.timings["apply_ms"]) == ("applied", 2.0)
    assert verdict.probe[0]["got"] == 200
    assert stage.happenings() == ["requested", "dispatched", "applied", "published"]
    assert stage.publish.events.get(kind="requested").note == "Production release v2.0"
    assert stage.publish.events.get(kind="applied").agent == stage.agents[0]
    assert stage.generation() == 1


def test_the_audit_trail_tells_who_asked_and_what_became_of_it():
    stage = Stage()
    stage.serve()
    trail = AuditEvent.objects.filter(object_id=str(stage.publish.pk))
    assert set(trail.values_list("action", "actor_label")) == {
        ("publish.publish", "Pia"),
        ("deployment.succeed", "system"),
    }


def test_without_an_agent_it_waits_and_says_why():
    stage = Stage(agent_count=0)
    deployment = stage.click()
    assert (deployment.status, deployment.detail) == ("QUEUED", "no agent is connected")
    stage.dispatch()
    assert stage.open.status == Progress.QUEUED

    stage.agents = [AgentFactory(cluster=stage.cluster, live=True)]
    stage.dispatch()
    assert (stage.open.status, stage.open.detail) == (Progress.DISPATCHED, "")
    stage.say("applied")
    assert stage.fresh().status == Status.PUBLISHED


def test_another_revision_replaces_what_is_live_without_a_gap():
    stage = Stage()
    first = stage.serve()
    stage.change()
    second = stage.click()
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.fresh().live_revision == first.revision
    stage.dispatch()
    stage.say("applied")
    publish = stage.fresh()
    assert (publish.status, publish.live_revision) == (Status.PUBLISHED, second.revision)
    assert [second.revision.number, stage.generation()] == [2, 2]


def test_what_is_live_already_is_not_published_again():
    stage = Stage()
    stage.serve()
    with pytest.raises(DomainError) as refusal:
        stage.click()
    assert refusal.value.code == "nothing_to_publish"
    assert stage.generation() == 1


def test_going_back_to_what_is_live_is_a_change_while_something_else_is_on_its_way():
    stage = Stage()
    first = stage.serve()
    stage.change()
    stage.click()
    route = stage.publish.product.services.get().routes.get()
    route.timeout_ms -= 1
    route.save()
    third = stage.click()
    assert third.revision == first.revision
    assert stage.fresh().wanted_revision == first.revision


# --- Withdrawing -------------------------------------------------------------------------------


def test_a_withdrawal_goes_from_click_to_gone():
    stage = Stage()
    stage.serve()
    deployment = stage.withdraw("Replaced by v3")
    assert (deployment.kind, deployment.revision) == ("withdraw", None)
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.fresh().wanted_revision is None
    stage.dispatch()
    assert RouteClaim.objects.filter(publish=stage.publish).exists()
    stage.say("applied")

    publish = stage.fresh()
    assert (publish.status, publish.live_revision) == (Status.WITHDRAWN, None)
    assert (publish.withdrawn_by, publish.withdraw_reason) == (stage.user, "Replaced by v3")
    assert publish.withdrawn_at is not None
    assert not RouteClaim.objects.filter(publish=stage.publish).exists()
    assert stage.happenings()[-1] == "withdrawn"
    assert AgentPublish.objects.get(publish=publish).revision == ""


@pytest.mark.parametrize("state", [{}, {"withdrawn": True}])
def test_only_what_is_published_can_be_withdrawn(state):
    stage = Stage(settings=state)
    with pytest.raises(InvalidTransition) as refusal:
        stage.withdraw()
    assert refusal.value.code == "invalid_state"
    assert refusal.value.details == {"status": stage.publish.status}
    assert stage.publish.status.lower() in refusal.value.message


def test_published_again_after_a_withdrawal_it_is_as_it_was():
    stage = Stage()
    first = stage.serve()
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    again = stage.serve()
    assert again.revision == first.revision
    publish = stage.fresh()
    assert (publish.status, publish.withdrawn_at, publish.withdraw_reason) == (
        Status.PUBLISHED,
        None,
        "",
    )


def test_a_withdrawal_that_an_agent_refuses_leaves_it_published():
    stage = Stage()
    first = stage.serve()
    stage.withdraw()
    stage.dispatch()
    stage.say("failed")
    publish = stage.fresh()
    assert (publish.status, publish.wanted_revision) == (Status.PUBLISHED, first.revision)
    assert stage.latest().status == Progress.FAILED


def test_a_withdrawal_waits_for_every_agent_that_ever_served_it():
    stage = Stage(agent_count=2)
    stage.serve()
    here, away = stage.agents
    gone(away)
    stage.withdraw()
    stage.dispatch()
    stage.say("applied", here)
    stage.sweep()
    assert stage.open.status == Progress.APPLYING
    assert away.name in stage.open.detail
    assert stage.outcomes() == {here.name: "applied", away.name: "pending"}

    back(away)
    stage.dispatch()
    stage.say("applied", away)
    assert stage.fresh().status == Status.WITHDRAWN


def test_a_withdrawal_waits_for_an_agent_that_served_it_without_a_deployment():
    """It joined after the publish, took it from the manifest, and left."""
    stage = Stage()
    stage.serve()
    late = AgentFactory(cluster=stage.cluster, live=True)
    digest = stage.fresh().live_revision.digest
    stage.report(
        late, publishes=[{"id": stage.publish.pk, "revision": digest, "error": "", "warning": ""}]
    )
    gone(late)
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.outcomes()[late.name] == "pending"


def test_a_withdrawal_does_not_wait_for_the_revoked_nor_for_those_who_never_had_it():
    stage = Stage(agent_count=2)
    here, away = stage.agents
    stage.serve()
    never = AgentFactory(cluster=stage.cluster, live=True)
    stage.withdraw()
    stage.dispatch()
    assert set(stage.outcomes()) == {here.name, away.name, never.name}
    stage.say("applied", here)
    revoked(away)
    gone(never)
    stage.sweep()
    assert stage.fresh().status == Status.WITHDRAWN
    assert stage.outcomes() == {here.name: "applied", away.name: "stale", never.name: "stale"}


def test_a_withdrawal_that_concerns_no_agent_is_done_at_once():
    stage = Stage()
    stage.serve()
    revoked(stage.agents[0])
    stage.withdraw()
    stage.dispatch()
    assert stage.fresh().status == Status.WITHDRAWN


def test_a_withdrawal_with_every_agent_away_is_queued_and_can_be_cancelled():
    stage = Stage()
    first = stage.serve()
    gone(stage.agents[0])
    deployment = stage.withdraw()
    stage.dispatch()
    assert (stage.open.status, stage.open.detail) == (Progress.QUEUED, "no agent is connected")
    services.cancel(actor=stage.user, deployment_id=deployment.pk)
    assert stage.fresh().wanted_revision == first.revision


def test_a_withdrawal_is_not_sent_to_an_agent_whose_connection_is_gone():
    stage = Stage()
    stage.serve()
    dropped = timezone.now() - timedelta(seconds=30)
    Agent.objects.update(disconnected_at=dropped)
    stage.withdraw()
    stage.dispatch()
    assert (stage.open.status, stage.open.detail) == (Progress.QUEUED, "no agent is connected")
    back(stage.agents[0])
    stage.dispatch()
    assert stage.open.status == Progress.DISPATCHED


# --- Failing -----------------------------------------------------------------------------------


def test_a_refused_first_publish_leaves_a_draft_that_nobody_wants():
    stage = Stage()
    stage.click()
    stage.dispatch()
    stage.say("failed")
    publish, deployment = stage.fresh(), stage.latest()
    assert (publish.status, publish.wanted_revision) == (Status.DRAFT, None)
    assert deployment.status == Progress.FAILED
    assert deployment.detail == f"{stage.agents[0].name}: Address already in use"
    assert deployment.verdicts.get().error == "Address already in use"
    assert stage.generation() == 2
    assert not RouteClaim.objects.filter(publish=publish).exists()
    assert stage.happenings() == ["requested", "dispatched", "refused", "failed"]
    assert agents.manifest(agent=stage.agents[0])["publishes"] == []


def test_a_refused_new_revision_leaves_the_old_one_live():
    stage = Stage()
    first = stage.serve()
    stage.change()
    stage.click()
    stage.dispatch()
    stage.say("failed")
    publish = stage.fresh()
    assert publish.status == Status.PUBLISHED
    assert publish.live_revision == publish.wanted_revision == first.revision
    assert stage.generation() == 3
    wanted = agents.manifest(agent=stage.agents[0])["publishes"]
    assert [row["revision"] for row in wanted] == [first.revision.digest]


def test_after_a_failure_a_new_click_is_a_new_deployment_of_the_same_revision():
    stage = Stage()
    failed = stage.click()
    stage.dispatch()
    stage.say("failed")
    again = stage.serve()
    assert again.revision == failed.revision
    assert (again.number, stage.fresh().status) == (2, Status.PUBLISHED)


# --- Several agents ----------------------------------------------------------------------------


def test_every_agent_of_the_quorum_has_to_apply():
    stage = Stage(agent_count=2)
    stage.click()
    stage.dispatch()
    stage.say("applied", stage.agents[0])
    assert stage.open.status == Progress.APPLYING
    assert stage.fresh().status == Status.DRAFT
    stage.say("applied", stage.agents[1])
    assert stage.fresh().status == Status.PUBLISHED


def test_one_agent_that_fails_fails_it_for_all():
    stage = Stage(agent_count=2)
    stage.click()
    stage.dispatch()
    stage.say("applied", stage.agents[0])
    stage.say("failed", stage.agents[1])
    assert stage.fresh().status == Status.DRAFT
    assert stage.latest().status == Progress.FAILED


def test_an_agent_that_joins_before_the_verdict_is_in_the_quorum():
    stage = Stage()
    stage.click()
    stage.dispatch()
    late = AgentFactory(cluster=stage.cluster, live=True)
    stage.say("applied")
    assert stage.open.status == Progress.APPLYING
    assert stage.outcomes()[late.name] == "pending"
    stage.say("applied", late)
    assert stage.fresh().status == Status.PUBLISHED


def test_an_agent_that_joins_after_the_verdict_changes_nothing():
    stage = Stage()
    deployment = stage.serve()
    late = AgentFactory(cluster=stage.cluster, live=True)
    stage.dispatch()
    stage.say("failed", late, deployment=deployment)
    assert stage.fresh().status == Status.PUBLISHED
    assert late.name not in stage.outcomes(deployment)


def test_an_agent_may_answer_before_it_was_asked():
    """It read the manifest by itself."""
    stage = Stage()
    deployment = stage.click()
    stage.say("applied", deployment=deployment)
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.happenings() == ["requested", "dispatched", "applied", "published"]


def test_an_agent_not_heard_of_for_90_s_leaves_the_quorum():
    stage = Stage(agent_count=2)
    here, away = stage.agents
    stage.click()
    stage.dispatch()
    stage.say("applied", here)
    gone(away, timedelta(seconds=80))
    stage.sweep()
    assert stage.open.status == Progress.APPLYING
    gone(away, timedelta(seconds=91))
    stage.sweep()
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.outcomes() == {here.name: "applied", away.name: "stale"}


def test_a_revoked_agent_leaves_the_quorum():
    stage = Stage(agent_count=2)
    stage.click()
    stage.dispatch()
    stage.say("applied", stage.agents[0])
    revoked(stage.agents[1])
    stage.sweep()
    assert stage.fresh().status == Status.PUBLISHED


def test_an_empty_quorum_goes_back_to_the_queue_until_somebody_returns():
    stage = Stage()
    stage.click()
    stage.dispatch()
    stage.say("applying")
    gone(stage.agents[0])
    stage.sweep()
    assert (stage.open.status, stage.open.detail) == (Progress.QUEUED, "no agent is connected")
    assert stage.happenings()[-1] == "queued"
    back(stage.agents[0])
    stage.sweep()
    assert stage.open.status == Progress.DISPATCHED
    assert stage.commanded() == {stage.agents[0].pk}
    stage.say("applied")
    assert stage.fresh().status == Status.PUBLISHED


def test_a_lost_agent_that_answers_before_the_verdict_counts_again():
    stage = Stage(agent_count=2)
    _here, away = stage.agents
    stage.click()
    stage.dispatch()
    gone(away)
    stage.sweep()
    assert stage.outcomes()[away.name] == "stale"
    stage.say("failed", away)
    assert stage.latest().status == Progress.FAILED


# --- Superseding and cancelling ----------------------------------------------------------------


def test_a_new_click_takes_the_place_of_an_open_deployment():
    stage = Stage()
    first = stage.click()
    stage.dispatch()
    stage.change()
    second = stage.click()
    first.refresh_from_db()
    assert (first.status, first.detail) == (Progress.SUPERSEDED, "#2 took its place")
    assert stage.open == second
    assert stage.fresh().wanted_revision == second.revision


def test_a_late_word_on_a_superseded_deployment_is_kept_and_changes_nothing():
    stage = Stage()
    first = stage.click()
    stage.dispatch()
    stage.change()
    second = stage.click()
    stage.say("failed", deployment=first)
    assert first.verdicts.get().outcome == "failed"
    assert stage.open == second
    assert stage.fresh().wanted_revision == second.revision


def test_a_withdrawal_takes_the_place_of_a_publish_under_way_and_the_other_way_round():
    stage = Stage()
    first = stage.serve()
    stage.change()
    stage.click()
    withdrawal = stage.withdraw()
    assert stage.open == withdrawal
    assert stage.fresh().wanted_revision is None
    third = stage.click()
    withdrawal.refresh_from_db()
    assert withdrawal.status == Progress.SUPERSEDED
    assert stage.fresh().wanted_revision == third.revision
    assert stage.fresh().live_revision == first.revision


def test_a_queued_deployment_can_be_cancelled():
    stage = Stage(agent_count=0)
    deployment = services.cancel(actor=stage.user, deployment_id=stage.click().pk)
    assert deployment.status == Progress.CANCELLED
    assert stage.fresh().wanted_revision is None
    assert stage.generation() == 2
    assert not RouteClaim.objects.filter(publish=stage.publish).exists()
    assert stage.publish.events.get(kind="cancelled").actor == stage.user


def test_what_agents_work_on_cannot_be_cancelled():
    stage = Stage()
    deployment = stage.click()
    stage.dispatch()
    with pytest.raises(InvalidTransition) as refusal:
        services.cancel(actor=stage.user, deployment_id=deployment.pk)
    assert "dispatched" in refusal.value.message
    assert refusal.value.details == {"status": "DISPATCHED"}
