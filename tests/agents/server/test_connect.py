"""Connect: who gets a stream, and what ends one."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import grpc
import jwt
import pytest
from django.utils import timezone

from agents.wire import agent_pb2 as pb
from clusters.models import Agent
from clusters.services import agents
from tests.agents.server.rig import FAST, Key, Wire, dial, eventually, make_remote


def outcome(wire: Wire) -> tuple[grpc.StatusCode, str]:
    while wire.receive() is not None:
        pass
    return wire.status(), wire.error()


UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_the_server_speaks_first(channel):
    given = Wire(channel).metadata()

    assert len(given["imp-nonce"]) >= 43
    assert abs(int(given["imp-time"]) - time.time()) < 5
    assert Wire(channel).metadata()["imp-nonce"] != given["imp-nonce"]


def test_a_signed_nonce_opens_a_session(remote):
    wire = remote.dial()

    message = wire.receive()

    hello = message.connect_response
    row = remote.row()
    assert message.session_epoch == row.session_epoch == 1
    assert hello.heartbeat_interval_s == 30
    assert hello.rest_url == "http://portal"
    assert agents.agent_by_rest_token(hello.rest_token).pk == row.pk
    assert row.is_live
    assert "/" in row.owner


def test_the_numbers_of_the_cluster_come_along(remote):
    row = remote.row()
    type(row.cluster.state).objects.update(desired_generation=7, access_version=9)

    _, hello = remote.connect()

    assert (hello.generation, hello.access_version) == (7, 9)


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "of-another-stream"}, "jwt_nonce"),
        ({"nonce": ""}, "jwt_nonce"),
        ({"nonce": ["list"]}, "jwt_nonce"),
        ({"aud": "another-portal"}, "jwt_audience"),
        ({"aud": ["imp-gateway"]}, "jwt_audience"),
        ({"exp": 1_000_000_000}, "jwt_expired"),
        ({"iat": 4_000_000_000}, "jwt_malformed"),
        ({"exp": "soon"}, "jwt_malformed"),
        ({"key": Key()}, "jwt_key"),
        ({"iss": "not-a-uuid"}, "jwt_malformed"),
        ({"iss": UUID(int=7)}, "jwt_unknown_agent"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_token_that_is_wrong_in_one_way_opens_nothing(remote, claims, code):
    wire = remote.dial(**claims)

    assert outcome(wire) == (UNAUTHENTICATED, code)
    assert wire.detail()
    assert remote.row().session_epoch == 0


def test_a_nonce_is_good_for_its_own_stream_only(remote):
    first = Wire(remote.channel)
    nonce = first.metadata()["imp-nonce"]

    assert outcome(remote.dial(nonce=nonce)) == (UNAUTHENTICATED, "jwt_nonce")


def send_jwt(remote, make) -> Wire:
    wire = Wire(remote.channel)
    given = wire.metadata()
    now = int(given["imp-time"])
    claims = {
        "iss": str(remote.agent_id),
        "aud": "imp-gateway",
        "nonce": given["imp-nonce"],
        "iat": now,
        "exp": now + 60,
    }
    wire.send(connect_request=pb.ConnectRequest(jwt=make(claims)))
    return wire


def test_no_algorithm_and_other_algorithms_open_nothing(remote):
    public = remote.key.public.hex()
    forgeries = {
        "none": lambda claims: jwt.encode(claims, None, algorithm="none"),
        # The classic: the public key taken as the secret of a symmetric signature.
        "HS256": lambda claims: jwt.encode(claims, public, algorithm="HS256"),
    }
    for make in forgeries.values():
        assert outcome(send_jwt(remote, make)) == (UNAUTHENTICATED, "jwt_algorithm")


@pytest.mark.parametrize("missing", ["iss", "aud", "nonce", "iat", "exp"])
def test_every_claim_is_needed(remote, missing):
    def make(claims):
        del claims[missing]
        return jwt.encode(claims, remote.key.private, algorithm="EdDSA")

    status, code = outcome(send_jwt(remote, make))

    assert status == UNAUTHENTICATED
    assert code.startswith("jwt_")


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "e30.e30.e30", "é" * 100, "x" * 5000, "..", "\x00"]
)
def test_what_is_no_jwt_opens_nothing(remote, token):
    assert outcome(send_jwt(remote, lambda _: token)) == (UNAUTHENTICATED, "jwt_malformed")


def test_a_revoked_agent_is_told_so(remote):
    Agent.objects.update(revoked_at=timezone.now())

    wire = remote.dial()

    assert outcome(wire) == (grpc.StatusCode.PERMISSION_DENIED, "agent_revoked")
    assert "join again" in wire.detail()


def test_only_the_keys_holder_learns_of_a_revocation(remote):
    Agent.objects.update(revoked_at=timezone.now())

    assert outcome(remote.dial(key=Key())) == (UNAUTHENTICATED, "jwt_key")


def test_the_first_message_must_be_the_request(channel, cluster):
    wire = Wire(channel)
    wire.send(heartbeat=pb.Heartbeat())

    assert outcome(wire) == (INVALID, "invalid_message")


def test_a_second_request_ends_the_stream(remote):
    wire, _ = remote.connect()
    wire.send(connect_request=pb.ConnectRequest(jwt="x"))

    assert outcome(wire) == (INVALID, "invalid_message")


def test_silence_is_cut(channel, cluster):
    began = time.monotonic()

    assert outcome(Wire(channel)) == (grpc.StatusCode.DEADLINE_EXCEEDED, "hello_timeout")
    assert time.monotonic() - began < FAST.hello + 2


def test_an_end_before_the_request(channel, cluster):
    wire = Wire(channel)
    wire.metadata()
    wire.half_close()

    assert outcome(wire) == (INVALID, "invalid_message")


UNKNOWN_FIELD = b"\xfa\x01\x02hi"  # field 31, which no version of the protocol has


@pytest.mark.parametrize(
    "raw",
    [b"", UNKNOWN_FIELD, b"\xff\xff\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x02\xff\xfe"],
    ids=["empty", "unknown payload", "no tag", "length beyond the end", "garbage inside"],
)
@pytest.mark.parametrize("connected", [False, True])
def test_bytes_that_say_nothing_are_invalid(remote, raw, connected):
    wire = remote.connect()[0] if connected else Wire(remote.channel)
    wire.send_raw(raw)

    assert outcome(wire) == (INVALID, "invalid_message")
    assert remote.connect()  # the process stays up


@pytest.mark.parametrize("connected", [False, True])
def test_five_mebibytes_are_too_much(remote, connected):
    wire = remote.connect()[0] if connected else Wire(remote.channel)
    wire.send_raw(b"\x12\x80\x80\xc0\x02" + bytes(5 << 20))

    assert outcome(wire)[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert remote.connect()


@pytest.mark.parametrize(
    "payload",
    [
        {"deploy_result": pb.DeployResult(deployment_id="7", outcome=pb.OUTCOME_APPLIED)},
        {"deploy_result": pb.DeployResult(deployment_id=str(uuid4()))},
        {"deploy_result": pb.DeployResult(deployment_id=str(uuid4()), outcome=77)},
        {
            "deploy_result": pb.DeployResult(
                deployment_id=str(uuid4()), outcome=pb.OUTCOME_APPLIED, revision="../../etc"
            )
        },
        {"state_report": pb.StateReport(publishes=[pb.PublishState(id="x")])},
        {"state_report": pb.StateReport(applied_generation=2**64 - 1)},
        {
            "state_report": pb.StateReport(
                publishes=[pb.PublishState(id=str(uuid4()), revision="A")]
            )
        },
    ],
    ids=["id", "no outcome", "unknown outcome", "revision", "publish id", "number", "its revision"],
)
def test_values_out_of_shape_end_the_stream(remote, payload):
    wire, _ = remote.connect()
    wire.send(**payload)

    assert outcome(wire) == (INVALID, "invalid_message")


def test_a_wrong_version_is_named(remote):
    wire = Wire(remote.channel)
    given = wire.metadata()
    token = remote.key.jwt(remote.agent_id, given["imp-nonce"], int(given["imp-time"]))
    wire.send(connect_request=pb.ConnectRequest(jwt=token, version="v" * 41))

    assert outcome(wire) == (INVALID, "invalid")
    assert remote.row().session_epoch == 0


def test_an_agent_that_says_goodbye_is_gone_at_once(remote):
    wire, _ = remote.connect()

    wire.send(goodbye=pb.Goodbye(reason=pb.Goodbye.STOPPING))

    assert outcome(wire)[0] == grpc.StatusCode.OK
    eventually(lambda: remote.row().disconnected_at)


def test_an_agent_that_breaks_off_is_gone_soon(remote):
    wire, _ = remote.connect()

    wire.cancel()

    eventually(lambda: remote.row().disconnected_at)


def test_many_connect_and_break_off_without_a_trace(agentd, cluster):
    """Every stream leaves the hub, whatever moment it ends at."""
    with dial(agentd) as channel:
        remotes = [make_remote(channel, cluster, f"agent-{number}") for number in range(6)]
        for _ in range(3):
            wires = [remote.dial() for remote in remotes]
            for wire in wires[::2]:
                wire.expect("connect_response")
            for wire in wires:
                wire.cancel()
        eventually(lambda: not agentd.server.hub.streams and not agentd.server.hub.watches)
        eventually(lambda: all(remote.row().disconnected_at for remote in remotes[::2]))


def test_no_secret_is_logged(remote, caplog):
    wire, hello = remote.connect()
    wire.send(heartbeat=pb.Heartbeat())
    send_jwt(remote, lambda _: "a-wrong-token").receive()

    assert caplog.records
    for secret in (hello.rest_token, "a-wrong-token"):
        assert secret not in caplog.text
