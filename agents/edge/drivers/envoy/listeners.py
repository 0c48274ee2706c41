"""One listener per port. What is published changes at most its filter chains, which drains no other's."""

from __future__ import annotations

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2, substitution_format_string_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from agents.edge.drivers.envoy.filters import ads_source, chain
from agents.edge.drivers.envoy.kinds import pack
from agents.edge.drivers.envoy.tls import Hosts, secure

_HCM = hcm_pb2.HttpConnectionManager
_HTTP = protocol_pb2.HttpProtocolOptions
# What Envoy answers by itself. An answer of a backend stays as it is.
_CODES = {
    400: "bad_request",
    413: "request_too_large",
    429: "rate_limited",
    503: "backend_unavailable",
    504: "backend_timeout",
}


def listener(
    port: int, address: str, trusted_hops: int = 0, hosts: Hosts | None = None
) -> listener_pb2.Listener:
    """`hosts`, even if there is none, make it speak HTTPS only."""
    made = listener_pb2.Listener(
        name=f"listener/{port}",
        address=address_pb2.Address(
            socket_address=address_pb2.SocketAddress(address=address, port_value=port)
        ),
        # SO_REUSEPORT would share the port silently with another Envoy of the same user, which
        # would then answer our probes.
        enable_reuse_port=BoolValue(value=False),
        per_connection_buffer_limit_bytes=UInt32Value(value=64 * 1024),
    )
    # Without SO_REUSEPORT the kernel gives one worker most connections.
    made.connection_balance_config.exact_balance.SetInParent()
    http = listener_components_pb2.Filter(
        name="http", typed_config=pack(_manager(port, trusted_hops))
    )
    if hosts is None:
        made.filter_chains.add().filters.append(http)
    else:
        secure(made, hosts, http)
    return made


def _manager(port: int, trusted_hops: int) -> hcm_pb2.HttpConnectionManager:
    """HTTP with every normalisation on: Envoy's defaults let a path reach a route by another name.

    The usage access log goes into `access_log`, as a file: it needs nobody running.
    """
    manager = _HCM(
        stat_prefix=f"port_{port}",
        rds=hcm_pb2.Rds(config_source=ads_source(), route_config_name=f"port/{port}"),
        http_filters=chain(),
        normalize_path=BoolValue(value=True),
        merge_slashes=True,
        path_with_escaped_slashes_action=_HCM.REJECT_REQUEST,
        strip_any_host_port=True,
        strip_trailing_host_dot=True,
        # Who calls is who connected, or whom the operator's own proxies before us saw connect.
        use_remote_address=BoolValue(value=True),
        xff_num_trusted_hops=trusted_hops,
        server_name="imp-gateway",
        request_headers_timeout=Duration(seconds=15),
        stream_idle_timeout=Duration(seconds=300),
        local_reply_config=_local_replies(),
    )
    # Nobody is internal: private addresses are the normal callers in a cluster, and an internal
    # caller may steer retries and timeouts with x-envoy-* headers.
    nobody = manager.internal_address_config.cidr_ranges.add(address_prefix="255.255.255.255")
    nobody.prefix_len.value = 32
    common = manager.common_http_protocol_options
    common.idle_timeout.FromSeconds(600)
    # "x_consumer" becomes the same variable as "x-consumer" in CGI-like upstreams.
    common.headers_with_underscores_action = _HTTP.DROP_HEADER
    return manager


def _local_replies() -> hcm_pb2.LocalReplyConfig:
    """What filters say by themselves, in the form of the gateway's other errors."""
    return hcm_pb2.LocalReplyConfig(
        mappers=[
            _reworded(_DENIED_BY_RBAC, "address_not_allowed"),
            *(_reworded(_status_is(status), code) for status, code in _CODES.items()),
        ]
    )


def _reworded(when: accesslog_pb2.AccessLogFilter, code: str) -> hcm_pb2.ResponseMapper:
    body = substitution_format_string_pb2.SubstitutionFormatString()
    body.json_format.update({"error": {"code": code}})
    return hcm_pb2.ResponseMapper(filter=when, body_format_override=body)


def _status_is(status: int) -> accesslog_pb2.AccessLogFilter:
    found = accesslog_pb2.AccessLogFilter()
    found.status_code_filter.comparison.value.default_value = status
    found.status_code_filter.comparison.value.runtime_key = f"local_reply_{status}"
    return found


# The identity filter refuses whom it does not know before the RBAC filter behind it can.
_DENIED_BY_RBAC = accesslog_pb2.AccessLogFilter(
    extension_filter=accesslog_pb2.ExtensionFilter(
        name="denied_by_rbac",
        typed_config=pack(
            cel_pb2.ExpressionFilter(
                expression="response.code_details.startsWith('rbac_access_denied')"
            )
        ),
    )
)
