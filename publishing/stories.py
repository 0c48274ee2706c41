"""What the pages tell about publishes, in a number of queries that does not grow with the rows."""

from __future__ import annotations

from typing import Any


def services_of(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """A bundle's upstreams by name, each with its routes: what a provider calls API services."""
    routes: dict[str, list[dict[str, Any]]] = {}
    for route in bundle.get("routes", []):
        routes.setdefault(route["upstream_id"], []).append(route)
    found = [
        upstream | {"routes": sorted(routes.get(upstream["id"], []), key=lambda r: r["path"])}
        for upstream in bundle.get("upstreams", [])
    ]
    return sorted(found, key=lambda upstream: upstream.get("name", ""))
