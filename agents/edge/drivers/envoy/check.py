"""What a bundle must hold before it is translated: refused here, Envoy never hears of it."""

from __future__ import annotations

import ipaddress
import re

from agents.edge.drivers.envoy.kinds import ContentError
from agents.edge.drivers.envoy.paths import MAX_PARAMETERS, PARAMETER
from agents.edge.model import Publish
from agents.wire import bundle_pb2

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_NOT_A_PATH = re.compile(r"[?#\s\x00-\x1f\x7f]")
_METHOD = re.compile(r"[A-Z]{1,32}")
_BRACE = re.compile(r"[{}]")
_ORIGIN = re.compile(r"\*|https://\*\.[a-z0-9.-]+(:\d+)?|https?://[a-z0-9.:\[\]-]+")
_MODES = ("none", "api-key")
_PROTOCOLS = ("HTTP", "HTTPS")
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
    _require(bundle.schema in (1, 2), f"bundle schema {bundle.schema} is not supported")
    _require(UUID.fullmatch(publish.id), f"publish id {publish.id!r} is not a UUID")
    _require(bundle.publish_id == publish.id, "the bundle belongs to another publish")
    _require(DIGEST.fullmatch(publish.revision), "the revision is not a SHA-256")
    _require(_HOST.fullmatch(bundle.host.lower()), f"host {bundle.host!r} is not a host name")
    _require(bundle.auth.mode in _MODES, f"auth mode {bundle.auth.mode!r} is not supported")
    _require(bundle.listeners, "the bundle has no listener")
    _require(bundle.routes, "the bundle has no route")
    for listener in bundle.listeners:
        _require(0 < listener.port < 65536, f"port {listener.port} is out of range")
        _check_listener(listener)
    upstreams = {upstream.id: upstream for upstream in bundle.upstreams}
    for route in bundle.routes:
        _check_route(route, upstreams)
    for upstream in bundle.upstreams:
        _check_upstream(upstream)


def _check_listener(listener: bundle_pb2.Listener) -> None:
    _require(listener.protocol in _PROTOCOLS, f"protocol {listener.protocol!r} is not supported")
    if listener.protocol == "HTTPS":
        known = UUID.fullmatch(listener.tls.secret_id)
        _require(known, f"port {listener.port} speaks HTTPS and has no certificate")
    else:
        # In plain text we would serve what asked not to be.
        _require(
            not listener.HasField("tls"), f"port {listener.port} has TLS and does not speak it"
        )


def _check_route(route: bundle_pb2.Route, upstreams: dict[str, bundle_pb2.Upstream]) -> None:
    name = f"route {route.id!r}"
    _require(route.match in _MATCHES, f"{name}: match {route.match!r} is not supported")
    _require(route.path.startswith("/"), f"{name}: path {route.path!r} does not begin with /")
    _require(not _NOT_A_PATH.search(route.path), f"{name}: path {route.path!r} is not a path")
    _check_parameters(name, route)
    _require(
        not route.rewrite or route.rewrite.startswith("/"),
        f"{name}: rewrite {route.rewrite!r} does not begin with /",
    )
    _require(route.methods, f"{name} has no method")
    for method in route.methods:
        _require(_METHOD.fullmatch(method), f"{name}: {method!r} is not a method")
    upstream = upstreams.get(route.upstream_id)
    _require(upstream is not None and upstream.backends, f"{name} has no backend to go to")
    changed = [header.name for header in (*route.set_request_headers, *route.set_response_headers)]
    for header in (*changed, *route.remove_request_headers, *route.remove_response_headers):
        reserved = _RESERVED.fullmatch(header)
        _require(not reserved, f"{name}: header {header!r} is set by the gateway alone")


def _check_parameters(name: str, route: bundle_pb2.Route) -> None:
    """A whole segment each, each name once; a rewrite uses no other."""
    for path in (route.path, route.rewrite):
        odd = [each for each in path.split("/") if _BRACE.search(each) and not _is_one(each)]
        _require(not odd, f"{name}: {path!r} has a parameter that is no whole segment")
    names, used = PARAMETER.findall(route.path), PARAMETER.findall(route.rewrite)
    _require(len(set(names)) == len(names), f"{name}: {route.path!r} has a parameter twice")
    _require(len(names) <= MAX_PARAMETERS, f"{name}: {route.path!r} has too many parameters")
    _require(set(used) <= set(names), f"{name}: rewrite {route.rewrite!r} has an unknown parameter")


def _is_one(segment: str) -> bool:
    return PARAMETER.fullmatch(segment) is not None


def _check_upstream(upstream: bundle_pb2.Upstream) -> None:
    name = f"upstream {upstream.id!r}"
    for backend in upstream.backends:
        _check_backend(backend)
    for origin in upstream.cors.allow_origins:
        _require(_ORIGIN.fullmatch(origin), f"{name}: {origin!r} is not an origin")
    anyone = upstream.cors.allow_credentials and "*" in upstream.cors.allow_origins
    _require(not anyone, f"{name}: credentials are not for every origin")
    _require(
        upstream.HasField("cors") == bool(upstream.cors.allow_origins), f"{name}: CORS for nobody"
    )
    for network in (*upstream.callers.allow, *upstream.callers.deny):
        _require(_is_network(network), f"{name}: {network!r} is not a network")
    _require(
        upstream.HasField("callers") == bool(upstream.callers.allow or upstream.callers.deny),
        f"{name}: callers of no network",
    )


def _is_network(network: str) -> bool:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        return False
    return "/" in network


def _check_backend(backend: bundle_pb2.Backend) -> None:
    _require(_ID.fullmatch(backend.id), f"backend id {backend.id!r} is not an id")
    _require(0 < backend.port < 65536, f"backend port {backend.port} is out of range")


def _require(holds: object, message: str) -> None:
    if not holds:
        raise ContentError(message)
