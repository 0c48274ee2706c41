"""The configuration of each kind of policy: what a provider may write, in the one form that is stored."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from catalog.addresses import host
from catalog.models import METHODS, PolicyKind
from catalog.text import choice, given, line, listing, number
from core.errors import InvalidInput

MAX_HEADERS = 50
MAX_ORIGINS = 50
MAX_NETWORKS = 200
MAX_AGE_SECONDS = 86_400
MAX_REQUEST_BYTES = 100 * 1024 * 1024
CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
# Of one connection, or the gateway's to set.
RESERVED = frozenset(
    (
        "connection", "content-length", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "x-plan",
    )
)  # fmt: skip
# What gateways say about the caller: a provider must not be able to forge or erase it.
OURS = ("x-api-key", "x-consumer", "x-credential", "x-imp-", "x-envoy-")
DEFAULT_PORTS = {"http": 80, "https": 443}


def policy(values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    kind = choice(given(values, "kind", at), field=f"{at}kind", known=PolicyKind.values)
    return {"kind": kind, "config": CONFIGS[kind](values.get("config", {}), at=f"{at}config")}


def _checked(config: Any, known: Collection[str], at: str) -> Mapping[str, Any]:
    """An object of known keys only: a misspelled one must not pass for a policy."""
    names = ", ".join(known)
    if not isinstance(config, Mapping):
        raise InvalidInput(_("Enter an object with %(names)s.") % {"names": names}, field=at)
    unknown = sorted(map(str, set(config) - set(known)))
    if unknown:
        raise InvalidInput(
            _("“%(key)s” is unknown; use %(names)s.") % {"key": unknown[0][:80], "names": names},
            field=at,
        )
    return config


# --- Headers ---------------------------------------------------------------------------------------


def headers_config(config: Any, *, at: str = "config") -> dict[str, Any]:
    """`request` and `response` are set, {name: value}, literally; `remove_…` are names to take away."""
    known = ("request", "response", "remove_request", "remove_response")
    config = _checked(config, known, at)
    found: dict[str, Any] = {}
    for side in ("request", "response"):
        if side in config:
            found[side] = _headers(config[side], field=f"{at}.{side}")
        if (remove := f"remove_{side}") in config:
            found[remove] = _removed(config[remove], found.get(side, {}), field=f"{at}.{remove}")
    return found


def _headers(values: Any, *, field: str) -> dict[str, str]:
    if not isinstance(values, Mapping):
        raise InvalidInput(_("Enter an object of header names and values."), field=field)
    if len(values) > MAX_HEADERS:
        raise InvalidInput(_("At most %(limit)d headers.") % {"limit": MAX_HEADERS}, field=field)
    found: dict[str, str] = {}
    for key, value in values.items():
        name = header_name(key, field=field)
        if name in found:
            raise InvalidInput(
                _("“%(name)s” is there twice: upper and lower case are the same.") % {"name": name},
                field=field,
            )
        found[name] = header_value(value, field=f"{field}.{name}")
    return dict(sorted(found.items()))


def _removed(values: Any, also_set: Mapping[str, str], *, field: str) -> list[str]:
    names = listing(values, field=field, limit=MAX_HEADERS)
    found = [header_name(name, field=f"{field}.{place}") for place, name in enumerate(names)]
    for place, name in enumerate(found):
        if name in also_set:
            raise InvalidInput(
                _("“%(name)s” is set, too: setting it replaces what was there.") % {"name": name},
                field=f"{field}.{place}",
            )
    return sorted(set(found))


def header_name(value: str, *, field: str) -> str:
    """A header that providers may set, in lower case."""
    name = _token(value, field=field)
    if name in RESERVED or name.startswith(OURS):
        raise InvalidInput(
            _("“%(name)s” is the gateway's to set. Use another header.") % {"name": name},
            field=field,
        )
    return name


def _token(value: Any, *, field: str) -> str:
    """A header's name by RFC 7230, in lower case."""
    name = value.strip().lower() if isinstance(value, str) else ""
    if len(name) > 100 or not HEADER_NAME.fullmatch(name):
        raise InvalidInput(
            _("“%(name)s” is not a header name. Use letters, digits and hyphens.")
            % {"name": str(value)[:80]},
            field=field,
        )
    return name


def header_value(value: Any, *, field: str) -> str:
    """Free text, kept literally: what means something to a gateway is the driver's to escape."""
    if not isinstance(value, str):
        raise InvalidInput(_("A header's value is text."), field=field)
    if CONTROL_BUT_TAB.search(value):
        raise InvalidInput(_("Line breaks and control characters are not allowed."), field=field)
    if len(value) > 2000:
        raise InvalidInput(_("At most %(limit)d characters.") % {"limit": 2000}, field=field)
    return value.strip()


# --- CORS ------------------------------------------------------------------------------------------


def cors_config(config: Any, *, at: str = "config") -> dict[str, Any]:
    """Which web pages may call. Without `allow_methods`, the methods that the routes have."""
    known = (
        "allow_origins", "allow_methods", "allow_headers", "expose_headers", "max_age",
        "allow_credentials",
    )  # fmt: skip
    config = _checked(config, known, at)
    credentials = config.get("allow_credentials", False)
    if not isinstance(credentials, bool):
        raise InvalidInput(_("Enter true or false."), field=f"{at}.allow_credentials")
    age = config.get("max_age", 600)
    return {
        "allow_origins": _origins(config.get("allow_origins", []), credentials, at),
        "allow_methods": _cors_methods(config.get("allow_methods", []), at),
        "allow_headers": _cors_headers(config, "allow_headers", credentials, at),
        "expose_headers": _cors_headers(config, "expose_headers", credentials, at),
        "max_age": number(age, field=f"{at}.max_age", low=0, high=MAX_AGE_SECONDS),
        "allow_credentials": credentials,
    }


