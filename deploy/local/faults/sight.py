"""What an agent's disk and its Envoy say by themselves, past all of the product's code."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx

PUBLISH_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Route(NamedTuple):
    """One method of one path, as a claim has it."""

    port: int
    host: str
    match: str
    path: str
    method: str


class Served(NamedTuple):
    revisions: dict[str, str]  # by publish id
    routes: dict[Route, str]  # to the publish that answers


def served_by(socket_path: str) -> Served:
    """Envoy's own config dump."""
    # verify: or each client would read all of the system's certificates.
    transport = httpx.HTTPTransport(uds=socket_path, verify=False)
    with httpx.Client(transport=transport, trust_env=False) as client:
        dump = client.get(
            "http://envoy/config_dump", params={"resource": "dynamic_route_configs"}
        ).json()
    found = Served({}, {})
    for config in dump.get("configs", ()):
        table = config["route_config"]
        port = int(table["name"].partition("/")[2])
        for noted in table.get("metadata", {}).get("filter_metadata", {}).values():
            found.revisions.update(noted)
        for host in table.get("virtual_hosts", ()):
            found.routes.update(_routes(port, host))
    return found


def _routes(port: int, host: dict[str, Any]) -> Iterator[tuple[Route, str]]:
    """What goes to a backend: probes, 404s and 405s are answered by the gateway itself."""
    for route in host.get("routes", ()):
        if "route" not in route:
            continue
        owner = PUBLISH_ID.match(route.get("name", ""))
        match, path = _path(route["match"])
        for method in _methods(route["match"]):
            for domain in host["domains"]:
                yield Route(port, domain, match, path, method), owner[0] if owner else "nobody"


def _path(match: dict[str, Any]) -> tuple[str, str]:
    if "path" in match:
        return "exact", match["path"]
    return "prefix", match.get("path_separated_prefix") or match.get("prefix", "?")


def _methods(match: dict[str, Any]) -> list[str]:
    for header in match.get("headers", ()):
        if header["name"] == ":method":
            chosen = header["string_match"]
            return (
                [chosen["exact"]] if "exact" in chosen else chosen["safe_regex"]["regex"].split("|")
            )
    return ["any"]


def on_disk(state: Path, query: str) -> list[Any]:
    database = sqlite3.connect(f"file:{state / 'agent.db'}?mode=ro", uri=True, timeout=2)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def generation_on_disk(state: Path) -> int:
    """Of the last snapshot that the agent recorded; 0 before the first."""
    try:
        rows = on_disk(state, "SELECT value FROM facts WHERE name = 'settings'")
    except sqlite3.Error:
        return 0
    return int(json.loads(rows[0][0])["generation"]) if rows else 0
