"""The bundle: the same rows, the same bytes; and exactly what protos/agent/v1/bundle.proto says."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from uuid import UUID

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.wire import bundle_pb2
from catalog.models import ApiService, Backend, Gateway, Listener, Policy, Product, Route
from publishing.compile import (
    Definition,
    compile_bundle,
    compile_publish,
    definition_of,
    full_path,
)
from publishing.models import ProductPublish
from tests.factories.catalog import (
    ApiServiceFactory,
    BackendFactory,
    ListenerFactory,
    PolicyFactory,
    RouteFactory,
)
from tests.factories.publishing import ProductPublishFactory


def uid(number: int) -> UUID:
    return UUID(int=number)


def definition() -> Definition:
    """Two services of unsaved rows: compiling asks no database."""
    billing = ApiService(pk=uid(1), name="Billing", base_path="/billing")
    refunds = ApiService(pk=uid(2), name="Refunds", base_path="/")
    return Definition(
        publish=ProductPublish(
            pk=uid(9),
            product=Product(name="Payment API"),
            gateway=Gateway(name="main"),
            hostname_base="api.example.com",
            auth_mode="api-key",
        ),
        listeners=[Listener(port=8443, protocol="HTTP"), Listener(port=8080, protocol="HTTP")],
        services=[billing, refunds],
        routes=[
            Route(pk=uid(11), service=billing, path="/", methods=["GET", "POST"], timeout_ms=5000),
            Route(pk=uid(12), service=billing, match="exact", path="/health", methods=["GET"]),
            Route(pk=uid(13), service=refunds, path="/refunds", methods=["POST"], retries=2),
        ],
        backends=[
            Backend(pk=uid(21), service=billing, host="b.internal", port=8080, weight=3),
            Backend(pk=uid(22), service=billing, host="a.internal", port=8080, tls=True),
            Backend(pk=uid(23), service=refunds, host="r", port=80, health_check_path="/up"),
        ],
        policies=[
            Policy(
                pk=uid(31),
                service=billing,
                kind="headers",
                config={"request": {"x-b": "%ENVIRONMENT(HOME)%", "x-a": "1"}},
            )
        ],
    )


def test_the_document_is_the_message_that_agents_read():
    bundle = json_format.Parse(compile_bundle(definition()).document, bundle_pb2.Bundle())
    assert (bundle.schema, bundle.publish_id, bundle.host) == (1, str(uid(9)), "api.example.com")
    assert [listener.port for listener in bundle.listeners] == [8080, 8443]
    assert bundle.auth.mode == "api-key"
    routes = {route.path: route for route in bundle.routes}
    assert set(routes) == {"/billing", "/billing/health", "/refunds"}
    assert list(routes["/billing"].methods) == ["GET", "POST"]
    assert (routes["/billing"].match, routes["/billing"].timeout_ms) == ("prefix", 5000)
    assert (routes["/billing/health"].match, routes["/refunds"].retries) == ("exact", 2)
    assert routes["/billing"].upstream_id == str(uid(1))
    headers = [(header.name, header.value) for header in routes["/billing"].set_request_headers]
    assert headers == [("x-a", "1"), ("x-b", "%ENVIRONMENT(HOME)%")]
    assert not routes["/refunds"].set_request_headers
    billing, refunds = bundle.upstreams
    assert [(row.host, row.tls, row.weight) for row in billing.backends] == [
        ("a.internal", True, 1),
        ("b.internal", False, 3),
    ]
    assert refunds.backends[0].health_check_path == "/up"


def test_oauth2_says_whose_tokens_count():
    rows = definition()
    rows.publish.auth_mode = "oauth2"
    rows.publish.auth_config = {
        "issuer": "https://auth.example.com",
        "audience": "payments",
        "scopes": ["write", "read"],
    }
    bundle = json_format.Parse(compile_bundle(rows).document, bundle_pb2.Bundle())
    assert (bundle.auth.issuer, bundle.auth.audience) == ("https://auth.example.com", "payments")
    assert list(bundle.auth.scopes) == ["read", "write"]


def test_the_document_is_canonical_and_named_by_its_hash():
    compiled = compile_bundle(definition())
    assert compiled.digest == hashlib.sha256(compiled.document.encode()).hexdigest()
    again = json.dumps(
        json.loads(compiled.document), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert again == compiled.document


@settings(deadline=None, max_examples=60)
@given(seed=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(seed: random.Random):
    rows = definition()

    def shuffled(items):
        return seed.sample(list(items), len(items))

    other = replace(
        rows,
        **{
            name: shuffled(getattr(rows, name))
            for name in ("listeners", "services", "routes", "backends", "policies")
        },
    )
    for route in other.routes:
        route.methods = shuffled(route.methods)
    for policy in other.policies:
        policy.config = {
            side: dict(shuffled(headers.items())) for side, headers in policy.config.items()
        }
    assert compile_bundle(other) == compile_bundle(definition())


def changed(part: str, index: int, **values):
    rows = definition()
    for field, value in values.items():
        setattr(getattr(rows, part)[index], field, value)
    return rows


@pytest.mark.parametrize(
    "rows",
    [
        changed("routes", 0, timeout_ms=5001),
        changed("routes", 0, methods=["GET"]),
        changed("routes", 0, rewrite="/v1"),
        changed("routes", 1, match="prefix"),
        changed("services", 0, base_path="/bill"),
        changed("backends", 0, weight=4),
        changed("backends", 0, tls=True),
        changed("listeners", 0, port=8444),
        changed("policies", 0, config={"response": {"x-a": "1"}}),
    ],
)
def test_what_changes_a_gateways_behaviour_changes_the_digest(rows):
    assert compile_bundle(rows).digest != compile_bundle(definition()).digest


def test_the_products_words_are_not_in_it():
    rows = definition()
    rows.publish.product.name = rows.publish.product.description = "Another"
    rows.publish.gateway.name = "Another"
    rows.services[0].description = "Another"
    rows.publish.visibility, rows.publish.approval_required = "private", True
    assert compile_bundle(rows) == compile_bundle(definition())


def test_two_publishes_of_the_same_rows_are_two_bundles():
    rows = definition()
    rows.publish.pk = uid(10)
    assert compile_bundle(rows).digest != compile_bundle(definition()).digest


def test_text_of_every_script_is_kept_as_utf_8():
    rows = definition()
    rows.services[0].name = "결제 💳"
    compiled = compile_bundle(rows)
    assert "결제 💳" in compiled.document
    assert compiled.digest == hashlib.sha256(compiled.document.encode("utf-8")).hexdigest()


@pytest.mark.parametrize(
    ("base", "path", "full"),
    [
        ("/", "/", "/"),
        ("/", "/a", "/a"),
        ("/a", "/", "/a"),
        ("/a", "/b", "/a/b"),
        ("/a/", "/b", "/a/b"),
        ("/a", "/b/c", "/a/b/c"),
    ],
)
def test_paths_join_by_whole_segments(base, path, full):
    assert full_path(base, path) == full


@pytest.mark.django_db
def test_rows_are_read_in_five_queries_however_many_they_are(django_assert_num_queries):
    publish = ProductPublishFactory()
    for number in range(5):
        service = ApiServiceFactory(organization=publish.organization)
        publish.product.services.add(service)
        RouteFactory(service=service, path=f"/r{number}")
        BackendFactory(service=service)
        PolicyFactory(service=service)
    ListenerFactory(gateway=publish.gateway, port=9090)
    with django_assert_num_queries(5):
        rows = definition_of(publish)
    with django_assert_num_queries(0):
        compiled = compile_bundle(rows)
    assert len(compiled.bundle["routes"]) == 6
    assert compile_publish(publish) == compiled