def _origins(values: Any, credentials: bool, at: str) -> list[str]:
    field = f"{at}.allow_origins"
    items = listing(values, field=field, limit=MAX_ORIGINS)
    if not items:
        raise InvalidInput(_("Name at least one origin, such as https://example.com."), field=field)
    found = [origin(item, field=f"{field}.{place}") for place, item in enumerate(items)]
    if "*" in found and credentials:
        raise InvalidInput(
            _(
                "“*” with credentials would let any web page act for its visitors. Name the origins."
            ),
            field=f"{field}.{found.index('*')}",
        )
    if "*" in found and len(set(found)) > 1:
        raise InvalidInput(
            _("“*” allows every origin: leave out the others, or the “*”."),
            field=f"{field}.{found.index('*')}",
        )
    return sorted(set(found))


def origin(value: Any, *, field: str) -> str:
    """As browsers send it: scheme, host and a port that is not the scheme's own; or https://*.domain."""
    value = line(value, field=field, limit=300).lower()
    if value == "*":
        return value
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    name = parts.hostname or ""
    rest = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in DEFAULT_PORTS or not name or rest or value[-1] in "/?#":
        raise InvalidInput(
            _("Enter an origin: https:// or http:// and a host, with nothing after it."),
            field=field,
        )
    name = _wildcard(name, parts.scheme, field) if "*" in name else host(name, field=field)
    name = f"[{name}]" if ":" in name else name
    suffix = "" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{name}{suffix}"


def _wildcard(name: str, scheme: str, field: str) -> str:
    domain = name.removeprefix("*.")
    if "*" in domain or scheme != "https" or "." not in domain:
        raise InvalidInput(_("“*” stands for subdomains only: https://*.example.com."), field=field)
    return f"*.{host(domain, field=field)}"


def _cors_methods(values: Any, at: str) -> list[str]:
    field = f"{at}.allow_methods"
    names = listing(values, field=field, limit=50)
    return sorted(
        {
            choice(
                name.strip().upper() if isinstance(name, str) else "",
                field=f"{field}.{place}",
                known=METHODS,
            )
            for place, name in enumerate(names)
        }
    )


def _cors_headers(config: Mapping[str, Any], key: str, credentials: bool, at: str) -> list[str]:
    field = f"{at}.{key}"
    names = listing(config.get(key, []), field=field, limit=MAX_HEADERS)
    found = [_token(name, field=f"{field}.{place}") for place, name in enumerate(names)]
    if "*" in found and credentials:
        raise InvalidInput(
            _("With credentials, browsers read “*” as a name. Name the headers."),
            field=f"{field}.{found.index('*')}",
        )
    return sorted(set(found))


# --- Addresses and sizes ---------------------------------------------------------------------------


def ip_config(config: Any, *, at: str = "config") -> dict[str, Any]:
    """Who may call, by address. An empty `allow` is everybody; `deny` wins."""
    config = _checked(config, ("allow", "deny"), at)
    allow = _networks(config.get("allow", []), field=f"{at}.allow")
    deny = _networks(config.get("deny", []), field=f"{at}.deny")
    if not allow and not deny:
        raise InvalidInput(_("Name at least one network to allow or to deny."), field=at)
    for place, network in enumerate(deny):
        if network in allow:
            raise InvalidInput(
                _("%(network)s is allowed, too, and denying wins. Take it out of one list.")
                % {"network": network},
                field=f"{at}.deny.{place}",
            )
    return {"allow": allow, "deny": deny}


def _networks(values: Any, *, field: str) -> list[str]:
    items = listing(values, field=field, limit=MAX_NETWORKS)
    found = [network(item, field=f"{field}.{place}") for place, item in enumerate(items)]
    return list(dict.fromkeys(found))


def network(value: Any, *, field: str) -> str:
    """An address or a network in CIDR form, in its one spelling."""
    value = line(value, field=field, limit=60)
    try:
        found = ipaddress.ip_interface(value)
    except ValueError:
        raise InvalidInput(
            _("“%(value)s” is not an address or network. Write 203.0.113.7 or 2001:db8::/32.")
            % {"value": value},
            field=field,
        ) from None
    if isinstance(found.ip, ipaddress.IPv6Address) and found.ip.ipv4_mapped:
        raise InvalidInput(
            _("Callers of %(value)s come as IPv4: write the IPv4 network.") % {"value": value},
            field=field,
        )
    if found.ip != found.network.network_address:
        raise InvalidInput(
            _("%(value)s has bits beyond its mask. Write %(network)s.")
            % {"value": value, "network": found.network},
            field=field,
        )
    return str(found.network)


def request_size_config(config: Any, *, at: str = "config") -> dict[str, Any]:
    """The longest body that a call may bring, in bytes."""
    config = _checked(config, ("max_bytes",), at)
    size = given(config, "max_bytes", f"{at}.")
    return {
        "max_bytes": number(size, field=f"{at}.max_bytes", low=1, high=MAX_REQUEST_BYTES),
    }


CONFIGS: dict[str, Callable[..., dict[str, Any]]] = {
    PolicyKind.HEADERS: headers_config,
    PolicyKind.CORS: cors_config,
    PolicyKind.IP: ip_config,
    PolicyKind.REQUEST_SIZE: request_size_config,
}
