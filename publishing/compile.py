"""Rows become a bundle: what gateways serve for one publish, as canonical JSON and its SHA-256.

The same rows give the same bytes, in whatever order they come. What does not change a gateway's
behaviour (the product's name, texts, times) stays out, and so do proto3's defaults: a field added to
the format later leaves older digests alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import OuterRef

from catalog.models import ApiService, Backend, Listener, Policy, PolicyKind, Route
from core.queries import prepared
from publishing.models import AuthMode, ProductPublish

# What agents of old must not serve without knowing it: a bundle that uses any of these is of schema 2.
SCHEMA_2_ROUTE = ("remove_request_headers", "remove_response_headers", "retry_unsafe")
SCHEMA_2_UPSTREAM = ("cors", "callers", "max_request_bytes")
# What callers send to say who they are: a web page must be allowed to send it, too.
CREDENTIAL_HEADERS = {AuthMode.API_KEY: ["x-api-key"], AuthMode.OAUTH2: ["authorization"]}


Policies = dict[str, dict[str, Any]]  # a service's configurations by kind
# One with a model's fields, its id as text: a list has hundreds, and models would take most of its time.
Row = SimpleNamespace


@dataclass(frozen=True, slots=True)
class Definition:
    """Every row that decides what a gateway serves for one publish."""

    publish: ProductPublish
    listeners: Sequence[Listener]
    services: Sequence[ApiService]
    routes: Sequence[Route | Row]
    backends: Sequence[Backend | Row]
    policies: Sequence[Policy | Row]


@dataclass(frozen=True, slots=True)
class Compiled:
    document: str  # canonical JSON of message Bundle
    digest: str  # hex SHA-256 of its UTF-8 bytes

    @property
    def bundle(self) -> dict[str, Any]:
        return json.loads(self.document)


def definition_of(publish: ProductPublish) -> Definition:
    """Every row that decides what a gateway serves for it."""
    return definitions_of([publish])[0]


def definitions_of(publishes: Sequence[ProductPublish]) -> list[Definition]:
    """Of each publish, in their order: two queries, for many as for one."""
    links = ApiService.products.through.objects.filter(
        product__in={publish.product_id for publish in publishes}
    )
    parts: dict[UUID, list[_Parts]] = {}
    for service in _with_parts().filter(pk__in=links.values("apiservice")):
        found = _Parts(service)
        for product in service.product_ids:
            parts.setdefault(product, []).append(found)
    listeners: dict[UUID, list[Listener]] = {}
    for row in _listeners().filter(gateway__in={each.gateway_id for each in publishes}):
        listeners.setdefault(row.gateway_id, []).append(row)
    return [
        _definition(
            publish, parts.get(publish.product_id, []), listeners.get(publish.gateway_id, [])
        )
        for publish in publishes
    ]


def _definition(
    publish: ProductPublish, parts: list[_Parts], listeners: list[Listener]
) -> Definition:
    return Definition(
        publish=publish,
        listeners=listeners,
        services=[each.service for each in parts],
        routes=[row for each in parts for row in each.routes],
        backends=[row for each in parts for row in each.backends],
        policies=[row for each in parts for row in each.policies],
    )


class _Parts:
    """A service that was read with its parts."""

    def __init__(self, service: Any) -> None:
        self.service: ApiService = service
        self.routes = _read(Route, service.pk, service.route_rows)
        self.backends = _read(Backend, service.pk, service.backend_rows)
        self.policies = _read(Policy, service.pk, service.policy_rows)


@prepared
def _listeners() -> models.QuerySet[Listener]:
    rows = Listener.objects.select_related("certificate")
    return rows.defer("certificate__sealed_key", "certificate__chain")


@prepared
def _with_parts() -> models.QuerySet[ApiService]:
    """Services; each with the products that it is in and with its parts, as JSON, in the same query."""
    links = ApiService.products.through.objects.filter(apiservice=OuterRef("pk"))
    return ApiService.objects.only("name", "version", "base_path").annotate(
        product_ids=ArraySubquery(links.values("product")),
        route_rows=_written(Route),
        backend_rows=_written(Backend),
        policy_rows=_written(Policy),
    )


def _written(model: type[models.Model]) -> ArraySubquery:
    """Each row as a list of JSON, in the order of the model's fields."""
    row = models.Func(*_names(model), function="jsonb_build_array", output_field=models.JSONField())
    rows = model._default_manager.filter(service=OuterRef("pk"))
    return ArraySubquery(rows.values(json=row))


def _read(model: type[models.Model], service: UUID, rows: Iterable[list[Any]]) -> list[Row]:
    names = _names(model)
    return [Row(service_id=service, **dict(zip(names, row, strict=True))) for row in rows]


@cache
def _names(model: type[models.Model]) -> list[str]:
    names = [field.attname for field in model._meta.concrete_fields]
    return [name for name in names if name != "service_id"]


def compile_publish(publish: ProductPublish) -> Compiled:
    """What a publish would send now."""
    return compile_bundle(definition_of(publish))


def compile_bundle(definition: Definition) -> Compiled:
    """Pure: no query, no clock, no order of the rows in it."""
    publish = definition.publish
    bundle = {
        "publish_id": str(publish.pk),
        "host": publish.hostname_base,
        "listeners": [_listener(row) for row in listeners_for(definition)],
        "auth": _auth(publish),
        "routes": _routes(definition),
        "upstreams": _upstreams(definition),
    }
    bundle = _without_defaults(bundle)
    document = canonical({"schema": _schema(bundle), **bundle})
    return Compiled(document, hashlib.sha256(document.encode()).hexdigest())


