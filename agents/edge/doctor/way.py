"""From this machine to a TLS connection: folder, authority, DNS, TCP, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import Any

from agents.edge.authority import AuthorityError
from agents.edge.doctor.finding import BAD, OK, STEP_SECONDS, WARN, Finding, Patient, Stop
from agents.edge.join import certificate_words, roots_of
from agents.edge.reach import system_roots, trust
from agents.edge.state import Identity, StateError

EXPIRES_SOON_DAYS = 14


def folder(patient: Patient, identity: Identity) -> Finding:
    try:
        patient.state.check()
        patient.state.key()
    except StateError as error:
        raise Stop(Finding("folder", BAD, str(error), "Join again with a new token.")) from error
    except OSError as error:
        words = f"{patient.state.path} cannot be used: {error.strerror}."
        raise Stop(Finding("folder", BAD, words, "Run as the user who owns it.")) from error
    return Finding(
        "folder", OK, f"{patient.state.path}: {identity.name} of cluster {identity.cluster_name}"
    )


async def authority(patient: Patient) -> tuple[bytes | None, Finding | None]:
    try:
        roots = await roots_of(patient.invitation)
    except AuthorityError as error:
        fix = "Copy the join command of the cluster's page again."
        raise Stop(Finding("authority", BAD, str(error), fix)) from error
    said = Finding("authority", OK, "the certificate authority is the one that was named")
    return roots, said if roots else None


async def dns(patient: Patient) -> Finding:
    server = patient.invitation.server
    began = time.monotonic()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(
                server.host, server.port, type=socket.SOCK_STREAM
            )
    except (OSError, TimeoutError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no answer"
        raise Stop(
            Finding(
                "dns",
                BAD,
                f"the name {server.host} cannot be resolved ({why})",
                f"Check its spelling and this machine's DNS: getent hosts {server.host}",
            )
        ) from error
    addresses = sorted({str(entry[4][0]) for entry in found})
    return Finding("dns", OK, f"{server.host} is {', '.join(addresses)} ({_took(began)})")


async def tcp(patient: Patient) -> Finding:
    server = patient.invitation.server
    began = time.monotonic()
    try:
        async with asyncio.timeout(STEP_SECONDS):
            _reader, writer = await asyncio.open_connection(server.host, server.port)
    except TimeoutError as error:
        fix = "Let this machine through the firewall to that port, outgoing."
        raise Stop(Finding("tcp", BAD, f"{server} does not answer", fix)) from error
    except OSError as error:
        words = f"{server} cannot be reached ({error.strerror or error})"
        fix = "Check the port, that agentd runs there, and firewalls in between."
        raise Stop(Finding("tcp", BAD, words, fix)) from error
    writer.close()
    return Finding("tcp", OK, f"{server} accepts connections ({_took(began)})")


async def tls(patient: Patient) -> Finding:
    server = patient.invitation.server
    if patient.plaintext:
        return Finding("tls", OK, "none: loopback, where nobody can listen")
    context = trust(patient.roots or system_roots())
    context.set_alpn_protocols(["h2"])
    try:
        async with asyncio.timeout(STEP_SECONDS):
            _reader, writer = await asyncio.open_connection(
                server.host, server.port, ssl=context, server_hostname=server.host
            )
    except ssl.SSLCertVerificationError as error:
        words, fix = certificate_words(server, error)
        raise Stop(Finding("tls", BAD, words, fix)) from error
    except (OSError, TimeoutError) as error:
        why = getattr(error, "reason", None) or str(error) or "no answer"
        fix = "Is it the port for agents, and does agentd have a certificate (AGENTD_TLS_CERT)?"
        raise Stop(Finding("tls", BAD, f"{server} does not speak TLS ({why})", fix)) from error
    handshake = writer.get_extra_info("ssl_object")
    writer.close()
    return _of_certificate(handshake.version(), handshake.getpeercert())


def _of_certificate(version: str, certificate: Any) -> Finding:
    left = int((ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) // 86400)
    words = f"{version}, the certificate is trusted and good for {left} days"
    if left < EXPIRES_SOON_DAYS:
        return Finding("tls", WARN, words, "Renew the certificate of agentd soon.")
    return Finding("tls", OK, words)


def _took(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.0f} ms"
