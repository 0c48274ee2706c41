"""The small parts: limits, refusals, log lines, and the order of events inside the hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DataError, OperationalError
from google.protobuf.message import DecodeError

from agents.server import messages
from agents.server.database import Database
from agents.server.errors import InvalidMessage, Refused, refusal
from agents.server.hub import Hub
from agents.server.limits import MAX_ADDRESSES, RateLimit
from agents.server.options import Timings
from agents.server.server import put_down
from agents.server.servicer import _address
from agents.server.wake import Sparing
from agents.wire import agent_pb2 as pb
from clusters.services.agents import AgentRevoked, Session
from core.errors import DomainError, Gone, InvalidInput, Unauthenticated
from publishing.services.agents import Command

# --- Refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DomainError("no"), "FAILED_PRECONDITION", "conflict"),
        (InvalidInput("no", field="name"), "INVALID_ARGUMENT", "invalid"),
        (Unauthenticated("no"), "UNAUTHENTICATED", "unauthenticated"),
        (AgentRevoked(), "PERMISSION_DENIED", "agent_revoked"),
        (Gone("no"), "OUT_OF_RANGE", "gone"),
        (ObjectDoesNotExist("Agent matching query"), "NOT_FOUND", "not_found"),
        (PermissionDenied("no"), "PERMISSION_DENIED", "permission_denied"),
        (DecodeError("x"), "INVALID_ARGUMENT", "invalid_message"),
        (DataError("bigint out of range"), "INVALID_ARGUMENT", "invalid"),
        (OperationalError("connection to 10.1.2.3 failed"), "UNAVAILABLE", "database_away"),
        (InvalidMessage("no"), "INVALID_ARGUMENT", "invalid_message"),
        (ValueError("secret"), "INTERNAL", "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_error_has_its_status(error, status, code):
    answer = refusal(error)

    assert (answer.status.name, answer.code) == (status, code)
    assert answer.trailers == (("imp-error", code),)
    for inner in ("10.1.2.3", "secret", "matching query", "bigint"):
        assert inner not in answer.message


# --- Limits ------------------------------------------------------------------------------------


def test_a_bucket_empties_and_fills_again():
    now = [0.0]
    limit = RateLimit(per_minute=60, burst=3, clock=lambda: now[0])

    assert [limit.allow("a") for _ in range(4)] == [True, True, True, False]
    assert limit.allow("b")
    now[0] = 1.0
    assert [limit.allow("a") for _ in range(2)] == [True, False]
    now[0] = 100.0
    assert [limit.allow("a") for _ in range(4)] == [True, True, True, False]


def test_only_failures_count():
    limit = RateLimit(per_minute=1, burst=2, clock=lambda: 0.0)
    for _ in range(10):
        assert limit.allow("fleet")
        limit.forgive("fleet")

    limit.forgive("never seen")
    assert [limit.allow("fleet") for _ in range(3)] == [True, True, False]


def test_a_flood_of_addresses_takes_bounded_memory():
    now = [0.0]
    limit = RateLimit(per_minute=1, burst=2, clock=lambda: now[0])
    limit.allow("victim")
    limit.allow("victim")
    for number in range(2 * MAX_ADDRESSES):
        assert limit.allow(str(number))

    assert len(limit._buckets) <= MAX_ADDRESSES


def test_full_buckets_are_forgotten_first():
    now = [0.0]
    limit = RateLimit(per_minute=60, burst=2, clock=lambda: now[0])
    for number in range(MAX_ADDRESSES):
        limit.allow(str(number))
    now[0] = 10.0
    limit.allow("new")

    assert list(limit._buckets) == ["new"]


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[fe80::1%25eth0]:4711", "fe80::1"),
        ("unix:/run/x.sock", None),
        ("", None),
    ],
)
def test_the_callers_address(peer, address):
    assert _address(peer) == address


# --- Messages ----------------------------------------------------------------------------------


def test_long_words_are_cut_and_nul_is_replaced():
    assert messages.words("a\x00b") == "a�b"
    assert len(messages.words("x" * 100_000)) == messages.MAX_WORDS


def test_a_publish_named_twice_counts_once():
    publish = str(uuid4())
    report = pb.StateReport(
        publishes=[
            pb.PublishState(id=publish, error="old"),
            pb.PublishState(id=publish.upper(), error="new"),
        ]
    )

    assert [row["error"] for row in messages.report(report)["publishes"]] == ["new"]


def test_a_withdrawal_has_no_revision():
    result = pb.DeployResult(deployment_id=str(uuid4()), outcome=pb.OUTCOME_APPLIED)

    assert messages.result(result)["revision"] == ""


def test_a_redis_that_is_away_is_one_line_a_minute():
    sparing = Sparing()
    try:
        raise ConnectionError("refused")
    except ConnectionError as error:
        info = (type(error), error, None)
    lines = [
        logging.makeLogRecord({"levelno": 40, "exc_info": info, "created": at})
        for at in (1000.0, 1001.0, 1059.0, 1061.0)
    ]

    assert [sparing.filter(line) for line in lines] == [True, False, False, True]
    assert lines[0].getMessage() == "Redis is away (refused); the sweep covers for wakes."
    assert lines[0].exc_info is None


# --- The hub -----------------------------------------------------------------------------------


class Scripted(Database):
    """Stands for PostgreSQL: away as often as told, then empty."""

    def __init__(self, away: int = 0, meanwhile: Callable[[], None] = lambda: None) -> None:
        super().__init__(threads=1)
        self.away, self.meanwhile = away, meanwhile
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def run(self, service: Any, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((service.__name__, kwargs))
        self.meanwhile()
        if len(self.calls) <= self.away:
            raise OperationalError("away")
        return SimpleNamespace(numbers={}, standings={}, commands={}, restless=set(), deleted=set())


def make_hub(database: Scripted | None = None, **timings: float) -> Hub:
    return Hub(database or Scripted(), Timings(**{"debounce": 0.001} | timings))


def session_of(agent_id: Any, epoch: int, cluster_id: Any) -> Session:
    return Session(
        agent_id=agent_id,
        cluster_id=cluster_id,
        epoch=epoch,
        rest_token="",
        generation=1,
        access_version=1,
    )


async def test_of_two_streams_the_higher_epoch_stays_in_either_order():
    hub, agent, cluster = make_hub(), uuid4(), uuid4()
    newer = hub.join(session_of(agent, 6, cluster))
    older = hub.join(session_of(agent, 5, cluster))

    assert older.ending
    assert not newer.ending
    assert hub.streams[agent] is newer

    newest = hub.join(session_of(agent, 7, cluster))
    assert newer.ending
    assert hub.streams[agent] is newest


async def test_leaving_takes_only_oneself_away():
    database = Scripted()
    hub, agent, cluster = make_hub(database), uuid4(), uuid4()
    old, new = (hub.join(session_of(agent, epoch, cluster)) for epoch in (1, 2))

    hub.leave(old)
    assert hub.streams[agent] is new
    hub.leave(new)
    await hub.settle()

    assert not hub.streams
    assert not hub.watches
    closed = [kwargs for name, kwargs in database.calls if name == "close_sessions"]
    assert closed == [{"ended": [(agent, 2)]}]


async def test_beats_that_could_not_be_stored_are_kept_unless_newer_ones_came():
    # One more beat comes in while the statement is under way.
    database = Scripted(away=1, meanwhile=lambda: hub.beat(stream))
    hub, cluster = make_hub(database, debounce=60), uuid4()
    stream, other = (hub.join(session_of(uuid4(), 1, cluster)) for _ in range(2))
    hub.beat(stream)
    hub.beat(other)
    await hub.flush()
    await hub.flush()

    first, second = (
        {agent: at for agent, _epoch, at in kwargs["beats"]}
        for name, kwargs in database.calls
        if name == "record_heartbeats"
    )
    assert second[other.agent_id] == first[other.agent_id]
    assert second[stream.agent_id] > first[stream.agent_id]


async def test_a_look_that_fails_does_not_stop_the_next():
    database = Scripted(away=1)
    hub, cluster = make_hub(database), uuid4()
    hub.join(session_of(uuid4(), 1, cluster), busy=True)
    await hub.settle()
    hub.poke(cluster)
    await hub.settle()

    assert [name for name, _ in database.calls] == ["look", "look"]


async def test_pokes_during_a_look_become_one_more_look():
    def poke_often() -> None:
        for _ in range(5 if len(database.calls) == 1 else 0):
            hub.poke(cluster)

    database = Scripted(meanwhile=poke_often)
    hub, cluster = make_hub(database), uuid4()
    hub.join(session_of(uuid4(), 1, cluster), busy=True)
    await hub.settle()

    assert [name for name, _ in database.calls] == ["look", "look"]


async def test_news_of_many_clusters_in_one_breath_is_one_look():
    database = Scripted()
    hub, clusters = make_hub(database), [uuid4() for _ in range(5)]
    for cluster in clusters:
        hub.join(session_of(uuid4(), 1, cluster))
    for cluster in clusters:
        hub.wake(cluster)
    await hub.settle()

    [(name, kwargs)] = database.calls
    assert (name, set(kwargs["cluster_ids"])) == ("look", set(clusters))
    assert set(kwargs["epochs"]) == set(hub.streams)


async def test_only_whose_write_takes_too_long_is_cut_also_when_it_is_replaced():
    hub, agent, cluster = make_hub(write=1.0), uuid4(), uuid4()
    slow, newer = (hub.join(session_of(agent, epoch, cluster)) for epoch in (1, 2))
    now = asyncio.get_running_loop().time()
    hub.writing = {slow: now - 1.5, newer: now - 0.5}
    hub.cut_the_slow()
    hub.cut_the_slow()

    with pytest.raises(Refused) as refused:
        await slow.over
    assert refused.value.refusal.code == "too_slow"
    assert not newer.over.done()


async def test_a_sweep_that_fails_comes_again():
    database = Scripted(away=10**6)
    hub = make_hub(database, sweep=0.001)
    hub.join(session_of(uuid4(), 1, uuid4()))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(hub.sweep_forever(), 0.2)

    assert [name for name, _ in database.calls].count("survey") > 3


async def test_a_task_that_swallows_a_cancellation_ends_all_the_same():
    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await asyncio.wait_for(put_down(task), 5)

    assert task.cancelled()


async def test_a_command_is_told_once_and_again_only_on_repeat():
    stream = make_hub().join(session_of(uuid4(), 1, uuid4()))
    command = Command(uuid4(), uuid4(), 4)

    def told(*, repeat: bool = False) -> list[str]:
        stream.wants([command], repeat=repeat)
        return [message.WhichOneof("payload") for message in stream.outbox()]

    assert told() == ["deploy_command"]
    assert told() == []
    assert told(repeat=True) == ["state_changed", "deploy_command"]
    stream.watch.numbers = (5, 5)
    assert told() == ["state_changed"]
    stream.end(pb.Goodbye.DRAIN)
    stream.end(pb.Goodbye.REVOKED)
    (last,) = stream.outbox()
    assert last.goodbye.reason == pb.Goodbye.DRAIN
    assert last.session_epoch == 1
