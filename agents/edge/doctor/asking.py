"""What the control plane says: clock, version, token or identity, portal, heartbeat."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import jwt

from agents.edge import faultpoint, status
from agents.edge.doctor.finding import BAD, OK, STEP_SECONDS, WARN, Finding, Patient, Stop
from agents.edge.reach import channel_to, system_roots, trust
from agents.edge.session import CLOCK_TOLERANCE, JWT_SECONDS, error_code
from agents.edge.state import Identity
from agents.wire import agent_pb2, agent_pb2_grpc

AUDIENCE = "imp-gateway-check"
SILENCE_SECONDS = 90  # after so long without a heartbeat the portal calls an agent inactive


async def control_plane(patient: Patient) -> AsyncIterator[Finding]:
    channel = channel_to(
        patient.invitation.server, plaintext=patient.plaintext, roots=patient.roots
    )
    try:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        greeting = await _greeting(stub, patient)
        yield _clock(int(float(greeting["imp-time"])))
        yield _version(patient.version, greeting.get("imp-version", ""))
        if patient.identity is None and not patient.invitation.token:
            yield Finding(
                "token", WARN, "none was given", "Give --token to have it looked at, too."
            )
            return
        answer = await _asked(stub, patient, int(float(greeting["imp-time"])))
        yield Finding("token", OK, _accepted(patient, answer))
        yield await _portal(patient, answer.rest_url)
        if patient.identity is not None:
            yield _heartbeat(patient, answer.last_heartbeat_at)
    finally:
        await channel.close()


async def _greeting(stub: Any, patient: Patient) -> dict[str, str]:
    """What agentd says before it knows whom it talks to; the call ends before it has begun."""
    call = stub.Connect()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            metadata = await call.initial_metadata()
    except (grpc.aio.AioRpcError, TimeoutError, asyncio.CancelledError) as error:
        _unless_cancelled(error)
        metadata = ()
    finally:
        call.cancel()
    greeting = {str(name): str(value) for name, value in metadata or ()}
    if "imp-time" in greeting:
        return greeting
    words = f"{patient.invitation.server} answers, but not as an agent server"
    fix = "Use the address for agents, as the cluster's page shows it; look into agentd's log."
    raise Stop(Finding("tls", BAD, words, fix))


def _unless_cancelled(error: BaseException) -> None:
    """grpc.aio says CancelledError, too, of a call that its channel gave up."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
        raise error


def _clock(server_time: int) -> Finding:
    skew = round(faultpoint.now() - server_time)
    if abs(skew) > CLOCK_TOLERANCE:
        side = "ahead of" if skew > 0 else "behind"
        words = f"this machine's clock is {abs(skew)} s {side} the control plane's"
        return Finding("clock", BAD, words, "Set it: timedatectl set-ntp true")
    return Finding("clock", OK, f"within {max(1, abs(skew))} s of the control plane's")


def _version(mine: str, theirs: str) -> Finding:
    if not theirs or _release(mine) == _release(theirs):
        return Finding("version", OK, f"imp-agent {mine}")
    words = f"imp-agent {mine}, control plane {theirs}"
    fix = f"Install imp-agent {theirs}: this one may not know everything that is asked of it."
    return Finding("version", WARN, words, fix)


def _release(version: str) -> list[str]:
    """1.4.2 and 1.4.7 understand each other."""
    return version.partition("+")[0].split(".")[:2]


async def _asked(stub: Any, patient: Patient, server_time: int) -> agent_pb2.CheckResponse:
    gateway_class = patient.identity.gateway_class if patient.identity else "envoy"
    request = agent_pb2.CheckRequest(
        token=patient.invitation.token,
        name=patient.invitation.name,
        jwt=_signed(patient, patient.identity, server_time) if patient.identity else "",
        version=patient.version,
        gateway_classes=[gateway_class],
    )
    try:
        return await stub.Check(request, timeout=STEP_SECONDS)
    except grpc.aio.AioRpcError as error:
        code = error_code(error.trailing_metadata())
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            code, words = "old_server", "this control plane is too old to be asked"
        else:
            words = error.details() or error.code().name
        raise Stop(Finding("token", BAD, words, FIXES.get(code, ""), code)) from error


FIXES = {
    "name_taken": "Join with another --name, or revoke the other agent on the cluster's page.",
    "token_unknown": "Copy the whole join command again, or create a new token.",
    "token_used": "Create a new token on the cluster's page.",
    "token_expired": "Create a new token on the cluster's page and use it within its time.",
    "token_revoked": "Create a new token on the cluster's page.",
    "agent_revoked": "Create a new token on the cluster's page and run imp-agent join with it.",
    "jwt_unknown_agent": "Run imp-agent join with a new token and an empty --state-dir.",
    "jwt_key": "The folder's key is not this agent's: was it copied? Join with a folder of its own.",
    "old_server": "Upgrade the control plane, or look at the cluster's page instead.",
}


def _signed(patient: Patient, identity: Identity, server_time: int) -> str:
    claims = {
        "iss": identity.agent_id,
        "aud": AUDIENCE,
        "nonce": "",
        "iat": server_time,
        "exp": server_time + JWT_SECONDS,
    }
    return jwt.encode(claims, patient.state.key(), algorithm="EdDSA")


def _accepted(patient: Patient, answer: agent_pb2.CheckResponse) -> str:
    if patient.identity is None:
        return f"good for joining cluster {answer.cluster_name}; it was not spent"
    return f"the control plane knows {patient.identity.name} of cluster {answer.cluster_name}"


async def _portal(patient: Patient, url: str) -> Finding:
    """Bundles and keys are read there. Without a token the right answer is 401."""
    fix = "Let this machine through to that address; PUBLIC_URL of the portal must name it."
    context = trust(patient.roots or system_roots())
    try:
        async with httpx.AsyncClient(verify=context, timeout=STEP_SECONDS) as client:
            answer = await client.get(f"{url.rstrip('/')}/api/v1/agent/manifest")
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        words = f"{url} cannot be read from: {str(error) or type(error).__name__}"
        return Finding("portal", BAD, words, fix)
    if answer.status_code != httpx.codes.UNAUTHORIZED:
        words = f"{url} answers {answer.status_code}, which is not the portal's answer"
        return Finding("portal", BAD, words, fix)
    return Finding("portal", OK, f"{url} answers")


def _heartbeat(patient: Patient, heard_at: int) -> Finding:
    """By the control plane's own clock and word; why there is none, this machine knows best."""
    age = faultpoint.now() - heard_at
    when = datetime.fromtimestamp(heard_at, UTC).isoformat(timespec="seconds")
    if heard_at and age < SILENCE_SECONDS:
        return Finding("heartbeat", OK, f"the last one came {max(0, round(age))} s ago")
    words = f"the last one came at {when}" if heard_at else "none has come yet"
    running = patient.state.running()
    if running is None:
        fix = "No agent runs on this folder. Start it: imp-agent run, or systemctl start imp-agent"
        return Finding("heartbeat", BAD, words, fix)
    shown = status.of(patient.state, patient.version)
    trouble = shown.get("last_error") or "it does not say why"
    fix = f"The agent (pid {running.pid}) runs but is not heard: {trouble}. Look into its log."
    return Finding("heartbeat", BAD, words, fix)
