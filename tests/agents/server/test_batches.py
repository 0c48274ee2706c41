"""Many at once: gathered, let in, let out and heard together, without costing each other anything."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from agents.server.admission import Admitted, Hello, admit
from agents.server.batches import Batches
from clusters.models import Agent, Cluster
from clusters.services import agents
from clusters.services.agents import AgentRevoked, Opening, Session
from core import notify
from core.errors import InvalidInput, Unauthenticated
from publishing.models import AgentPublish
from publishing.services.reports import Report, StaleSession, record_states
from tests.agents.server.rig import Key, make_cluster, make_deployment

# --- Gathering ---------------------------------------------------------------------------------


class Work:
    """Doubles numbers; refuses 13, and breaks on 99."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.late: list[int] = []

    async def __call__(self, items: list[int]) -> Sequence[int | Exception]:
        self.batches.append(items)
        await self.gate.wait()
        if 99 in items:
            raise ZeroDivisionError
        if 0 in items:
            raise OperationalError("away")
        return [ValueError("unlucky") if item == 13 else item * 2 for item in items]

    def batch(self) -> Batches[int, int]:
        return Batches(self, gather=0.001, unclaimed=self.late.append)


async def answers(batches: Batches[int, int], *items: int) -> list[Any]:
    return await asyncio.gather(*map(batches.ask, items), return_exceptions=True)


async def test_what_comes_together_goes_together():
    work = Work()
    batches = work.batch()

    assert await answers(batches, 1, 2, 3) == [2, 4, 6]
    assert await batches.ask(4) == 8
    assert work.batches == [[1, 2, 3], [4]]


async def test_while_one_batch_is_under_way_the_next_one_gathers():
    work = Work()
    batches = work.batch()
    work.gate.clear()
    first = asyncio.create_task(batches.ask(1))
    await asyncio.sleep(0.05)
    others = [asyncio.create_task(batches.ask(number)) for number in (2, 3)]
    await asyncio.sleep(0.05)
    work.gate.set()

    assert await asyncio.gather(first, *others) == [2, 4, 6]
    assert work.batches == [[1], [2, 3]]


async def test_a_crowd_is_served_at_intervals_and_one_alone_at_once():
    work = Work()
    batches: Batches[int, int] = Batches(work, gather=0.001, spacing=0.3)
    clock = asyncio.get_running_loop().time

    began = clock()
    for number in range(5):
        await batches.ask(number + 1)
    assert clock() - began < 0.3
    await answers(batches, 6, 7)
    began = clock()
    await asyncio.gather(*(batches.ask(number) for number in (8, 9)))
    assert 0.2 < clock() - began < 1
    assert work.batches[-2:] == [[6, 7], [8, 9]]


async def test_one_refusal_or_crash_is_nobody_elses():
    work = Work()

    one, unlucky, two = await answers(work.batch(), 1, 13, 2)
    assert (one, two) == (2, 4)
    assert isinstance(unlucky, ValueError)
    one, broken, two = await answers(work.batch(), 1, 99, 2)
    assert (one, two) == (2, 4)
    assert isinstance(broken, ZeroDivisionError)


async def test_a_database_that_is_away_is_asked_once_for_all():
    work = Work()

    found = await answers(work.batch(), 0, 1, 2)

    assert [type(each) for each in found] == [OperationalError] * 3
    assert len(work.batches) == 1


async def test_who_left_before_is_not_asked_for_and_who_left_meanwhile_is_given_back():
    work = Work()
    batches = work.batch()
    work.gate.clear()
    under_way = asyncio.create_task(batches.ask(1))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(batches.ask(2))
    await asyncio.sleep(0)
    under_way.cancel()
    waiting.cancel()
    work.gate.set()

    assert await batches.ask(3) == 6
    assert work.batches == [[1], [3]]
    assert work.late == [2]


# --- Letting in --------------------------------------------------------------------------------


@pytest.fixture
def cluster(db: None) -> Cluster:
    return make_cluster()


def joined(cluster: Cluster, number: int = 1) -> tuple[Agent, Key]:
    key = Key()
    row = Agent.objects.create(cluster=cluster, name=f"a{number}", public_key=key.public)
    return row, key


def hello(agent: Agent, key: Key, **fields: Any) -> Hello:
    token = key.jwt(agent.pk, "nonce", int(timezone.now().timestamp()))
    values = {"token": token, "nonce": "nonce", "version": "1", "gateway_classes": ["envoy"]}
    return Hello(**values | fields)


