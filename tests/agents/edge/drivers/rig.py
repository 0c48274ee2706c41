"""A real Envoy, a real backend, and the documents that join them."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from agents.edge.model import Access, Grant, PlanLimit, Publish, Snapshot
from agents.wire import bundle_pb2 as pb
from deploy.local import ports

DENIED = ("169.254.0.0/16", "203.0.113.0/24")
HOST = "pay.test"


def free_port() -> int:
    return ports.free()[0]


class Echo:
    """A backend that answers what it was asked and remembers it.

    /slow takes a second, /status/503 answers that, /flaky fails twice and then answers, /cors lets every
    origin in, /healthz is what `healthy` says and is not remembered.
    """

    def __init__(self, name: str = "echo", port: int = 0) -> None:
        self.name = name
        self.calls: list[dict[str, Any]] = []
        self.checks: list[str] = []  # the hosts that health checks asked for
        self.healthy = True
        echo = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                echo.answer(self)

            def do_POST(self) -> None:
                echo.answer(self)

            def do_PUT(self) -> None:
                echo.answer(self)

            def do_OPTIONS(self) -> None:
                echo.answer(self)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return self._server.server_port

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        call = {
            "name": self.name,
            "method": request.command,
            "path": request.path,
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
        }
        if request.path == "/healthz":
            self.checks.append(request.headers["host"])
            request.send_response(200 if self.healthy else 503)
            request.send_header("content-length", "0")
            request.end_headers()
            return
        self.calls.append(call)
        # Read it all, or the gateway is told of a connection that broke.
        call["length"] = len(_body(request))
        status = 200
        if "/slow" in request.path:
            time.sleep(1)
        if "/status/" in request.path:
            status = int(request.path.rpartition("/")[2])
        if "/flaky" in request.path and len(self.calls) < 3:
            status = 503
        body = json.dumps(call).encode()
        request.send_response(status)
        request.send_header("content-length", str(len(body)))
        if "/cors" in request.path:
            request.send_header("access-control-allow-origin", "*")
            request.send_header("access-control-allow-credentials", "true")
            request.send_header("vary", "accept")
        request.end_headers()
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _body(request: http.server.BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("transfer-encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("content-length", 0)))
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def seen(self) -> dict[str, str]:
        """The headers that the backend saw."""
        return dict(self.json["headers"])


async def call(
    port: int,
    path: str,
    key: str | None = None,
    *,
    host: str = HOST,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    address: str = "127.0.0.1",
    body: bytes = b"",
) -> Answer:
    """One call as written: no client that tidies paths and joins headers first."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
    if key is not None:
        lines.append(f"X-API-Key: {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(address, port)
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode().strip().split("\r\n")
        parsed: dict[str, str] = {}
        for line in rest:
            name, value = line.split(": ", 1)
            parsed[name] = f"{parsed[name]}, {value}" if name in parsed else value
        # Not until the end: Envoy holds a refused connection open for a second.
        answered = await reader.readexactly(int(parsed.get("content-length", 0)))
        writer.close()
    return Answer(int(first.split()[1]), parsed, answered.decode())


async def status(*args: Any, **kwargs: Any) -> int:
    return (await call(*args, **kwargs)).status


def route(path: str = "/billing", **changes: Any) -> pb.Route:
    values: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "match": "prefix",
        "path": path,
        "methods": ["GET"],
        "timeout_ms": 5_000,
        "upstream_id": "main",
    }
    return pb.Route(**(values | changes))


def header(name: str, value: str) -> pb.Header:
    return pb.Header(name=name, value=value)


def backend(port: int, **changes: Any) -> pb.Backend:
    values: dict[str, Any] = {"id": f"b{port}", "host": "127.0.0.1", "port": port, "weight": 1}
    return pb.Backend(**(values | changes))


def publish(
    port: int | Iterable[int],
    *routes: pb.Route,
    backends: Sequence[pb.Backend],
    host: str = HOST,
    mode: str = "api-key",
    publish_id: str | None = None,
    deployment: str = "",
    **policies: Any,
) -> Publish:
    """`policies` are those of its only service: cors=…, callers=…, max_request_bytes=…."""
    ports = [port] if isinstance(port, int) else list(port)
    bundle = pb.Bundle(
        schema=2,
        publish_id=publish_id or str(uuid.uuid4()),
        host=host,
        listeners=[pb.Listener(port=each, protocol="HTTP") for each in ports],
        auth=pb.Auth(mode=mode),
        routes=routes or [route()],
        upstreams=[pb.Upstream(id="main", name="main", backends=backends, **policies)],
    )
    return of_bundle(bundle, deployment)


def of_bundle(bundle: pb.Bundle, deployment: str = "") -> Publish:
    revision = hashlib.sha256(bundle.SerializeToString(deterministic=True)).hexdigest()
    return Publish(bundle.publish_id, revision, bundle, deployment)


def changed(publish: Publish, **changes: Any) -> Publish:
    """The next revision of a publish."""
    bundle = pb.Bundle()
    bundle.CopyFrom(publish.bundle)
    for name, value in changes.items():
        bundle.ClearField(name)
        bundle.MergeFrom(pb.Bundle(**{name: value}))
    return of_bundle(bundle, publish.deployment)


def snapshot(*publishes: Publish, **changes: Any) -> Snapshot:
    plain = Snapshot(
        generation=1,
        publishes={each.id: each for each in publishes},
        denied_networks=DENIED,
        allowed_networks=(),
    )
    return replace(plain, **changes)


@dataclass
class Keys:
    """Grows an Access."""

    version: int = 0
    grants: dict[str, Grant] = field(default_factory=dict)
    plans: dict[str, PlanLimit] = field(default_factory=dict)

    def plan(self, publish: Publish, rate_per_minute: int = 0) -> str:
        plan_id = str(uuid.uuid4())
        self.plans[plan_id] = PlanLimit(plan_id, publish.id, rate_per_minute)
        return plan_id

    def grant(
        self,
        publish: Publish,
        *,
        key: str = "",
        plan: str = "",
        subscription: str = "",
        suspended: bool = False,
    ) -> str:
        key = key or f"imp_{uuid.uuid4().hex}"
        digest = hashlib.sha256(key.encode()).hexdigest()
        self.grants[digest] = Grant(
            digest,
            publish.id,
            plan or self.plan(publish),
            subscription or str(uuid.uuid4()),
            suspended,
        )
        return key

    def revoke(self, key: str) -> None:
        del self.grants[hashlib.sha256(key.encode()).hexdigest()]

    def access(self) -> Access:
        self.version += 1
        return Access(self.version, dict(self.grants), dict(self.plans))
