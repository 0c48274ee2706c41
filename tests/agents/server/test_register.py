"""Register, over the wire."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import grpc
import pytest
from django.utils import timezone

from accounts.models import AuditEvent
from agents.wire import agent_pb2 as pb
from agents.wire import agent_pb2_grpc
from clusters.models import Agent, RegistrationToken
from tests.agents.server.rig import Key, dial, make_token


def refused(stub, request) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.RpcError) as failed:
        stub.Register(request)
    error = failed.value
    return error.code(), dict(error.trailing_metadata()).get("imp-error", ""), error.details()


def test_joining_answers_with_ids_and_notes_the_address(stub, cluster):
    answer = stub.Register(Key().request(make_token(cluster)))

    assert str(Agent.objects.get().pk) == answer.agent_id
    assert (answer.cluster_id, answer.cluster_name) == (str(cluster.pk), cluster.name)
    assert AuditEvent.objects.get(action="agent.register").ip == "127.0.0.1"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "token_expired"),
        ({"use_count": 1}, "token_used"),
        ({"revoked_at": timezone.now()}, "token_revoked"),
    ],
)
def test_each_spent_token_has_its_code(stub, cluster, fields, code):
    token = make_token(cluster, **fields)

    status, found, words = refused(stub, Key().request(token))

    assert (status, found) == (grpc.StatusCode.UNAUTHENTICATED, code)
    assert token not in words


def test_an_unknown_token(stub, cluster):
    status, code, _ = refused(stub, Key().request("igr_0123456789_" + "0" * 64))

    assert (status, code) == (grpc.StatusCode.UNAUTHENTICATED, "token_unknown")


def test_wrong_input_is_an_invalid_argument(stub, cluster):
    status, code, words = refused(stub, Key().request(make_token(cluster), name="Foo_Bar"))

    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid")
    assert "Kubernetes" in words


def test_a_taken_name_is_a_failed_precondition(stub, cluster):
    stub.Register(Key().request(make_token(cluster)))

    status, code, words = refused(stub, Key().request(make_token(cluster)))

    assert (status, code) == (grpc.StatusCode.FAILED_PRECONDITION, "name_taken")
    assert "--name" in words


def test_of_50_joiners_at_once_one_wins(agentd, cluster):
    token = make_token(cluster)

    def join(number: int) -> str:
        with dial(agentd) as channel:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            try:
                return stub.Register(Key().request(token, name=f"agent-{number}")).agent_id
            except grpc.RpcError as error:
                return dict(error.trailing_metadata())["imp-error"]

    with ThreadPoolExecutor(50) as threads:
        outcomes = list(threads.map(join, range(50)))

    assert outcomes.count("token_used") == 49
    assert str(Agent.objects.get().pk) in outcomes
    assert RegistrationToken.objects.get().use_count == 1


def test_one_address_may_not_try_without_end(start_agentd):
    agentd = start_agentd(registrations_per_minute=1, registrations_at_once=3)
    with dial(agentd) as channel:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        codes = [refused(stub, pb.RegisterRequest(name="a", token="x"))[:2] for _ in range(4)]

    assert [code for _, code in codes[:3]] == ["token_unknown"] * 3
    assert codes[3] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_registrations")


def test_garbage_is_an_invalid_argument_and_the_server_stays_up(channel, stub, cluster):
    raw = channel.unary_unary("/agent.v1.AgentService/Register")
    for garbage in (b"\xff\xff\xff\xff", b"\x0a\xff", b"\x0a\x02\xff\xfe"):
        with pytest.raises(grpc.RpcError) as failed:
            raw(garbage)
        assert failed.value.code() == grpc.StatusCode.INVALID_ARGUMENT

    assert stub.Register(Key().request(make_token(cluster))).agent_id


def test_five_mebibytes_are_too_much(channel, stub, cluster):
    with pytest.raises(grpc.RpcError) as failed:
        stub.Register(pb.RegisterRequest(token="x" * (5 << 20)))
    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED

    assert stub.Register(Key().request(make_token(cluster))).agent_id


def test_no_secret_is_logged(stub, cluster, caplog):
    token, spent = make_token(cluster), make_token(cluster, use_count=1)
    stub.Register(Key().request(token))
    refused(stub, Key().request(spent))

    assert caplog.records
    assert token not in caplog.text
    assert spent not in caplog.text


def test_an_unknown_method_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/agent.v1.AgentService/Nothing")(b"")
    assert failed.value.code() == grpc.StatusCode.UNIMPLEMENTED
