"""Whatever bytes come, the process answers with a status of ours and lives on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.server import messages
from agents.server.errors import InvalidMessage, refusal
from agents.wire import agent_pb2 as pb
from tests.agents.server.rig import Wire, dial

ANSWERS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAUTHENTICATED}

text = st.text(max_size=200)
number = st.integers(0, 2**64 - 1)
real = st.floats(width=64)
small = st.integers(0, 2**32 - 1)
name = st.one_of(text, st.uuids().map(str), st.binary(max_size=32).map(bytes.hex))
calls = st.builds(
    pb.ProbeCall, method=text, host=text, port=small, path=text, with_credential=st.booleans(),
    expected=small, got=small, body=text, latency_ms=real,
)  # fmt: skip
results = st.builds(
    pb.DeployResult, deployment_id=name, revision=name, generation=number,
    outcome=st.integers(-(2**31), 2**31 - 1), error=text,
    probe=st.builds(pb.Probe, calls=st.lists(calls, max_size=3)),
    timings=st.builds(pb.Timings, fetch_ms=real, apply_ms=real, probe_ms=real),
)  # fmt: skip
states = st.builds(pb.PublishState, id=name, revision=name, error=text, warning=text)
reports = st.builds(
    pb.StateReport, applied_generation=number, settled_generation=number, access_version=number,
    publishes=st.lists(states, max_size=5), last_error=text,
)  # fmt: skip
agent_messages = st.one_of(
    st.builds(pb.AgentMessage, deploy_result=results),
    st.builds(pb.AgentMessage, state_report=reports),
    st.builds(
        pb.AgentMessage, connect_request=st.builds(pb.ConnectRequest, jwt=text, version=text)
    ),
    st.builds(pb.AgentMessage, goodbye=st.builds(pb.Goodbye, retry_after_ms=small, message=text)),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good message with some bytes changed, cut or added."""
    raw = bytearray(draw(agent_messages).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(raw)


frames = st.one_of(
    st.binary(max_size=400), agent_messages.map(pb.AgentMessage.SerializeToString), mutated()
)


@settings(max_examples=300, deadline=None)
@given(frames)
def test_a_frame_is_translated_or_refused(raw):
    translate(raw)


def translate(raw: bytes) -> str:
    """What it is, "" if it is refused. Nothing that PostgreSQL could not store gets through."""
    try:
        kind, payload = messages.agent_message(raw)
        values = TRANSLATE.get(kind, lambda _: {})(payload)
    except (InvalidMessage, DecodeError) as error:
        refused = refusal(error).status
    else:
        refused = None
        json.dumps(values, allow_nan=False, default=str).encode()  # no half surrogates either
        assert "\x00" not in "".join(texts_of(values))
    assert refused in {None, grpc.StatusCode.INVALID_ARGUMENT}
    return "" if refused else kind


TRANSLATE = {"deploy_result": messages.result, "state_report": messages.report}


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts_of(item)


def end_of(wire: Wire) -> grpc.StatusCode:
    while wire.receive() is not None:
        pass
    return wire.status()


fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_the_first_frame_of_a_stream(remote):
    @fuzz
    @given(frames)
    def check(raw: bytes) -> None:
        wire = Wire(remote.channel)
        wire.metadata()
        wire.send_raw(raw)
        wire.half_close()
        assert end_of(wire) in ANSWERS

    check()
    assert remote.connect()
    assert remote.row().session_epoch == 1


def test_frames_of_a_connected_agent(remote):
    @fuzz
    @given(st.lists(frames, min_size=1, max_size=5))
    def check(sent: list[bytes]) -> None:
        wire, _ = remote.connect()
        for raw in sent:
            wire.send_raw(raw)
        wire.half_close()
        assert end_of(wire) in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}

    check()
    assert remote.connect()


def test_registrations(start_agentd, transactional_db):
    with dial(start_agentd(registrations_at_once=10_000)) as channel:
        call = channel.unary_unary("/agent.v1.AgentService/Register")
        requests = st.builds(
            pb.RegisterRequest, token=text, name=text, public_key=st.binary(max_size=40),
            signature=st.binary(max_size=70), version=text,
            gateway_classes=st.lists(text, max_size=3),
        ).map(pb.RegisterRequest.SerializeToString)  # fmt: skip

        @fuzz
        @given(st.one_of(requests, st.binary(max_size=300)))
        def check(raw: bytes) -> None:
            with pytest.raises(grpc.RpcError) as failed:
                call(raw)
            assert failed.value.code() in ANSWERS

        check()


def test_a_refusal_never_repeats_the_words_of_a_crash():
    answer = refusal(RuntimeError("password=hunter2"))

    assert answer.status == grpc.StatusCode.INTERNAL
    assert "hunter2" not in answer.message
    assert refusal(InvalidMessage("x")).message == "x"
