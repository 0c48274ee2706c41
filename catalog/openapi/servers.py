"""Where the document says that its API is served."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from catalog import addresses
from core.errors import InvalidInput

MAX_SERVERS = 20
VARIABLE = re.compile(r"\{([^{}]{1,100})\}")
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@dataclass(frozen=True, slots=True)
class Server:
    base_path: str
    backend: dict[str, Any] | None  # {host, port, tls}


def urls(document: Mapping[str, Any], source_url: str) -> Iterator[str]:
    """In the document's order, variables filled in with their defaults, absolute if that can be known."""
    found = _of_swagger(document) if "swagger" in document else _of_openapi(document)
    for url in list(found)[:MAX_SERVERS]:
        try:
            yield urljoin(source_url, url)
        except ValueError:
            yield url


def usable(url: str) -> Server | None:
    """None where it names nothing to call. A path alone is a base path without a backend."""
    try:
        parts = urlsplit(url)
        base_path = addresses.path(parts.path.rstrip("/") or "/", field="base_path", limit=200)
        if not parts.scheme and not parts.netloc:
            return Server(base_path, None)
        backend = {
            "host": addresses.host(parts.hostname or "", field="host"),
            "port": parts.port or PORTS[parts.scheme],
            "tls": parts.scheme in {"https", "wss"},
        }
        return Server(base_path, backend)
    except (ValueError, KeyError, InvalidInput):
        return None


def _of_openapi(document: Mapping[str, Any]) -> Iterator[str]:
    servers = document.get("servers")
    for server in servers if isinstance(servers, list) else []:
        url = server.get("url") if isinstance(server, Mapping) else None
        if isinstance(url, str) and url:
            yield _filled(url, server.get("variables"))


def _filled(url: str, variables: Any) -> str:
    known = variables if isinstance(variables, Mapping) else {}

    def default(found: re.Match[str]) -> str:
        variable = known.get(found[1])
        value = variable.get("default") if isinstance(variable, Mapping) else None
        return found[0] if value is None else str(value)

    return VARIABLE.sub(default, url)


def _of_swagger(document: Mapping[str, Any]) -> Iterator[str]:
    """host may be left out: then it is where the document came from, and so is the scheme."""
    host, base = document.get("host"), document.get("basePath")
    base = base if isinstance(base, str) else ""
    schemes = document.get("schemes")
    schemes = schemes if isinstance(schemes, list) else []
    named = [scheme for scheme in schemes if isinstance(scheme, str) and scheme in PORTS]
    if isinstance(host, str) and host:
        scheme = "https" if "https" in named or not named else named[0]
        yield f"{scheme}://{host}{base}"
    elif base:
        yield base