def test_each_gets_its_own_answer(cluster):
    good, bad, revoked, other = (joined(cluster, number) for number in range(4))
    Agent.objects.filter(pk=revoked[0].pk).update(revoked_at=timezone.now())

    found = admit(
        [
            hello(*good),
            hello(bad[0], other[1]),
            hello(*revoked),
            hello(*bad, gateway_classes=["NO"]),
            hello(*good, token="nonsense"),
            hello(*good, token="[" * 4000),
            hello(*other),
        ],
        owner="x/1",
    )

    assert [type(each) for each in found] == [
        Admitted, Unauthenticated, AgentRevoked, InvalidInput, Unauthenticated, Unauthenticated,
        Admitted,
    ]  # fmt: skip
    epochs = dict(Agent.objects.values_list("name", "session_epoch"))
    assert epochs == {"a0": 1, "a1": 0, "a2": 0, "a3": 1}


def test_two_streams_of_one_agent_get_two_epochs(cluster):
    agent, key = joined(cluster)

    found = admit([hello(agent, key)] * 3, owner="x/1")

    assert [each.session.epoch for each in found if isinstance(each, Admitted)] == [1, 2, 3]
    tokens = [each.session.rest_token for each in found if isinstance(each, Admitted)]
    assert agents.agent_by_rest_token(tokens[2]) == agent
    for old in tokens[:2]:
        with pytest.raises(Unauthenticated):
            agents.agent_by_rest_token(old)


def test_a_fleet_costs_as_many_statements_as_one_agent(cluster, django_assert_max_num_queries):
    fleet = [hello(*joined(cluster, number)) for number in range(60)]

    with django_assert_max_num_queries(8):
        found = admit(fleet, owner="x/1")

    assert all(isinstance(each, Admitted) for each in found)
    assert Agent.objects.filter(session_epoch=1, owner="x/1").count() == 60


def test_newcomers_know_whether_work_waits(cluster):
    quiet = make_cluster("busan-1")
    make_deployment(cluster)

    busy, idle = admit([hello(*joined(cluster)), hello(*joined(quiet))], owner="x/1")

    assert isinstance(busy, Admitted)
    assert isinstance(idle, Admitted)
    assert (busy.busy, idle.busy) == (True, False)
    assert busy.session.generation == 1


def opened(*rows: Agent) -> list[Session | Exception]:
    openings = [Opening(row.pk, "1", ["envoy"]) for row in rows]
    return agents.open_sessions(openings=openings, owner="x/1")


def test_what_cannot_be_opened_costs_the_others_nothing(cluster):
    good, stranger = joined(cluster)[0], Agent(pk=uuid4())

    session, unknown = opened(good, stranger)

    assert isinstance(session, Session)
    assert isinstance(unknown, Agent.DoesNotExist)


# --- Pulses ------------------------------------------------------------------------------------


@pytest.fixture
def pulses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(notify, "on_commit", lambda group, *_, **__: sent.append(group))
    return sent


def test_pages_hear_once_of_many_and_not_of_those_that_were_live(cluster, pulses):
    fleet = [joined(cluster, number)[0] for number in range(5)]
    groups = {f"clusters.org.{cluster.organization_id}", f"cluster.{cluster.pk}"}

    opened(*fleet)
    assert sorted(pulses) == sorted(groups)
    pulses.clear()
    opened(*fleet)  # as after a crash of agentd
    assert pulses == []
    agents.close_sessions(ended=[(row.pk, 2) for row in fleet])
    assert sorted(pulses) == sorted(groups)
    assert not Agent.objects.filter(disconnected_at=None).exists()


# --- Hearing -----------------------------------------------------------------------------------


def report(agent: Agent, epoch: int = 1, **fields: Any) -> Report:
    values = {
        "agent_id": agent.pk,
        "epoch": epoch,
        "applied_generation": 1,
        "settled_generation": 1,
        "access_version": 0,
        "publishes": [],
        "last_error": "",
    }
    return Report(**values | fields)


def test_reports_are_written_together_and_those_of_old_sessions_are_not(cluster):
    one, two = joined(cluster, 1)[0], joined(cluster, 2)[0]
    deployment = make_deployment(cluster)
    foreign = make_deployment(make_cluster("busan-1"))
    opened(one, two)
    opened(two)
    rows = [
        {"id": each.publish_id, "revision": "a" * 64, "error": "", "warning": ""}
        for each in (deployment, foreign)
    ]

    found = record_states(
        [report(one, publishes=rows), report(two, epoch=1, last_error="old"), report(two, epoch=2)]
    )

    assert [type(each) for each in found] == [type(None), StaleSession, type(None)]
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.applied_generation, two.applied_generation) == (1, 1)
    assert two.last_error == ""
    served = AgentPublish.objects.values_list("agent", "publish", "revision")
    assert list(served) == [(one.pk, deployment.publish_id, "a" * 64)]


def test_a_fleet_that_says_nothing_new_is_read_and_not_written(cluster, django_assert_num_queries):
    fleet = [joined(cluster, number)[0] for number in range(40)]
    opened(*fleet)
    reports = [report(row) for row in fleet]
    record_states(reports)

    with django_assert_num_queries(4):  # a savepoint, two reads, its release
        record_states(reports)
