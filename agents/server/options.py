"""What agentd is told, and the limits it keeps. Why each gRPC option: docs/protocol.md, "Server options"."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

MESSAGE_LIMIT = 1024 * 1024
DEFAULT_LISTEN = "127.0.0.1:9443"
# What spreads agents over time. Processes that were forked or seeded alike must not agree.
jitter = SystemRandom()

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 1),
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    # By default core rejects streams above 1,000 pending ones with CANCELLED: a reconnect storm.
    ("grpc.server.max_pending_requests", 20_000),
    ("grpc.server.max_pending_requests_hard_limit", 40_000),
    ("grpc.max_allowed_incoming_connections", 6_000),
    ("grpc.max_concurrent_streams", 8),
    ("grpc.server_handshake_timeout_ms", 30_000),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The floor for pings of clients. "min_recv_ping_interval_…", often copied, is silently ignored.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    ("grpc.max_connection_age_ms", 4 * 3600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. Tests shorten them."""

    hello: float = 30.0  # until the first message; a machine full of agents is slow on both ends
    write: float = 10.0  # until a message left for the agent; looked at every quarter of it
    heartbeat: float = 30.0  # between an agent's beats
    glance: float = 0.002  # until the clusters that news came of are looked at together
    gather: float = 0.01  # until what came together goes to the database together
    spacing: float = 0.25  # between two such visits while a crowd comes
    depart: float = 0.1  # the same for streams that ended
    flush: float = 15.0  # between two writes of all beats
    sweep: float = 5.0
    debounce: float = 0.03  # between two looks at one cluster
    repeat: float = 15.0  # until a hint is repeated to an agent that is still behind
    report: float = 600.0  # until an unchanged state report is stored again
    drain: float = 10.0
    wake_retry: float = 15.0  # the longest pause between two tries to reach Redis
    echo: float = 10.0  # between two proofs that wakes would arrive


@dataclass(frozen=True, slots=True)
class Options:
    listen: str = DEFAULT_LISTEN
    certificate: bytes = b""  # PEM chain
    private_key: bytes = field(default=b"", repr=False)
    rest_url: str = ""
    registrations_per_minute: float = 20.0  # of one address
    registrations_at_once: int = 40
    threads: int = 8
    timings: Timings = field(default_factory=Timings)

    @property
    def secure(self) -> bool:
        return bool(self.certificate)

    def check(self) -> None:
        """Plaintext would show the registration token to the network, so it stays on loopback."""
        if bool(self.certificate) != bool(self.private_key):
            raise ImproperlyConfigured("Set AGENTD_TLS_CERT and AGENTD_TLS_KEY both, or neither.")
        host, _port = split_address(self.listen)
        if not self.secure and not is_loopback(host):
            raise ImproperlyConfigured(
                f"agentd does not listen on {self.listen} without TLS. "
                "Set AGENTD_TLS_CERT and AGENTD_TLS_KEY, or listen on 127.0.0.1."
            )


def from_settings(listen: str | None = None) -> Options:
    options = Options(
        listen=listen or settings.AGENTD_LISTEN,
        certificate=_file("AGENTD_TLS_CERT"),
        private_key=_file("AGENTD_TLS_KEY"),
        rest_url=settings.PUBLIC_URL,
        # Each thread holds a connection at most.
        threads=min(8, settings.DATABASE_POOL_SIZE or 8),
    )
    options.check()
    return options


def split_address(listen: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port`."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ImproperlyConfigured(
            f"AGENTD_LISTEN must be host:port, for instance 127.0.0.1:9443, not {listen!r}."
        )
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _file(name: str) -> bytes:
    path = getattr(settings, name)
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None
