"""The publish and its deployments under any order of clicks, verdicts, absences and late words."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clusters.models import Agent
from core.errors import DomainError
from publishing import services
from publishing.models import Deployment, DeploymentVerdict, RouteClaim
from publishing.services import agents
from publishing.states import OPEN, OUTSTANDING, Kind, Progress, Status
from tests.factories.clusters import AgentFactory
from tests.publishing.stage import Stage, back, gone, revoked

MOST_AGENTS = 4
ENDINGS = {
    Progress.SUCCEEDED: {"published", "withdrawn"},
    Progress.FAILED: {"failed"},
    Progress.SUPERSEDED: {"superseded"},
    Progress.CANCELLED: {"cancelled"},
}
TOLD = set().union(*ENDINGS.values())
any_agent = st.integers(0, MOST_AGENTS - 1)


class Machine(RuleBasedStateMachine):
    """Agents here are honest: they serve what they say they applied, and what the manifest names."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.stage = Stage(agent_count=2)
        self.serving: dict[Any, str] = {}  # agent -> digest
        self.finals: dict[Any, str] = {}  # verdict or closed deployment -> its last word
        self.wanted: tuple[Any, int] = (None, 0)  # revision, generation

    def teardown(self) -> None:
        try:
            self.settles_when_all_is_well()
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    # --- people ---

    @rule(changed=st.booleans())
    def click(self, changed: bool) -> None:
        if changed:
            self.stage.change()
        self._try(self.stage.click)

    @rule()
    def withdraw(self) -> None:
        self._try(self.stage.withdraw)

    @rule()
    def cancel(self) -> None:
        opened = self._open()
        if opened:
            self._try(lambda: services.cancel(actor=self.stage.user, deployment_id=opened.pk))

    @rule(number=st.integers(1, 4))
    def roll_back(self, number: int) -> None:
        publish = self.stage.publish
        self._try(
            lambda: services.roll_back(
                actor=self.stage.user, publish_id=publish.pk, revision=number
            )
        )

    @rule()
    def restore(self) -> None:
        publish = self.stage.publish
        self._try(lambda: services.restore(actor=self.stage.user, publish_id=publish.pk))

    @rule(index=any_agent)
    def waive(self, index: int) -> None:
        opened, agent = self._open(), self._agent(index)
        if opened and opened.verdicts.filter(agent=agent).exists():
            self._try(
                lambda: services.waive(
                    actor=self.stage.user,
                    deployment_id=opened.pk,
                    agent_id=agent.pk,
                    name=agent.name,
                )
            )

    # --- agentd ---

    @rule()
    def dispatch(self) -> None:
        self.stage.dispatch()

    # --- agents ---

    @rule(index=any_agent, outcome=st.sampled_from(["applying", "applied", "failed"]))
    def work(self, index: int, outcome: str) -> None:
        """Look at the manifest, act, and say so."""
        agent = self._agent(index)
        if agent.revoked_at is None:
            self._work(agent, outcome)

    @rule(index=any_agent, number=st.integers(0, 5), outcome=st.sampled_from(["applied", "failed"]))
    def say_late(self, index: int, number: int, outcome: str) -> None:
        """A word on a deployment that is over; it may be a repeat, and it may be a first one."""
        old = self.stage.publish.deployments.exclude(status__in=OPEN).order_by("-number")
        deployment = old[number : number + 1].first() if number < old.count() else None
        if deployment:
            agent = self._agent(index)
            self._try(lambda: self.stage.say(outcome, agent, deployment=deployment))

    @rule(index=any_agent, drifted=st.booleans())
    def report(self, index: int, drifted: bool) -> None:
        """What its gateway serves, by the agent's read-back; a gateway may lose it, and get it back."""
        agent = self._agent(index)
        if agent.revoked_at is None:
            served = "" if drifted else self.serving.get(agent.pk, "")
            self._report(agent, served)

    @rule(index=any_agent)
    def say_nothing_for_long(self, index: int) -> None:
        """Connected, and silent: the sweep gives up on it."""
        agent, opened = self._agent(index), self._open()
        if opened:
            old = timezone.now() - timedelta(hours=1)
            opened.verdicts.filter(agent=agent).update(updated_at=old)
        self.stage.sweep()

    @rule(index=any_agent)
    def go(self, index: int) -> None:
        gone(self._agent(index))

    @rule(index=any_agent)
    def come_back(self, index: int) -> None:
        back(self._agent(index))

    @rule(index=any_agent)
    def revoke(self, index: int) -> None:
        agent = self._agent(index)
        revoked(agent)
        self.serving.pop(agent.pk, None)

    @precondition(lambda self: len(self.stage.agents) < MOST_AGENTS)
    @rule()
    def join(self) -> None:
        self.stage.agents.append(AgentFactory(cluster=self.stage.cluster, live=True))

    # --- what always holds ---

    @invariant()
    def wants_what_is_asked_for_or_live(self) -> None:
        publish, opened = self.stage.fresh(), self._open()
        expected = opened.revision_id if opened else publish.live_revision_id
        assert publish.wanted_revision_id == expected
        assert (publish.status == Status.PUBLISHED) == (publish.live_revision_id is not None)

    @invariant()
    def whoever_looks_at_the_generation_sees_every_change(self) -> None:
        wanted, generation = self.stage.fresh().wanted_revision_id, self.stage.generation()
        before, seen = self.wanted
        assert generation >= seen
        assert wanted == before or generation > seen
        self.wanted = (wanted, generation)

    @invariant()
    def last_words_stay(self) -> None:
        now = {
            **{each.pk: each.status for each in self._closed()},
            **{
                each.pk: each.outcome
                for each in DeploymentVerdict.objects.filter(deployment__publish=self.stage.publish)
                if each.outcome in {"applied", "failed", "waived"}
            },
        }
        assert {pk: now.get(pk) for pk in self.finals} == self.finals
        self.finals = now

    @invariant()
    def every_end_is_told_once_and_has_its_reason(self) -> None:
        for deployment in self._closed():
            told = [
                kind for kind in deployment.events.values_list("kind", flat=True) if kind in TOLD
            ]
            assert len(told) == 1
            assert told[0] in ENDINGS[Progress(deployment.status)]
            outcomes = set(deployment.verdicts.values_list("outcome", flat=True))
            if deployment.status == Progress.FAILED:
                assert "failed" in outcomes
            if deployment.status == Progress.SUCCEEDED and deployment.kind == Kind.PUBLISH:
                assert "applied" in outcomes

    @invariant()
    def drift_is_told_in_episodes(self) -> None:
        """At most one is open for each agent, and only of what is live."""
        publish = self.stage.fresh()
        for row in publish.on_agents.select_related("agent"):
            told = publish.events.filter(agent=row.agent, kind__in=["drifted", "restored"])
            kinds = list(told.order_by("created_at").values_list("kind", flat=True))
            assert "restored" not in kinds or kinds.index("drifted") < kinds.index("restored")
            assert not any(pair == ("restored", "restored") for pair in pairwise(kinds))
            if row.drifted_at:
                assert kinds[-1] == "drifted"
                assert row.revision != (row.applied or None)

    @invariant()
    def only_withdrawals_are_waived(self) -> None:
        waived = DeploymentVerdict.objects.filter(
            deployment__publish=self.stage.publish, outcome="waived"
        )
        assert set(waived.values_list("deployment__kind", flat=True)) <= {Kind.WITHDRAW}

    @invariant()
    def routes_are_claimed_while_they_are_wanted_or_live(self) -> None:
        publish = self.stage.fresh()
        used = publish.wanted_revision_id or publish.live_revision_id
        assert RouteClaim.objects.filter(publish=publish).exists() == (used is not None)

    # --- and in the end ---

    def settles_when_all_is_well(self) -> None:
        """Everybody is there and everything works: nothing stays open, all serve what is live."""
        self.stage.agents.append(AgentFactory(cluster=self.stage.cluster, live=True))
        present = [self._agent(each) for each in range(len(self.stage.agents))]
        present = [agent for agent in present if agent.revoked_at is None]
        for agent in present:
            back(agent)
        self.stage.sweep()
        for _again in range(2):  # the first round's verdicts may revert what was wanted
            for agent in present:
                self._work(agent, "applied")
        assert self._open() is None
        live = self.stage.fresh().live_revision
        assert {self.serving.get(agent.pk, "") for agent in present} == {
            live.digest if live else ""
        }
        for agent in present:
            self._report(agent, self.serving.get(agent.pk, ""))
        drifted = self.stage.publish.on_agents.filter(drifted_at__isnull=False)
        assert not drifted.filter(agent__revoked_at=None).exists()

    # --- inside ---

    def _agent(self, index: int) -> Agent:
        return Agent.objects.get(pk=self.stage.agents[index % len(self.stage.agents)].pk)

    def _open(self) -> Deployment | None:
        return self.stage.publish.deployments.filter(status__in=OPEN).first()

    def _closed(self) -> list[Deployment]:
        return list(self.stage.publish.deployments.exclude(status__in=OPEN))

    def _try(self, act: Any) -> None:
        """Refused or done, never half done."""
        with contextlib.suppress(DomainError), transaction.atomic():
            act()

    def _work(self, agent: Agent, outcome: str) -> None:
        manifest = agents.manifest(agent=agent)
        for wanted in manifest["publishes"]:
            if outcome == "applied" or not wanted["deployment_id"]:
                self.serving[agent.pk] = wanted["revision"]
            self._answer(agent, wanted["deployment_id"], outcome)
        for absent in manifest["withdrawals"]:
            self._answer(agent, absent["deployment_id"], outcome)
        if not manifest["publishes"] and outcome == "applied":
            self.serving[agent.pk] = ""

    def _report(self, agent: Agent, revision: str) -> None:
        row = {"id": self.stage.publish.pk, "revision": revision, "error": "", "warning": ""}
        self.stage.report(
            agent, publishes=[row], settled_generation=agents.manifest(agent=agent)["generation"]
        )

    def _answer(self, agent: Agent, deployment_id: str, outcome: str) -> None:
        """An agent answers each deployment once, and keeps to it."""
        if not deployment_id:
            return
        verdict = DeploymentVerdict.objects.filter(agent=agent, deployment=deployment_id).first()
        if verdict is None or verdict.outcome in {*OUTSTANDING, "stale"}:
            deployment = Deployment.objects.get(pk=deployment_id)
            self.stage.say(outcome, agent, deployment=deployment)


@pytest.mark.django_db
@pytest.mark.timeout(300)
def test_no_order_of_events_breaks_a_publish() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
