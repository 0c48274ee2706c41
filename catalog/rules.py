"""What a provider may write. Each rule returns the model's values, or says what is wrong with which field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from catalog.addresses import host, optional_path, parameters, template
from catalog.models import GATEWAY_CLASSES, METHODS, Match, Protocol
from catalog.text import choice, given, line, listing, number
from core.addresses import literal
from core.errors import InvalidInput

MAX_CATEGORIES = 10


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
    path = template(given(values, "path", at), field=f"{at}path")
    return {
        "match": choice(values.get("match", Match.PREFIX), field=f"{at}match", known=Match.values),
        "path": path,
        "methods": methods(given(values, "methods", at), field=f"{at}methods"),
        "rewrite": rewrite(values.get("rewrite", ""), path, field=f"{at}rewrite"),
        "timeout_ms": number(timeout, field=f"{at}timeout_ms", low=1, high=300_000),
        "retries": number(values.get("retries", 0), field=f"{at}retries", low=0, high=5),
        "retry_unsafe": bool(values.get("retry_unsafe", False)),
    }


def rewrite(value: str, path: str, *, field: str) -> str:
    """What replaces the matched path; it may use the path's parameters."""
    if not value:
        return ""
    found = template(value, field=field)
    unknown = [name for name in parameters(found) if name not in parameters(path)]
    if unknown:
        raise InvalidInput(
            _("“{%(name)s}” is not a parameter of the path %(path)s.")
            % {"name": unknown[0], "path": path},
            field=field,
        )
    return found


# --- Gateways --------------------------------------------------------------------------------------


def gateway_class(value: str, *, field: str = "gateway_class") -> str:
    return choice(value, field=field, known=[name for name, _label in GATEWAY_CLASSES])


def listener(values: Mapping[str, Any], *, at: str = "") -> dict[str, Any]:
    protocol = choice(
        values.get("protocol") or Protocol.HTTP, field=f"{at}protocol", known=Protocol.values
    )
    # Bodies name the certificate, forms have chosen it.
    chosen = values.get("certificate_id") or getattr(values.get("certificate"), "pk", None)
    return {
        "port": number(given(values, "port", at), field=f"{at}port", low=1, high=65535),
        "protocol": protocol,
        "hostname": hostname(values.get("hostname") or "", field=f"{at}hostname"),
        "certificate_id": _certificate_id(chosen, protocol, field=f"{at}certificate_id"),
    }


def hostname(value: str, *, field: str) -> str:
    """A DNS name, or "*." before one for all the hosts below it. Empty: any host."""
    value = line(value, field=field, limit=255, required=False).lower()
    name = value.removeprefix("*.")
    if not value:
        return ""
    if name in {"", "*"} or literal(host(name, field=field)):
        raise InvalidInput(
            _("Enter a DNS name such as api.example.com, or *.example.com for the hosts below it."),
            field=field,
        )
    return value[: -len(name)] + host(name, field=field)


def _certificate_id(chosen: Any, protocol: str, *, field: str) -> UUID | None:
    if protocol == Protocol.HTTPS and not chosen:
        raise InvalidInput(_("HTTPS needs a certificate. Upload one, then choose it."), field=field)
    if protocol != Protocol.HTTPS and chosen:
        raise InvalidInput(_("Only HTTPS uses a certificate."), field=field)
    try:
        return chosen if isinstance(chosen, UUID | None) else UUID(str(chosen))
    except ValueError:
        raise InvalidInput(_("There is no such certificate of yours."), field=field) from None


# --- Products --------------------------------------------------------------------------------------


def categories(values: Iterable[str], *, field: str = "categories") -> list[str]:
    """In the order given, each once."""
    found = listing(values, field=field, limit=MAX_CATEGORIES)
    return list(dict.fromkeys(line(value, field=field, limit=40) for value in found))
