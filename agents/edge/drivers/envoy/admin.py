"""Envoy's own account of what it serves, from its admin socket."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

import httpx

from agents.edge.drivers.envoy.kinds import DriverError
from agents.edge.drivers.envoy.resources import REVISIONS

_CLUSTER = re.compile(r"up/(?P<publish>[^/]+)/(?P<revision>[^/]+)/[^/]+")
_SECONDS = 5.0


class Admin:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def version(self) -> str:
        """Envoy's own, like "1.40.0"."""
        return str((await self._read("/server_info"))["version"]).split("/")[1]

    async def revisions(self) -> dict[str, dict[int, str]]:
        """Publish id -> port -> revision, as the route tables in use say."""
        # The mask leaves the routes out: what is wanted fits in a line for each publish.
        dump = await self._read(
            "/config_dump?resource=dynamic_route_configs"
            "&mask=route_config.name,route_config.metadata"
        )
        found: dict[str, dict[int, str]] = defaultdict(dict)
        for config in dump.get("configs", ()):
            table = config["route_config"]
            port = int(table["name"].partition("/")[2])
            noted = table.get("metadata", {}).get("filter_metadata", {}).get(REVISIONS, {})
            for publish_id, revision in noted.items():
                found[publish_id][port] = revision
        return found

    async def ill_backends(self) -> dict[tuple[str, str], list[str]]:
        """(publish id, first 8 of the revision) -> what is wrong with its backends."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for cluster in (await self._read("/clusters?format=json")).get("cluster_statuses", ()):
            name = _CLUSTER.fullmatch(cluster["name"])
            if not name:
                continue
            hosts = cluster.get("host_statuses", [])
            failing = [
                host for host in hosts if host["health_status"].get("failed_active_health_check")
            ]
            if not hosts:
                found[name["publish"], name["revision"]].append("a backend has no address")
            elif failing:
                address = failing[0]["address"]["socket_address"]
                where = f"{address['address']}:{address['port_value']}"
                found[name["publish"], name["revision"]].append(f"{where} fails its health check")
        return found

    async def _read(self, path: str) -> dict[str, Any]:
        try:
            answer = await self._client.get(f"http://envoy{path}", timeout=_SECONDS)
            answer.raise_for_status()
            return answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise DriverError(f"Envoy's admin does not answer: {error!r}") from error
