"""What a bundle must hold before it is translated: refused here, Envoy never hears of it."""

from __future__ import annotations

import re

from agents.edge.drivers.envoy.kinds import ContentError
from agents.edge.model import Publish
from agents.wire import bundle_pb2

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NOT_A_PATH = re.compile(r"[?#\s\x00-\x1f\x7f]")
_METHOD = re.compile(r"[A-Z]{1,32}")
_MODES = ("none", "api-key")
_MATCHES = ("prefix", "exact")

# Ours to set, or the framing of the message itself. What else is wrong with a header Envoy says.
_RESERVED = re.compile(
    r"x-api-key|x-plan|x-(consumer|credential)(-.*)?|x-imp-.*"
    r"|connection|content-length|transfer-encoding",
    re.IGNORECASE,
)


def check(publish: Publish) -> None:
    """Raise ContentError with the first thing that this driver cannot serve safely."""
    bundle = publish.bundle
    _require(bundle.schema == 1, f"bundle schema {bundle.schema} is not supported")
    _require(UUID.fullmatch(publish.id), f"publish id {publish.id!r} is not a UUID")
    _require(bundle.publish_id == publish.id, "the bundle belongs to another publish")
    _require(DIGEST.fullmatch(publish.revision), "the revision is not a SHA-256")
    _require(_HOST.fullmatch(bundle.host.lower()), f"host {bundle.host!r} is not a host name")
    _require(bundle.auth.mode in _MODES, f"auth mode {bundle.auth.mode!r} is not supported")
    _require(bundle.listeners, "the bundle has no listener")
    _require(bundle.routes, "the bundle has no route")
    for listener in bundle.listeners:
        _require(0 < listener.port < 65536, f"port {listener.port} is out of range")
        _require(listener.protocol == "HTTP", f"protocol {listener.protocol!r} is not supported")
    upstreams = {upstream.id: upstream for upstream in bundle.upstreams}
    for route in bundle.routes:
        _check_route(route, upstreams)
    for upstream in bundle.upstreams:
        for backend in upstream.backends:
            _check_backend(backend)


def _check_route(route: bundle_pb2.Route, upstreams: dict[str, bundle_pb2.Upstream]) -> None:
    name = f"route {route.id!r}"
    _require(route.match in _MATCHES, f"{name}: match {route.match!r} is not supported")
    _require(route.path.startswith("/"), f"{name}: path {route.path!r} does not begin with /")
    _require(not _NOT_A_PATH.search(route.path), f"{name}: path {route.path!r} is not a path")
    _require(
        not route.rewrite or route.rewrite.startswith("/"),
        f"{name}: rewrite {route.rewrite!r} does not begin with /",
    )
    _require(route.methods, f"{name} has no method")
    for method in route.methods:
        _require(_METHOD.fullmatch(method), f"{name}: {method!r} is not a method")
    upstream = upstreams.get(route.upstream_id)
    _require(upstream is not None and upstream.backends, f"{name} has no backend to go to")
    for header in (*route.set_request_headers, *route.set_response_headers):
        reserved = _RESERVED.fullmatch(header.name)
        _require(not reserved, f"{name}: header {header.name!r} is set by the gateway alone")


def _check_backend(backend: bundle_pb2.Backend) -> None:
    _require(_ID.fullmatch(backend.id), f"backend id {backend.id!r} is not an id")
    _require(0 < backend.port < 65536, f"backend port {backend.port} is out of range")


def _require(holds: object, message: str) -> None:
    if not holds:
        raise ContentError(message)
