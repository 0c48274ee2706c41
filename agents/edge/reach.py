"""The way to the control plane: its address, whom to trust there, and a channel."""

from __future__ import annotations

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import certifi
import grpc

from agents.edge.state import Identity, StateDir

# Where distributions keep the machine's roots, after what the environment and OpenSSL itself name.
SYSTEM_ROOTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
CHANNEL_OPTIONS: list[tuple[str, int]] = [
    # We keep our own back-off: gRPC's grows to two minutes and is shared between channels.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    # A peer that vanished without a word is noticed within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 1024 * 1024),
]


class BadAddress(ValueError):
    """An address that cannot be one."""


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        host, colon, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if "://" in text or not colon or not host or "/" in host:
            raise BadAddress(
                f"{text!r} is not host:port, for example portal.example.com:9443. "
                "Give it as the cluster's page shows it."
            )
        if not port.isdecimal() or not 0 < int(port) < 65536:
            raise BadAddress(f"{port!r} is not a port: use a number between 1 and 65535.")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Names are not resolved: what a name points to can change after the check."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def system_roots() -> bytes:
    named = [os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *SYSTEM_ROOTS]
    for path in filter(None, named):
        if Path(path).is_file():
            return Path(path).read_bytes()
    return Path(certifi.where()).read_bytes()


def trust(roots: bytes | None) -> ssl.SSLContext:
    """For REST: the same roots as for the stream."""
    return ssl.create_default_context(cadata=(roots or system_roots()).decode())


def channel_to(address: Address, *, plaintext: bool, roots: bytes | None) -> grpc.aio.Channel:
    if plaintext:
        if not is_loopback(address.host):
            raise BadAddress(f"{address} is not loopback: without TLS the token would be readable.")
        # A proxy of the machine's environment may not stand between us and loopback.
        options = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)]
        return grpc.aio.insecure_channel(str(address), options)
    credentials = grpc.ssl_channel_credentials(roots or system_roots())
    return grpc.aio.secure_channel(str(address), credentials, CHANNEL_OPTIONS)


def channel_of(identity: Identity, state: StateDir) -> grpc.aio.Channel:
    return channel_to(
        Address.parse(identity.server), plaintext=identity.plaintext, roots=state.roots()
    )
