"""/healthz and /metrics on a local port, for probes, Prometheus and `imp-agent status`. Nothing secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.edge.condition import Condition

log = logging.getLogger(__name__)

DEFAULT_LISTEN = ("127.0.0.1", 9464)
REQUEST_SECONDS = 5
LARGEST_REQUEST = 8192


class PortBusy(RuntimeError):
    """Somebody else listens there; the text says what to change."""


class ConditionCollector(Collector):
    """Reads the condition when it is asked, so that no number can be forgotten."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition

    def collect(self) -> Iterator[Metric]:
        now = self._condition
        gauges: dict[str, tuple[str, float]] = {
            "connected": ("1 while a stream to the control plane stands.", now.connected),
            "gateway_ready": ("1 while the gateway answers the agent.", now.gateway_ready),
            "last_contact_timestamp_seconds": ("The control plane's last word.", now.last_contact),
            "desired_generation": ("What the cluster should run.", now.desired_generation),
            "settled_generation": ("Applied or refused up to here.", now.settled_generation),
            "applied_generation": ("All of this is live.", now.applied_generation),
            "desired_access_version": ("Keys and plans as wanted.", now.desired_access_version),
            "access_version": ("Keys and plans that the gateway uses.", now.access_version),
            "publishes_served": ("Publishes that the gateway took.", len(now.served)),
            "publishes_refused": ("Publishes that the gateway refused.", len(now.refusals)),
            "start_time_seconds": ("When this agent started.", now.started_at),
        }
        for name, (words, value) in gauges.items():
            yield GaugeMetricFamily(f"imp_agent_{name}", words, value=float(value))
        yield CounterMetricFamily(
            "imp_agent_reconnects", "Streams that ended.", value=float(now.reconnects)
        )
        info = GaugeMetricFamily(
            "imp_agent_info",
            "Who this is.",
            labels=["version", "agent_id", "cluster", "gateway_class"],
        )
        who = now.identity
        info.add_metric([now.version, who.agent_id, who.cluster_name, who.gateway_class], 1.0)
        yield info


class Local:
    """The smallest HTTP server that a probe needs: GET, one answer, closed."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._registry = CollectorRegistry()
        self._registry.register(ConditionCollector(condition))

    @contextlib.asynccontextmanager
    async def serving(self, listen: tuple[str, int] | None) -> AsyncIterator[tuple[str, int]]:
        """Yields where it listens. None: the default port, or any other when that one is taken."""
        server = await self._bind(listen)
        host, port = server.sockets[0].getsockname()[:2]
        async with server:
            yield host, port

    async def _bind(self, listen: tuple[str, int] | None) -> asyncio.Server:
        host, port = listen or DEFAULT_LISTEN
        try:
            return await asyncio.start_server(self._serve, host, port, limit=LARGEST_REQUEST)
        except OSError as error:
            if listen is None:
                server = await asyncio.start_server(self._serve, host, 0, limit=LARGEST_REQUEST)
                other = server.sockets[0].getsockname()[1]
                log.warning("Port %d is taken; /healthz and /metrics are on port %d", port, other)
                return server
            raise PortBusy(
                f"{host}:{port} cannot be used for /healthz and /metrics ({error.strerror or error}). "
                "Choose another address with --listen."
            ) from error

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(request))
                await writer.drain()
        except (
            TimeoutError,
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            log.debug("A local request broke off")
        finally:
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        method, _, rest = request.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method not in {b"GET", b"HEAD"}:
            return _response(405, "text/plain", b"Only GET.\n", "Allow: GET, HEAD\r\n")
        if path == b"/healthz":
            body = json.dumps(self._condition.as_json()).encode()
            return _response(
                200 if self._condition.gateway_ready else 503, "application/json", body
            )
        if path == b"/metrics":
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return _response(200, kind, generate_latest(self._registry))
        return _response(404, "text/plain", b"There are /healthz and /metrics.\n")


REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def _response(status: int, content_type: str, body: bytes, headers: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode() + body
