"""HTTPS: a filter chain for each host, and the secrets that they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from envoy.config.listener.v3 import listener_components_pb2 as lc
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.direct_response.v3 import config_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from google.protobuf import any_pb2

from agents.edge.drivers.envoy.filters import ads_source
from agents.edge.drivers.envoy.kinds import ContentError, pack
from agents.edge.model import Publish, TlsSecret

Hosts = dict[str, str]  # host -> the secret that it is served with


def secure(made: listener_pb2.Listener, hosts: Hosts, http: lc.Filter) -> None:
    """Choose by the name in the handshake. Only the chains change when hosts come and go, so that
    connections to the others stay."""
    inspector = lc.ListenerFilter(name="tls", typed_config=pack(tls_inspector_pb2.TlsInspector()))
    made.listener_filters.append(inspector)
    for host in sorted(hosts):
        made.filter_chains.append(_chain(host, hosts[host], http))
    # Another name, or none: closed at once. It also lets a listener without hosts be.
    nobody = lc.Filter(name="close", typed_config=pack(config_pb2.Config()))
    made.default_filter_chain.CopyFrom(lc.FilterChain(name="nobody", filters=[nobody]))


def _chain(host: str, secret_id: str, http: lc.Filter) -> lc.FilterChain:
    named = secret_pb2.SdsSecretConfig(name=secret_name(secret_id), sds_config=ads_source())
    context = tls_pb2.DownstreamTlsContext(
        common_tls_context=tls_pb2.CommonTlsContext(
            tls_params=common_pb2.TlsParameters(
                tls_minimum_protocol_version=common_pb2.TlsParameters.TLSv1_2
            ),
            alpn_protocols=["h2", "http/1.1"],
            tls_certificate_sds_secret_configs=[named],
        )
    )
    chain = lc.FilterChain(
        name=f"host/{host}",
        filter_chain_match=lc.FilterChainMatch(server_names=[host], transport_protocol="tls"),
        filters=[http],
    )
    chain.transport_socket.name = "tls"
    chain.transport_socket.typed_config.CopyFrom(pack(context))
    return chain


def secret_name(secret_id: str) -> str:
    return f"tls/{secret_id}"


def secret(known: TlsSecret) -> any_pb2.Any:
    made = secret_pb2.Secret(name=secret_name(known.id))
    made.tls_certificate.certificate_chain.inline_string = known.chain
    made.tls_certificate.private_key.inline_string = known.key
    return pack(made)


def leaf(known: TlsSecret) -> bytes:
    """What a client is shown first, in DER."""
    try:
        first, *_ = x509.load_pem_x509_certificates(known.chain.encode())
    except ValueError as error:
        raise ContentError(f"certificate {known.id} is unreadable: {error}") from error
    return first.public_bytes(Encoding.DER)


def secrets_of(publishes: Iterable[Publish]) -> set[str]:
    """The ids of what they are served with."""
    return {
        listener.tls.secret_id
        for publish in publishes
        for listener in publish.bundle.listeners
        if listener.tls.secret_id
    }


def clashes(good: Mapping[str, Publish], changed: Mapping[str, Publish]) -> dict[str, str]:
    """A port speaks one protocol, and a host of it has one certificate: who was there first stays."""
    secure: dict[int, bool] = {}
    served: dict[tuple[int, str], str] = {}
    errors = {}
    stay = [publish for publish_id, publish in sorted(good.items()) if publish_id not in changed]
    for publish in [*stay, *(changed[each] for each in sorted(changed))]:
        host = publish.bundle.host.lower()
        rows = {row.port: row.tls.secret_id for row in publish.bundle.listeners}
        for port, secret_id in rows.items():
            if secure.get(port, bool(secret_id)) != bool(secret_id):
                errors[publish.id] = f"port {port} speaks another protocol for other publishes"
            elif served.get((port, host), secret_id) != secret_id:
                errors[publish.id] = f"{host}:{port} is served with another certificate"
        if publish.id not in errors:
            secure |= {port: bool(secret_id) for port, secret_id in rows.items()}
            served |= {(port, host): secret_id for port, secret_id in rows.items()}
    return errors
