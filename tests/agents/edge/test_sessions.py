"""Streams come and go; the agent comes back, unless it is told not to."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import urllib.error
import urllib.request

import grpc
import pytest

from agents.edge import agent as agent_module
from agents.edge.agent import Exit
from agents.edge.backoff import Backoff
from agents.edge.local import Local
from agents.edge.state import StateDir
from agents.wire import agent_pb2 as pb
from tests.agents.edge.conftest import Runner, joined, until
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer


def goodbye(reason: pb.Goodbye.Reason, **fields: object) -> pb.ServerMessage:
    return pb.ServerMessage(goodbye=pb.Goodbye(reason=reason, **fields))


async def test_the_token_is_signed_by_the_servers_clock(
    state: StateDir,
    peer: Peer,
    gateway: MemoryGateway,
    runner: Runner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer.clock = lambda: time.time() - 86_400
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)

    claims = peer.claims[0]
    assert abs(claims["iat"] - peer.clock()) < 10
    assert claims["iss"] == state.identity().agent_id
    assert claims["aud"] == "imp-gateway"
    assert "clock differs" in caplog.text


async def test_heartbeats_come_with_the_state(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    runner.start(await joined(state, peer), gateway)
    await until(lambda: peer.count("heartbeat") >= 2)

    assert peer.count("state_report") >= 3


async def test_the_gateway_serves_from_disk_while_nobody_can_be_reached(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    _, revision = peer.publish("billing", deployment=False)
    peer.hint()
    await until(lambda: gateway.serving == {"billing": revision})
    await runner.stop(agent)

    identity = state.identity()
    state.save_identity(type(identity)(**{**_as_dict(identity), "server": "127.0.0.1:1"}))
    other = MemoryGateway()
    offline = runner.start(state, other)
    await until(lambda: other.starts == 1)

    assert other.serving == {"billing": revision}
    assert not offline.condition.connected
    assert offline.condition.gateway_ready


def _as_dict(identity: object) -> dict:
    return {name: getattr(identity, name) for name in identity.__slots__}  # type: ignore[attr-defined]


async def test_an_agent_comes_back_when_the_server_does(
    state: StateDir, gateway: MemoryGateway, runner: Runner
) -> None:
    peer = Peer()
    async with peer.serving():
        agent = runner.start(await joined(state, peer), gateway)
        await until(lambda: agent.condition.connected)
    await until(lambda: not agent.condition.connected)
    async with peer.serving(port=peer.port):
        deployment, _ = peer.publish()
        await until(lambda: peer.outcome(deployment) == pb.OUTCOME_APPLIED)
        assert agent.condition.reconnects >= 1


async def test_it_waits_less_where_nobody_answers(
    state: StateDir, gateway: MemoryGateway, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent: list[bool] = []

    def wait(_: Backoff, **why: bool) -> float:
        absent.append(why.get("absent", False))
        return 0.05

    monkeypatch.setattr(Backoff, "next", wait)
    peer = Peer()
    async with peer.serving():
        agent = runner.start(await joined(state, peer), gateway)
        await until(lambda: agent.condition.connected)
    await until(lambda: len(absent) >= 3)

    # The stream that stood was answered; then nobody listens any more.
    assert (absent[0], absent[-1]) == (False, True)


@pytest.mark.parametrize("code", [grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL])
async def test_a_stream_that_core_rejects_is_tried_again(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner, code: grpc.StatusCode
) -> None:
    """A server in a storm of reconnects answers CANCELLED, which must not cancel us."""
    peer.rejects = [code, code]
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)

    assert peer.rejects == []


async def test_a_verdict_the_server_asks_for_again_is_said_again(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    runner.start(await joined(state, peer), gateway)
    deployment, _ = peer.publish()
    peer.hint()
    await until(lambda: peer.outcome(deployment) == pb.OUTCOME_APPLIED)
    peer.heard.clear()  # the server lost it, and its stream did not break
    command = pb.DeployCommand(deployment_id=deployment)
    peer.tell(pb.ServerMessage(deploy_command=command))

    await until(lambda: peer.outcome(deployment) == pb.OUTCOME_APPLIED)


async def test_a_draining_server_says_when_to_come_back(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)
    began = time.monotonic()
    peer.tell(goodbye(pb.Goodbye.DRAIN, retry_after_ms=700))
    await until(lambda: peer.connects == 2)

    assert 0.7 <= time.monotonic() - began < 3


async def test_a_superseded_agent_steps_back_and_says_so(
    state: StateDir,
    peer: Peer,
    gateway: MemoryGateway,
    runner: Runner,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_module, "SUPERSEDED_SECONDS", (0.5, 0.6))
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)
    peer.tell(goodbye(pb.Goodbye.SUPERSEDED))
    await until(lambda: "Was the state folder copied" in agent.condition.last_error)
    await asyncio.sleep(0.3)

    assert peer.connects == 1
    assert [r for r in caplog.records if r.levelno == logging.ERROR]
    await until(lambda: peer.connects == 2)
    await until(lambda: agent.condition.last_error == "")


async def test_a_revoked_agent_ends_and_leaves_the_gateway_serving(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    _, revision = peer.publish(deployment=False)
    peer.hint()
    await until(lambda: gateway.serving)
    peer.tell(goodbye(pb.Goodbye.REVOKED, message="revoked"))

    assert await runner.ended(agent) == Exit.REVOKED
    assert gateway.serving == {"billing": revision}
    assert (gateway.detached, gateway.stopped) == (1, 0)
    assert state.identity().revoked


async def test_an_agent_revoked_while_it_was_away_learns_it_when_it_connects(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    await joined(state, peer)
    peer.revoked.add(state.identity().agent_id)

    assert await runner.ended(runner.start(state, gateway)) == Exit.REVOKED


async def test_a_revoked_agent_in_a_container_stays_and_serves_but_never_connects(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway, exit_when_revoked=False)
    _, revision = peer.publish(deployment=False)
    peer.hint()
    await until(lambda: gateway.serving)
    peer.tell(goodbye(pb.Goodbye.REVOKED))
    await until(lambda: agent.condition.ended == "revoked")
    await asyncio.sleep(0.5)

    assert peer.connects == 1
    assert gateway.serving == {"billing": revision}
    assert "revoked" in agent.condition.as_json()["last_error"]
    assert await runner.stop(agent) == Exit.REVOKED


async def test_an_agent_the_control_plane_does_not_know_keeps_serving_and_says_so(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    await joined(state, peer)
    known, peer.agents = peer.agents, {}
    agent = runner.start(state, gateway)
    await until(lambda: "No such agent" in agent.condition.last_error)
    assert agent.condition.gateway_ready

    peer.agents = known
    await until(lambda: agent.condition.connected)


async def test_stopping_says_goodbye_and_detaches(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)

    assert await runner.stop(agent) == Exit.OK
    # It was sent; the peer reads at its own pace.
    await until(
        lambda: any(each.goodbye.reason == pb.Goodbye.STOPPING for each in peer.heard),
        str([each.WhichOneof("payload") for each in peer.heard]),
        3,
    )
    assert (gateway.detached, gateway.stopped) == (1, 0)


async def test_stopping_may_include_the_gateway(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)
    await runner.stop(agent, gateway=True)

    assert (gateway.detached, gateway.stopped) == (0, 1)


async def test_stopping_waits_for_a_change_that_is_under_way(
    state: StateDir,
    peer: Peer,
    gateway: MemoryGateway,
    runner: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agent_module, "REST_SECONDS", 10)
    agent = runner.start(await joined(state, peer), gateway)
    gateway.may_apply.clear()
    deployment, revision = peer.publish()
    peer.hint()
    await until(lambda: peer.outcome(deployment) == pb.OUTCOME_APPLYING)
    agent.stop()
    await asyncio.sleep(0.2)
    gateway.may_apply.set()
    await runner.ended(agent)

    assert gateway.serving == {"billing": revision}


async def test_a_rest_token_that_does_not_count_any_more_brings_a_new_session(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)
    peer.rest_token = "replaced"
    deployment, _ = peer.publish()
    peer.hint()

    await until(lambda: peer.outcome(deployment) == pb.OUTCOME_APPLIED)
    assert peer.connects == 2


async def test_no_secret_is_ever_logged(
    state: StateDir,
    peer: Peer,
    gateway: MemoryGateway,
    runner: Runner,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    agent = runner.start(await joined(state, peer), gateway)
    await until(lambda: agent.condition.connected)
    peer.rest_failures = 2
    peer.hint()
    await runner.stop(agent)

    pem = state.key_file.read_text().splitlines()[1]
    said = caplog.text
    assert not [secret for secret in (*peer.tokens, peer.rest_token, pem) if secret in said]


async def test_healthz_is_about_the_gateway_not_about_the_network(
    state: StateDir, peer: Peer, gateway: MemoryGateway, runner: Runner
) -> None:
    gateway.fails_to_start = 10_000
    agent = runner.start(await joined(state, peer), gateway)
    async with Local(agent.condition).serving(("127.0.0.1", 0)) as (host, port):
        await until(lambda: agent.condition.connected)
        status, body = await asyncio.to_thread(_get, f"http://{host}:{port}/healthz")
        assert status == 503
        assert "port 8080 is taken" in json.loads(body)["last_error"]
        gateway.fails_to_start = 0
        await until(lambda: agent.condition.connected and agent.condition.gateway_ready)
        status, body = await asyncio.to_thread(_get, f"http://{host}:{port}/healthz")
        shown = json.loads(body)
        assert status == 200
        assert shown["connected"]
        assert shown["generation"]["desired"] == peer.generation
        assert shown["last_contact_s"] < 10
        status, body = await asyncio.to_thread(_get, f"http://{host}:{port}/metrics")
        assert status == 200
        assert "imp_agent_connected 1.0" in body
        assert f'agent_id="{state.identity().agent_id}"' in body
        assert (await asyncio.to_thread(_get, f"http://{host}:{port}/other"))[0] == 404
        assert (await asyncio.to_thread(_get, f"http://{host}:{port}/metrics", "POST"))[0] == 405


def _get(url: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
