"""What Envoy is told at start: where its agent and its admin socket are, and nothing else."""

from __future__ import annotations

from typing import Any

_ADS = "ads"
# A regex of 100 steps, Envoy's default, is a path of 90 characters. Ours are bounded by the bundle's rules.
_RUNTIME = {"re2.max_program_size.error_level": 10_000, "re2.max_program_size.warn_level": 10_000}


def bootstrap(node_id: str, ads_socket: str, admin_socket: str) -> dict[str, Any]:
    """Both sockets are files in a private folder: no backend address can reach them."""
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": node_id, "cluster": "imp-gateway"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": _ADS, **_reconnect()}}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [_ads_cluster(ads_socket)]},
        "layered_runtime": {"layers": [{"name": "ours", "static_layer": _RUNTIME}]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.resource_monitors."
                        "downstream_connections.v3.DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 50_000,
                    },
                }
            ]
        },
    }


def _reconnect() -> dict[str, Any]:
    """An agent that is back is found within a second (Envoy's default backs off to 30 s)."""
    return {"retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}}


def _ads_cluster(path: str) -> dict[str, Any]:
    http = {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    address = {"pipe": {"path": path}}
    return {
        "name": _ADS,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http
        },
        "load_assignment": {
            "cluster_name": _ADS,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
