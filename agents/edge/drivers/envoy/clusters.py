"""Backends as Envoy clusters: one for each backend of each revision."""

from __future__ import annotations

import ipaddress
import ssl
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

_SYSTEM_ROOTS = "/etc/ssl/certs/ca-certificates.crt"


def cluster_name(publish: Publish, backend_id: str) -> str:
    """A name of the revision, so that a new revision never changes a cluster in use."""
    return f"up/{publish.id}/{publish.revision[:8]}/{backend_id}"


def clusters_of(publish: Publish, roots: str) -> dict[str, cluster_pb2.Cluster]:
    """Only backends that a route can reach; TLS ones are checked against the file `roots`."""
    used = {route.upstream_id for route in publish.bundle.routes}
    backends = [
        backend
        for upstream in publish.bundle.upstreams
        if upstream.id in used
        for backend in upstream.backends
    ]
    return {
        name: _cluster(name, backend, roots)
        for backend in backends
        for name in (cluster_name(publish, backend.id),)
    }


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` spells, or None for a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _cluster(name: str, backend: bundle_pb2.Backend, roots: str) -> cluster_pb2.Cluster:
    address = literal(backend.host)
    cluster = cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.STATIC if address else cluster_pb2.Cluster.STRICT_DNS,
        connect_timeout=Duration(seconds=5),
        per_connection_buffer_limit_bytes=UInt32Value(value=64 * 1024),
        circuit_breakers=_breakers(),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=name, endpoints=[_endpoint(str(address or backend.host), backend.port)]
        ),
    )
    if not address:
        _resolve(cluster)
    if backend.tls:
        cluster.transport_socket.CopyFrom(_tls(backend.host, address, roots))
    if backend.health_check_path:
        _watch(cluster, backend)
    return cluster


def _endpoint(host: str, port: int) -> endpoint_components_pb2.LocalityLbEndpoints:
    socket = address_pb2.SocketAddress(address=host, port_value=port)
    endpoint = endpoint_components_pb2.Endpoint(
        address=address_pb2.Address(socket_address=socket),
    )
    return endpoint_components_pb2.LocalityLbEndpoints(
        lb_endpoints=[endpoint_components_pb2.LbEndpoint(endpoint=endpoint)]
    )


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


def _watch(cluster: cluster_pb2.Cluster, backend: bundle_pb2.Backend) -> None:
    check = health_check_pb2.HealthCheck(
        timeout=Duration(seconds=2),
        interval=Duration(seconds=10),
        # Idle backends are watched as closely as busy ones (Envoy's default is once a minute).
        no_traffic_interval=Duration(seconds=10),
        unhealthy_threshold=UInt32Value(value=3),
        healthy_threshold=UInt32Value(value=1),
        http_health_check=health_check_pb2.HealthCheck.HttpHealthCheck(
            host=backend.host, path=backend.health_check_path
        ),
    )
    cluster.health_checks.append(check)
    # With one host in a cluster, panic mode would send calls to a host known to be dead.
    cluster.common_lb_config.healthy_panic_threshold.value = 0