def listeners_for(definition: Definition) -> list[Listener]:
    """Of each port the listener that is there for the publish's host: the most specific one."""
    host = definition.publish.hostname_base
    fitting = [row for row in definition.listeners if row.serves(host)]
    rising = sorted(fitting, key=lambda row: (row.hostname == host, len(row.hostname)))
    chosen = {row.port: row for row in rising}
    return [chosen[port] for port in sorted(chosen)]


def _listener(row: Listener) -> dict[str, Any]:
    named = {"port": row.port, "protocol": row.protocol}
    return named | {"tls": {"secret_id": str(row.certificate_id)}} if row.certificate_id else named


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def full_path(base_path: str, path: str) -> str:
    """The service's base path and the route's, joined by whole segments: /a and / make /a."""
    segments = [*base_path.split("/"), *path.split("/")]
    return "/" + "/".join(segment for segment in segments if segment)


def _schema(bundle: dict[str, Any]) -> int:
    """The lowest that knows it all, so that agents of old go on serving what they can."""
    routes, upstreams = bundle.get("routes", []), bundle.get("upstreams", [])
    newer = (
        any(
            "{" in route["path"] or any(key in route for key in SCHEMA_2_ROUTE) for route in routes
        ),
        any(key in upstream for upstream in upstreams for key in SCHEMA_2_UPSTREAM),
    )
    return 2 if any(newer) else 1


def _auth(publish: ProductPublish) -> dict[str, Any]:
    if publish.auth_mode != AuthMode.OAUTH2:
        return {"mode": publish.auth_mode}
    settings = publish.auth_config
    return {
        "mode": publish.auth_mode,
        "issuer": settings.get("issuer", ""),
        "audience": settings.get("audience", ""),
        "scopes": sorted(settings.get("scopes", [])),
    }


def _routes(definition: Definition) -> list[dict[str, Any]]:
    services = {service.pk: service for service in definition.services}
    policies = _by_service(definition.policies)
    rows = [
        _route(row, services[row.service_id], policies.get(row.service_id, {}))
        for row in definition.routes
    ]
    return sorted(rows, key=lambda row: (row["path"], row["match"], row["methods"], row["id"]))


def _route(row: Route | Row, service: ApiService, policies: Policies) -> dict[str, Any]:
    headers = policies.get(PolicyKind.HEADERS, {})
    return {
        "id": str(row.id),
        "match": row.match,
        "path": full_path(service.base_path, row.path),
        "methods": sorted(row.methods),
        "rewrite": row.rewrite,
        "timeout_ms": row.timeout_ms,
        "retries": row.retries,
        "upstream_id": str(service.pk),
        "set_request_headers": _headers(headers.get("request", {})),
        "set_response_headers": _headers(headers.get("response", {})),
        "remove_request_headers": sorted(headers.get("remove_request", [])),
        "remove_response_headers": sorted(headers.get("remove_response", [])),
        "retry_unsafe": bool(row.retries and row.retry_unsafe),
    }


def _by_service(policies: Iterable[Policy | Row]) -> dict[UUID, Policies]:
    found: dict[UUID, Policies] = {}
    for row in policies:
        found.setdefault(row.service_id, {})[row.kind] = row.config
    return found


def _headers(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": values[name]} for name in sorted(values)]


def _upstreams(definition: Definition) -> list[dict[str, Any]]:
    backends: dict[UUID, list[dict[str, Any]]] = {}
    for row in sorted(definition.backends, key=lambda row: (row.host, row.port, row.id)):
        backends.setdefault(row.service_id, []).append(_backend(row))
    policies = _by_service(definition.policies)
    return [
        {
            "id": str(row.pk),
            "name": row.name,
            "backends": backends.get(row.pk, []),
            **_limits(policies.get(row.pk, {}), definition.publish.auth_mode),
        }
        for row in sorted(definition.services, key=lambda row: row.pk)
    ]


def _limits(policies: Policies, auth_mode: str) -> dict[str, Any]:
    """What the gateway does to every call of a service, or to some instead of passing them on."""
    found: dict[str, Any] = {}
    if cors := policies.get(PolicyKind.CORS):
        found["cors"] = cors | {
            key: sorted(cors.get(key, []))
            for key in ("allow_origins", "allow_methods", "expose_headers")
        }
        theirs = [*cors.get("allow_headers", []), *CREDENTIAL_HEADERS.get(AuthMode(auth_mode), [])]
        found["cors"]["allow_headers"] = sorted(set(theirs))
    if addresses := policies.get(PolicyKind.IP):
        found["callers"] = {side: sorted(addresses.get(side, [])) for side in ("allow", "deny")}
    if size := policies.get(PolicyKind.REQUEST_SIZE):
        found["max_request_bytes"] = size["max_bytes"]
    return found


def _backend(row: Backend | Row) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "host": row.host,
        "port": row.port,
        "tls": row.tls,
        "weight": row.weight,
        "health_check_path": row.health_check_path,
    }


def _without_defaults(value: Any) -> Any:
    """Drop what proto3 reads anyway when it is missing: 0, "", false and empty lists."""
    if isinstance(value, dict):
        return {
            key: kept
            for key, item in value.items()
            if (kept := _without_defaults(item)) or kept not in ("", 0, [], False)
        }
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    return value
