"""Backends as Envoy clusters: one pool for each service of each revision.

In one pool a backend that fails its health check gives its share to the others, and a retry goes elsewhere.
An Envoy cluster has one health check path, so backends that name different ones are in pools of their own.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, extension_pb2, health_check_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.network.dns_resolver.cares.v3 import cares_dns_resolver_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from agents.edge.drivers.envoy.kinds import pack
from agents.edge.model import Publish
from agents.wire import bundle_pb2

_TLS_MATCH = "envoy.transport_socket_match"
_TLS_TO = "tls_to"
_SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, slots=True)
class Pool:
    name: str
    backends: tuple[bundle_pb2.Backend, ...]

    @property
    def weight(self) -> int:
        return sum(max(each.weight, 1) for each in self.backends)


def pools_of(publish: Publish, upstream: bundle_pb2.Upstream) -> list[Pool]:
    """Named after the revision, so that a new one never changes a cluster in use."""
    backends = sorted(upstream.backends, key=lambda each: each.id)
    paths = sorted({each.health_check_path for each in backends} - {""})
    by_path: dict[str, list[bundle_pb2.Backend]] = {}
    for each in backends:
        # Those that nobody checks go along with the first who are.
        path = each.health_check_path or (paths[0] if paths else "")
        by_path.setdefault(path, []).append(each)
    stem = f"up/{publish.id}/{publish.revision[:8]}"
    return [Pool(f"{stem}/{part[0].id}", tuple(part)) for _path, part in sorted(by_path.items())]


def clusters_of(publish: Publish, roots: str) -> dict[str, cluster_pb2.Cluster]:
    """Only backends that a route can reach; TLS ones are checked against the file `roots`."""
    used = {route.upstream_id for route in publish.bundle.routes}
    return {
        pool.name: _cluster(pool, publish.bundle.host, roots)
        for upstream in publish.bundle.upstreams
        if upstream.id in used
        for pool in pools_of(publish, upstream)
    }


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` spells, or None for a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _cluster(pool: Pool, host: str, roots: str) -> cluster_pb2.Cluster:
    named = any(literal(each.host) is None for each in pool.backends)
    cluster = cluster_pb2.Cluster(
        name=pool.name,
        type=cluster_pb2.Cluster.STRICT_DNS if named else cluster_pb2.Cluster.STATIC,
        connect_timeout=Duration(seconds=5),
        per_connection_buffer_limit_bytes=UInt32Value(value=64 * 1024),
        circuit_breakers=_breakers(),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=pool.name, endpoints=[_share(each, host) for each in pool.backends]
        ),
    )
    cluster.common_lb_config.locality_weighted_lb_config.SetInParent()
    if named:
        _resolve(cluster)
    for name in sorted({each.host for each in pool.backends if each.tls}):
        match = cluster.transport_socket_matches.add(name=name)
        match.match.update({_TLS_TO: name})
        match.transport_socket.CopyFrom(_tls(name, literal(name), roots))
    path = next((each.health_check_path for each in pool.backends if each.health_check_path), "")
    if path:
        _watch(cluster, path)
    return cluster


def _share(backend: bundle_pb2.Backend, host: str) -> endpoint_components_pb2.LocalityLbEndpoints:
    """A locality of its own: its weight stays, however many addresses its name has."""
    address = literal(backend.host)
    socket = address_pb2.SocketAddress(
        address=str(address or backend.host), port_value=backend.port
    )
    endpoint = endpoint_components_pb2.Endpoint(
        address=address_pb2.Address(socket_address=socket),
        # What the call's host becomes: a name is reached by itself, an address by what was asked for.
        hostname=host if address else backend.host,
    )
    endpoint.health_check_config.hostname = _authority(backend.host)
    endpoint.health_check_config.disable_active_health_check = not backend.health_check_path
    lb_endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint)
    if backend.tls:
        lb_endpoint.metadata.filter_metadata[_TLS_MATCH].update({_TLS_TO: backend.host})
    return endpoint_components_pb2.LocalityLbEndpoints(
        locality=base_pb2.Locality(sub_zone=backend.id),
        load_balancing_weight=UInt32Value(value=max(backend.weight, 1)),
        lb_endpoints=[lb_endpoint],
    )


def _authority(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _breakers() -> circuit_breaker_pb2.CircuitBreakers:
    """Envoy's defaults (1,024 at once, 3 retries) are for a sidecar."""
    threshold = circuit_breaker_pb2.CircuitBreakers.Thresholds(
        max_connections=UInt32Value(value=8_192),
        max_pending_requests=UInt32Value(value=8_192),
        max_requests=UInt32Value(value=32_768),
        retry_budget=circuit_breaker_pb2.CircuitBreakers.Thresholds.RetryBudget(
            budget_percent=percent_pb2.Percent(value=20),
            min_retry_concurrency=UInt32Value(value=10),
        ),
    )
    return circuit_breaker_pb2.CircuitBreakers(thresholds=[threshold])


def _resolve(cluster: cluster_pb2.Cluster) -> None:
    """Bound the first look-up: Envoy acknowledges a cluster only once it was tried."""
    cluster.dns_lookup_family = cluster_pb2.Cluster.V4_PREFERRED
    cluster.respect_dns_ttl = True
    resolver = cares_dns_resolver_pb2.CaresDnsResolverConfig(
        query_timeout_seconds={"value": 2}, query_tries={"value": 2}
    )
    cluster.typed_dns_resolver_config.CopyFrom(
        extension_pb2.TypedExtensionConfig(
            name="envoy.network.dns_resolver.cares", typed_config=pack(resolver)
        )
    )


def _tls(
    host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, roots: str
) -> base_pb2.TransportSocket:
    """The certificate must be trusted and name the backend's host."""
    san = common_pb2.SubjectAltNameMatcher(
        san_type=common_pb2.SubjectAltNameMatcher.IP_ADDRESS
        if address
        else common_pb2.SubjectAltNameMatcher.DNS,
        matcher=string_pb2.StringMatcher(exact=str(address or host.lower())),
    )
    validation = common_pb2.CertificateValidationContext(
        trusted_ca=base_pb2.DataSource(filename=roots),
        match_typed_subject_alt_names=[san],
    )
    context = tls_pb2.UpstreamTlsContext(
        sni="" if address else host.lower(),
        common_tls_context=tls_pb2.CommonTlsContext(validation_context=validation),
    )
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def system_roots() -> str:
    """The system's roots, or certifi's where the system has none (slim images)."""
    candidates = (_SYSTEM_ROOTS, ssl.get_default_verify_paths().cafile)
    return next((path for path in candidates if path and Path(path).exists()), certifi.where())


def _watch(cluster: cluster_pb2.Cluster, path: str) -> None:
    check = health_check_pb2.HealthCheck(
        timeout=Duration(seconds=2),
        interval=Duration(seconds=10),
        # Idle backends are watched as closely as busy ones (Envoy's default is once a minute).
        no_traffic_interval=Duration(seconds=10),
        unhealthy_threshold=UInt32Value(value=3),
        healthy_threshold=UInt32Value(value=1),
        http_health_check=health_check_pb2.HealthCheck.HttpHealthCheck(path=path),
    )
    cluster.health_checks.append(check)
    # With few hosts in a cluster, panic mode would send calls to hosts known to be dead.
    cluster.common_lb_config.healthy_panic_threshold.value = 0
