"""From what a provider writes, through rules and compiler, to what a real gateway does with calls."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf import json_format

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.drivers.envoy.paths import Where
from agents.edge.model import Outcome, Publish
from agents.wire import bundle_pb2
from catalog import policies, rules
from catalog.addresses import canonical
from catalog.models import ApiService, Backend, Gateway, Listener, Policy, Product, Route
from publishing.compile import Definition, compile_bundle
from publishing.models import ProductPublish
from tests.agents.edge.drivers.rig import HOST, Echo, Keys, call, snapshot, status


def published(port: int, echo: Echo, auth_mode: str = "none", **described: Any) -> Publish:
    """Rows that nobody saved: neither rules nor the compiler ask a database."""
    service = ApiService(name="Users", base_path="/v1")
    routes = [
        Route(service=service, **rules.route(each))
        for each in described.get("routes", [{"path": "/users/{id}", "methods": ["GET"]}])
    ]
    kept = [policies.policy(each) for each in described.get("policies", [])]
    definition = Definition(
        publish=ProductPublish(
            pk=uuid.uuid4(),
            product=Product(name="Users"),
            gateway=Gateway(name="main"),
            hostname_base=HOST,
            auth_mode=auth_mode,
        ),
        listeners=[Listener(**rules.listener({"port": port}))],
        services=[service],
        routes=routes,
        backends=[
            Backend(service=service, **rules.backend({"host": "127.0.0.1", "port": echo.port}))
        ],
        policies=[Policy(service=service, **each) for each in kept],
    )
    compiled = compile_bundle(definition)
    bundle = json_format.Parse(compiled.document, bundle_pb2.Bundle())
    return Publish(bundle.publish_id, compiled.digest, bundle)


async def serve(driver: EnvoyDriver, publish: Publish) -> None:
    verdict = (await driver.apply(snapshot(publish)))[publish.id]
    assert verdict.outcome is Outcome.APPLIED, verdict


@pytest.mark.envoy
async def test_routes_with_parameters_and_rewrites(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    routes = [
        {"path": "/users/{id}/결제", "methods": ["GET"], "rewrite": "/pay/{id}"},
        {"path": "/users/me", "match": "exact", "methods": ["GET"], "rewrite": "/self"},
        {"path": "/users/{user-id}", "match": "exact", "methods": ["GET"]},
    ]
    await serve(driver, published(port, echo, routes=routes))

    async def arrives(path: str) -> str:
        return (await call(port, path)).json["path"]

    assert await arrives("/v1/users/7/%EA%B2%B0%EC%A0%9C/x?a=1") == "/pay/7/x?a=1"
    assert await arrives("/v1/users/me") == "/self"
    assert await arrives("/v1/users/7") == "/v1/users/7"
    assert await status(port, "/v1/users/7/8") == 404


@pytest.mark.envoy
async def test_every_policy_at_once(driver: EnvoyDriver, echo: Echo, keys: Keys, port: int) -> None:
    written = [
        {"kind": "cors", "config": {"allow_origins": ["https://*.Example.com:443"]}},
        {"kind": "ip", "config": {"allow": ["127.0.0.1", "2001:db8::/32"]}},
        {"kind": "request_size", "config": {"max_bytes": 3}},
        {
            "kind": "headers",
            "config": {"remove_request": ["Cookie"], "response": {"x-note": "100%"}},
        },
    ]
    routes = [{"path": "/users/{id}", "methods": ["get", "post"]}]
    users = published(port, echo, "api-key", routes=routes, policies=written)
    key = keys.grant(users)
    await driver.apply_access(keys.access())
    await serve(driver, users)
    page = [("Origin", "https://a.example.com"), ("Cookie", "a=b")]

    preflight = await call(
        port,
        "/v1/users/7",
        method="OPTIONS",
        headers=[*page, ("Access-Control-Request-Method", "POST")],
    )
    read = await call(port, "/v1/users/7", key, headers=page)

    assert (preflight.status, preflight.headers["access-control-allow-headers"]) == (
        200,
        "x-api-key",
    )
    assert (read.status, read.headers["x-note"]) == (200, "100%")
    assert read.headers["access-control-allow-origin"] == "https://a.example.com"
    assert "cookie" not in read.seen
    sized = [("Content-Length", "4")]
    assert (await call(port, "/v1/users/7", method="POST", headers=sized, body=b"long")).code == (
        "unauthorized"
    )
    long = await call(port, "/v1/users/7", key, method="POST", headers=sized, body=b"long")
    assert (long.status, long.code) == (413, "request_too_large")


@pytest.mark.parametrize(
    "path", ["/", "/users/{id}", "/{a}/x/{b-c}", "/%7Bid%7D", "/users/me", "/결제/{_1.x}"]
)
def test_portal_and_agent_agree_on_what_a_parameter_is(path: str) -> None:
    """Neither may import the other."""
    kept = rules.route({"path": path, "methods": ["GET"]})["path"]
    assert Where.of(bundle_pb2.Route(path=kept, match="exact")).path == canonical(kept)
