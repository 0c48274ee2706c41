"""What a provider may write. Each rule returns the model's values, or says what is wrong with which field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from catalog.addresses import host, optional_path, path
from catalog.models import GATEWAY_CLASSES, METHODS, Match, PolicyKind, Protocol
from catalog.text import choice, given, line, listing, number
from core.errors import InvalidInput

MAX_HEADERS = 50
MAX_CATEGORIES = 10
CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
# Of one connection, or the gateway's to set.
HOP_BY_HOP = frozenset(
    (
        "connection", "content-length", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
# What gateways say about the caller: a provider must not be able to forge or erase it.
OURS = ("x-api-key", "x-consumer", "x-imp-", "x-envoy-")


# --- Routes and backends ---------------------------------------------------------------------------


def methods(values: Iterable[str], *, field: str) -> list[str]:
    """Upper case, sorted, each once, at least one."""
    names = listing(values, field=field, limit=50)
    found = {value.strip().upper() if isinstance(value, str) else "" for value in names}
    unknown = sorted(found - set(METHODS))
    if unknown or not found:
        raise InvalidInput(
            _("Name at least one method, of %(known)s.") % {"known": ", ".join(METHODS)},
            field=field,
        )
    return sorted(found)


def backend(values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    """The model's values. `at` names the place in a larger body: "backends.0."."""
    return {
        "host": host(given(values, "host", at), field=f"{at}host"),
        "port": number(given(values, "port", at), field=f"{at}port", low=1, high=65535),
        "tls": bool(values.get("tls", False)),
        "weight": number(values.get("weight", 1), field=f"{at}weight", low=1, high=1000),
        "health_check_path": optional_path(
            values.get("health_check_path", ""), field=f"{at}health_check_path", limit=200
        ),
    }


def route(values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    timeout = values.get("timeout_ms", 15_000)
    return {
        "match": choice(values.get("match", Match.PREFIX), field=f"{at}match", known=Match.values),
        "path": path(given(values, "path", at), field=f"{at}path"),
        "methods": methods(given(values, "methods", at), field=f"{at}methods"),
        "rewrite": optional_path(values.get("rewrite", ""), field=f"{at}rewrite"),
        "timeout_ms": number(timeout, field=f"{at}timeout_ms", low=1, high=300_000),
        "retries": number(values.get("retries", 0), field=f"{at}retries", low=0, high=5),
    }


# --- Policies --------------------------------------------------------------------------------------


def policy(values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    kind = choice(given(values, "kind", at), field=f"{at}kind", known=PolicyKind.values)
    return {"kind": kind, "config": CONFIGS[kind](values.get("config", {}), at=f"{at}config")}


def headers_config(config: Mapping[str, Any], *, at: str = "config") -> dict[str, Any]:
    """{"request": {name: value}, "response": {name: value}}: set on every call, values literal."""
    if not isinstance(config, Mapping):
        raise InvalidInput(_("Enter an object with “request” and “response”."), field=at)
    unknown = sorted(map(str, set(config) - {"request", "response"}))
    if unknown:
        raise InvalidInput(
            _("“%(key)s” is unknown; use “request” and “response”.") % {"key": unknown[0][:80]},
            field=at,
        )
    return {side: _headers(config[side], field=f"{at}.{side}") for side in sorted(config)}


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


def header_name(value: str, *, field: str) -> str:
    """A token by RFC 7230, in lower case, that providers may set."""
    name = value.strip().lower()
    if len(name) > 100 or not HEADER_NAME.fullmatch(name):
        raise InvalidInput(
            _("“%(name)s” is not a header name. Use letters, digits and hyphens.")
            % {"name": value[:80]},
            field=field,
        )
    if name in HOP_BY_HOP or name.startswith(OURS):
        raise InvalidInput(
            _("“%(name)s” is the gateway's to set. Use another header.") % {"name": name},
            field=field,
        )
    return name


def header_value(value: str, *, field: str) -> str:
    """Free text, kept literally: what means something to a gateway is the driver's to escape."""
    if not isinstance(value, str):
        raise InvalidInput(_("A header's value is text."), field=field)
    if CONTROL_BUT_TAB.search(value):
        raise InvalidInput(_("Line breaks and control characters are not allowed."), field=field)
    if len(value) > 2000:
        raise InvalidInput(_("At most %(limit)d characters.") % {"limit": 2000}, field=field)
    return value.strip()


CONFIGS: dict[str, Callable[..., dict[str, Any]]] = {PolicyKind.HEADERS: headers_config}


# --- Gateways --------------------------------------------------------------------------------------


def gateway_class(value: str, *, field: str = "gateway_class") -> str:
    return choice(value, field=field, known=[name for name, _label in GATEWAY_CLASSES])


def listener(values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    protocol = values.get("protocol", Protocol.HTTP)
    return {
        "port": number(given(values, "port", at), field=f"{at}port", low=1, high=65535),
        "protocol": choice(protocol, field=f"{at}protocol", known=Protocol.values),
    }


# --- Products --------------------------------------------------------------------------------------


def categories(values: Iterable[str], *, field: str = "categories") -> list[str]:
    """In the order given, each once."""
    found = listing(values, field=field, limit=MAX_CATEGORIES)
    return list(dict.fromkeys(line(value, field=field, limit=40) for value in found))
