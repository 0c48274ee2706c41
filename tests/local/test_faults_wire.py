"""The intruder's own encoding says what the product's generated code reads, and the reverse."""

from __future__ import annotations

from agents.wire import agent_pb2 as pb
from deploy.local.faults import wire


def test_a_connect_request():
    read = pb.AgentMessage.FromString(wire.connect_request("a.b.c"))

    assert read.connect_request.jwt == "a.b.c"
    assert list(read.connect_request.gateway_classes) == ["envoy"]


def test_a_result():
    read = pb.AgentMessage.FromString(wire.deploy_result("id", "digest", wire.FAILED, "words"))

    assert read.deploy_result == pb.DeployResult(
        deployment_id="id", revision="digest", outcome=pb.OUTCOME_FAILED, error="words"
    )
    assert wire.APPLIED == pb.OUTCOME_APPLIED


def test_a_report():
    read = pb.AgentMessage.FromString(wire.state_report(2**40, "words")).state_report

    assert {read.applied_generation, read.settled_generation, read.access_version} == {2**40}
    assert read.last_error == "words"


def test_a_welcome():
    said = pb.ConnectResponse(rest_token="t" * 300, rest_url="http://x", generation=7)
    raw = pb.ServerMessage(session_epoch=300, connect_response=said).SerializeToString()

    assert wire.welcome(raw) == (300, "t" * 300)
