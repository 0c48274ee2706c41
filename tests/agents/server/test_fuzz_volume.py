"""A hundred thousand frames: nothing crashes, every refusal has its status, nothing stays behind.

Eighty thousand are the first frames of calls of their own. These run through the whole servicer, in agentd's
own loop, with a call that is nothing but its frames: over the network as many calls would take minutes, and
it would be gRPC that is tested (test_fuzz.py sends some that way). Twenty thousand come over real streams, a
thousand each. Nearly all of those are heartbeats and repeated reports with fields of later versions, which
must not end a stream; every fiftieth is a word that reaches the database, and each stream ends with a frame
that must be refused.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import psutil
import pytest

from agents.server.servicer import AgentServicer
from agents.wire import agent_pb2 as pb
from publishing.models import DeploymentVerdict
from tests.agents.server.frames import Frames
from tests.agents.server.rig import (
    Agentd,
    Remote,
    Wire,
    dial,
    eventually,
    make_deployment,
    make_remote,
    result_of,
)
from tests.agents.server.test_fuzz import TRANSLATE, translate

CALLS, STREAMS, FRAMES_OF_A_STREAM = 80_000, 20, 1_000
WORDS = 20_000  # translated alone, besides
AT_ONCE = 16
REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED}
GROWTH = 16 * 2**20  # bytes that the second half of the calls may add: allocators, not leaks

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def seed() -> int:
    """Another one each time; a failure prints it."""
    return random.SystemRandom().getrandbits(32)


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Each refusal is a line in the log, which would be what grows."""
    caplog.set_level(logging.WARNING)
    caplog.set_level(logging.WARNING, "agents.server.servicer")
    return caplog


def test_calls_that_begin_with_anything(agentd, quiet, seed):
    frames, servicer = Frames(seed), servicer_of(agentd)
    ends: Counter[grpc.StatusCode] = Counter()
    half = [frames.any() for _ in range(CALLS // 2)]
    ends += agentd.run(ends_of(servicer, half), within=120)
    tasks, held = len(asyncio.all_tasks(agentd.loop)), memory()
    half[:] = [frames.any() for _ in range(CALLS // 2)]
    ends += agentd.run(ends_of(servicer, half), within=120)

    assert ends.total() == CALLS
    assert set(ends) == REFUSALS, (seed, ends)
    assert not [record for record in quiet.records if record.levelno >= logging.ERROR], seed
    assert len(asyncio.all_tasks(agentd.loop)) <= tasks
    assert not agentd.server.hub.streams
    assert memory() - held < GROWTH, seed


def test_what_is_accepted_can_be_stored(seed):
    frames, kinds = Frames(seed), Counter[str]()
    for number in range(WORDS):
        whole = frames.result() if number % 2 else frames.report()
        kinds[translate(frames.odd(whole) if number % 3 else frames.mutated())] += 1

    assert kinds["deploy_result"] > WORDS / 100, seed
    assert kinds["state_report"] > WORDS / 100, seed
    assert kinds[""] > WORDS / 10, seed


def test_streams_of_a_thousand_frames(start_agentd, cluster, quiet, seed):
    agentd = start_agentd()
    deployment = make_deployment(cluster)
    known = [str(deployment.pk), str(deployment.publish_id), deployment.revision.digest]
    with dial(agentd) as channel:
        remotes = [make_remote(channel, cluster, f"agent-{number}") for number in range(4)]
        for number in range(0, STREAMS, len(remotes)):
            wires = [
                talk(remote, Frames(seed + number + place, known))
                for place, remote in enumerate(remotes)
            ]
            assert [end_of(wire) for wire in wires] == [grpc.StatusCode.INVALID_ARGUMENT] * 4, seed
        assert not [record for record in quiet.records if record.levelno >= logging.ERROR], seed
        serves_on(make_remote(channel, cluster, "good"), make_deployment(cluster))


def talk(remote: Remote, frames: Frames) -> Wire:
    """A stream that stands through all of its frames but the last."""
    wire, _ = remote.connect()
    same = pb.AgentMessage(state_report=pb.StateReport(applied_generation=1)).SerializeToString()
    words = accepted(frames)
    for number in range(FRAMES_OF_A_STREAM - 1):
        if number % 50 == 0:
            wire.send_raw(next(words))
        elif number % 50 == 1:
            wire.send_raw(same)
        else:
            wire.send_raw(frames.odd(frames.heartbeat()))
    wire.send_raw(refused(frames))
    return wire


def accepted(frames: Frames) -> Iterator[bytes]:
    """Words that a server may not refuse: results and reports, mutated or not."""
    while True:
        for raw in (frames.result(), frames.report(), frames.mutated()):
            kind = translate(raw)
            if kind in TRANSLATE:
                yield frames.odd(raw)


def refused(frames: Frames) -> bytes:
    while translate(raw := frames.any()):
        pass
    return raw


def end_of(wire: Wire) -> grpc.StatusCode:
    while wire.receive(60) is not None:
        pass
    return wire.status()


def serves_on(remote: Remote, deployment: Any) -> None:
    wire, _ = remote.connect()
    assert eventually(
        lambda: wire.expect("deploy_command").deployment_id == str(deployment.pk), within=10
    )
    wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
    eventually(
        lambda: DeploymentVerdict.objects.filter(
            deployment=deployment, agent=remote.agent_id, outcome="applied"
        ).exists()
    )
    wire.half_close()


class Call:
    """What a servicer sees of a call, with gRPC taken away."""

    def __init__(self, frames: Iterable[bytes]) -> None:
        self._frames = iter(frames)
        self.end = grpc.StatusCode.OK

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return ()

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    async def send_initial_metadata(self, _metadata: Any) -> None: ...

    async def read(self) -> Any:
        return next(self._frames, grpc.aio.EOF)

    async def abort(self, status: grpc.StatusCode, _words: str, _trailers: Any) -> None:
        self.end = status
        raise grpc.aio.AbortError


def servicer_of(agentd: Agentd) -> AgentServicer:
    """One more servicer beside the one that gRPC calls, on the same hub and database."""
    server = agentd.server
    return AgentServicer(server.hub, server._database, server._reports, agentd.options, "fuzz")


async def ends_of(servicer: AgentServicer, frames: list[bytes]) -> Counter[grpc.StatusCode]:
    ends: Counter[grpc.StatusCode] = Counter()
    waiting = iter(frames)

    async def work() -> None:
        for raw in waiting:
            call = Call([raw])
            try:
                await servicer.Connect(None, call)  # type: ignore[arg-type]
            except grpc.aio.AbortError:
                ends[call.end] += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return ends


def memory() -> int:
    gc.collect()
    return psutil.Process().memory_info().rss
