"""Joining a cluster: a key of the agent's own and a registration token, for an identity."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agents.edge import authority
from agents.edge.drivable import stop_gateway
from agents.edge.reach import Address, channel_to, is_loopback, system_roots, trust
from agents.edge.session import error_code
from agents.edge.state import EVERYWHERE, Identity, StateDir, write
from agents.wire import agent_pb2, agent_pb2_grpc

SIGNED_PREFIX = b"imp-register\n"
REGISTER_SECONDS = 20
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class JoinRefused(RuntimeError):
    """The control plane said no; its words say why and what to do."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class JoinUnreachable(RuntimeError):
    """The control plane could not be reached; the text names the step that failed and what to check."""


class JoinInvalid(ValueError):
    """What was asked cannot be done as it stands."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the join command names."""

    server: Address
    token: str
    name: str
    ca_sha256: str = ""
    ca_file: Path | None = None
    portal: str = ""
    bind: str = EVERYWHERE

    @property
    def plaintext(self) -> bool:
        """Only where nobody can listen, and only when no authority was named."""
        return is_loopback(self.server.host) and not (self.ca_sha256 or self.ca_file)


async def join(
    state: StateDir, invitation: Invitation, *, gateway_class: str, version: str
) -> Identity:
    """Register this folder's key. Again with the same folder is the same agent, not another one."""
    if not DNS_LABEL.fullmatch(invitation.name):
        raise JoinInvalid(
            f"{invitation.name!r} cannot be an agent's name. Use 1 to 63 lower-case letters, digits and "
            "hyphens; start and end with a letter or digit. Choose one with --name."
        )
    roots = await roots_of(invitation)
    key = state.make_key()
    answer = await _register(invitation, key, roots, gateway_class, version)
    identity = Identity(
        agent_id=answer.agent_id,
        cluster_id=answer.cluster_id,
        cluster_name=answer.cluster_name,
        name=invitation.name,
        server=str(invitation.server),
        plaintext=invitation.plaintext,
        gateway_class=gateway_class,
        bind=invitation.bind,
    )
    await _keep(state, identity, roots)
    return identity


async def roots_of(invitation: Invitation) -> bytes | None:
    """Before anything secret is sent: whom to trust. None = the system's roots."""
    if invitation.ca_file is not None:
        return authority.from_file(invitation.ca_file)
    if invitation.ca_sha256:
        portal = invitation.portal or f"https://{_host(invitation.server)}"
        return await authority.fetch(portal, invitation.ca_sha256)
    return None


def _host(address: Address) -> str:
    return f"[{address.host}]" if ":" in address.host else address.host


async def _register(
    invitation: Invitation,
    key: Ed25519PrivateKey,
    roots: bytes | None,
    gateway_class: str,
    version: str,
) -> agent_pb2.RegisterResponse:
    request = agent_pb2.RegisterRequest(
        token=invitation.token,
        name=invitation.name,
        public_key=key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw),
        signature=key.sign(SIGNED_PREFIX + invitation.token.encode()),
        version=version,
        gateway_classes=[gateway_class],
    )
    channel = channel_to(invitation.server, plaintext=invitation.plaintext, roots=roots)
    try:
        stub = agent_pb2_grpc.AgentServiceStub(channel)
        return await stub.Register(request, timeout=REGISTER_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}:
            words = await diagnose(invitation, roots)
            raise JoinUnreachable(words or _unanswered(invitation, error)) from error
        words = error.details() or error.code().name
        raise JoinRefused(error_code(error.trailing_metadata()), words) from error
    finally:
        await channel.close()


def _unanswered(invitation: Invitation, error: grpc.aio.AioRpcError) -> str:
    hint = "Is --server the address for agents, as the cluster's page shows it?"
    if invitation.plaintext:
        hint += " If it speaks TLS there, join with --ca-sha256 or --ca-file."
    return f"{invitation.server} does not answer as an agent server: {error.details()}. {hint}"


async def _keep(state: StateDir, identity: Identity, roots: bytes | None) -> None:
    """The authority before the identity: an agent that has joined knows whom to trust."""
    with state.locked():
        if state.has_joined() and state.identity().cluster_id != identity.cluster_id:
            # What was served for another cluster must never be served for this one.
            await stop_gateway(state, state.identity())
            state.forget_all_but_key()
        if roots:
            write(state.ca_file, roots)
        else:
            state.ca_file.unlink(missing_ok=True)
        state.save_identity(identity)


async def verify(state: StateDir, token: str, version: str) -> str:
    """Whether the control plane still knows this agent, in words; joining again is not needed for that."""
    identity = state.identity()
    invitation = Invitation(
        Address.parse(identity.server),
        token,
        identity.name,
        ca_file=state.ca_file if state.ca_file.exists() else None,
    )
    try:
        answer = await _register(
            invitation, state.key(), state.roots(), identity.gateway_class, version
        )
    except (JoinRefused, JoinUnreachable) as error:
        return f"The control plane was not asked whether it knows this agent: {error}"
    if answer.agent_id == identity.agent_id:
        return "The control plane knows this agent."
    known = replace(
        identity,
        agent_id=answer.agent_id,
        cluster_id=answer.cluster_id,
        cluster_name=answer.cluster_name,
        revoked="",
    )
    await _keep(state, known, state.roots())
    return f"The control plane knew this agent no more: it joined again as {answer.agent_id}."


# --- why not ---


async def diagnose(invitation: Invitation, roots: bytes | None) -> str:
    """The first step on the way that fails, with what to check; empty when each of them works."""
    server = invitation.server
    loop = asyncio.get_running_loop()
    try:
        await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return (
            f"The name {server.host} cannot be resolved ({error.strerror or error}). "
            "Check its spelling and this machine's DNS."
        )
    context = None if invitation.plaintext else trust(roots or system_roots())
    if context:
        context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(10):
            _, writer = await asyncio.open_connection(
                server.host,
                server.port,
                ssl=context,
                server_hostname=server.host if context else None,
            )
        writer.close()
    except ssl.SSLCertVerificationError as error:
        words, fix = certificate_words(server, error)
        return f"{words} The token was not sent. {fix}"
    except (ssl.SSLError, ConnectionResetError) as error:
        return (
            f"{server} does not speak TLS as it should ({getattr(error, 'reason', None) or error}). "
            "Is it the port for agents, and does agentd have a certificate (AGENTD_TLS_CERT)?"
        )
    except TimeoutError:
        return (
            f"{server} does not answer. Check that a firewall lets this machine connect to it, "
            "and that agentd runs there."
        )
    except OSError as error:
        return (
            f"{server} cannot be reached ({error.strerror or error}). "
            "Check the port, that agentd runs there, and firewalls in between."
        )
    return ""


def certificate_words(server: Address, error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """What is wrong, and what to do."""
    why = error.verify_message
    if "not yet valid" in why or "expired" in why:
        fix = "Check this machine's clock, then the certificate's dates."
    elif "match" in why.lower():
        fix = "Use the name that the certificate is for, as the cluster's page shows it."
    else:
        fix = (
            "If the control plane has its own authority, join with --ca-sha256 as the cluster's page "
            "shows it, or with --ca-file."
        )
    return f"The certificate of {server} is not trusted: {why}.", fix
