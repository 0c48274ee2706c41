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
from catalog.api.examples import BY_KIND
from catalog.models import ApiService, Backend, Gateway, Listener, Policy, Product, Route
from publishing.compile import (
    SCHEMA_2_ROUTE,
    SCHEMA_2_UPSTREAM,
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


def changed(part: str, index: int, **values):
    rows = definition()
    for field, value in values.items():
        setattr(getattr(rows, part)[index], field, value)
    return rows


# --- Policies and parameters -----------------------------------------------------------------------


def with_policies(**configs) -> Definition:
    rows = definition()
    service = rows.services[0]
    policies = [
        Policy(pk=uid(40 + place), service=service, kind=kind, config=config)
        for place, (kind, config) in enumerate(configs.items())
    ]
    return replace(rows, policies=policies)


def upstreams(rows: Definition) -> list[dict]:
    return compile_bundle(rows).bundle["upstreams"]


def test_policies_are_of_every_call_to_their_service():
    rows = with_policies(**BY_KIND)
    bundle = json_format.Parse(compile_bundle(rows).document, bundle_pb2.Bundle())
    billing, refunds = bundle.upstreams
    assert list(billing.cors.allow_origins) == ["https://*.example.com", "https://example.com"]
    assert list(billing.cors.allow_methods) == ["GET", "POST"]
    assert (billing.cors.max_age, billing.cors.allow_credentials) == (600, False)
    assert list(billing.callers.allow) == ["198.51.100.0/24", "2001:db8::/32"]
    assert list(billing.callers.deny) == ["198.51.100.66/32"]
    assert billing.max_request_bytes == 1_048_576
    assert not refunds.HasField("cors")
    assert not refunds.HasField("callers")
    mine, others = bundle.routes[0], bundle.routes[-1]
    assert list(mine.remove_request_headers) == ["cookie"]
    assert list(mine.remove_response_headers) == ["server"]
    assert not others.remove_request_headers


@pytest.mark.parametrize(
    ("mode", "headers"),
    [
        ("api-key", ["content-type", "x-api-key"]),
        ("oauth2", ["authorization", "content-type"]),
        ("none", ["content-type"]),
    ],
)
def test_web_pages_may_send_the_credential(mode, headers):
    rows = with_policies(cors=BY_KIND["cors"])
    rows.publish.auth_mode = mode
    assert upstreams(rows)[0]["cors"]["allow_headers"] == headers


def test_an_empty_list_of_addresses_is_left_out():
    rows = with_policies(ip={"allow": ["10.0.0.0/8"], "deny": []})
    assert upstreams(rows)[0]["callers"] == {"allow": ["10.0.0.0/8"]}


@pytest.mark.parametrize(
    ("rows", "schema"),
    [
        (definition(), 1),
        (with_policies(headers={"request": {"x-a": "1"}}), 1),
        (with_policies(headers={"remove_request": ["x-a"]}), 2),
        (with_policies(headers={"remove_response": ["x-a"]}), 2),
        (with_policies(headers={"remove_response": []}), 1),
        (with_policies(cors=BY_KIND["cors"]), 2),
        (with_policies(ip=BY_KIND["ip"]), 2),
        (with_policies(request_size=BY_KIND["request_size"]), 2),
    ],
)
def test_the_schema_is_the_lowest_that_knows_it_all(rows, schema):
    """An agent refuses a schema that it does not know, instead of serving without a policy."""
    assert compile_bundle(rows).bundle["schema"] == schema


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ({"path": "/users/{id}"}, 2),
        ({"path": "/users/%7Bid%7D"}, 1),
        ({"retries": 1, "retry_unsafe": True}, 2),
        ({"retries": 0, "retry_unsafe": True}, 1),
        ({"retries": 1}, 1),
    ],
)
def test_the_schema_of_what_a_route_uses(values, schema):
    assert compile_bundle(changed("routes", 0, **values)).bundle["schema"] == schema


def test_every_field_of_a_bundle_has_its_schema():
    """Whoever adds a field decides here whether an agent that does not know it may serve without it."""
    known = {
        "Bundle": "schema publish_id host listeners auth routes upstreams",
        "Listener": "port protocol tls",  # agents that do not know a protocol refuse it
        "Auth": "mode issuer audience scopes",
        "Route": "id match path methods rewrite timeout_ms retries upstream_id set_request_headers"
        " set_response_headers",
        "Upstream": "id name backends",
        "Backend": "id host port tls weight health_check_path",
    }
    newer = {"Route": SCHEMA_2_ROUTE, "Upstream": SCHEMA_2_UPSTREAM}
    for name, fields in known.items():
        declared = {field.name for field in getattr(bundle_pb2, name).DESCRIPTOR.fields}
        assert declared == {*fields.split(), *newer.get(name, ())}, name


OLD_DIGEST = "69e7eb3c09f7da5119191a09c892eaaf862cd1a1f4319cb42c3e9de92ee19a38"


def test_older_bundles_keep_their_digest():
    """What is live stays live: a new version of the portal finds nothing to publish."""
    assert compile_bundle(definition()).digest == OLD_DIGEST


@settings(deadline=None, max_examples=60)
@given(seed=st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(seed: random.Random):
    rows = with_policies(**BY_KIND)

    def shuffled(items):
        return seed.sample(list(items), len(items))

    def shuffle(value):
        if isinstance(value, dict):
            return dict(shuffled(value.items()))
        return shuffled(value) if isinstance(value, list) else value

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
        policy.config = {key: shuffle(value) for key, value in shuffled(policy.config.items())}
    assert compile_bundle(other) == compile_bundle(with_policies(**BY_KIND))


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
        changed("routes", 2, retry_unsafe=True),
        with_policies(cors=BY_KIND["cors"]),
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
def test_rows_are_read_in_two_queries_however_many_they_are(django_assert_num_queries):
    publish = ProductPublishFactory()
    for number in range(5):
        service = ApiServiceFactory(organization=publish.organization)
        publish.product.services.add(service)
        RouteFactory(service=service, path=f"/r{number}")
        BackendFactory(service=service)
        PolicyFactory(service=service)
    ListenerFactory(gateway=publish.gateway, port=9090)
    with django_assert_num_queries(2):
        rows = definition_of(publish)
    with django_assert_num_queries(0):
        compiled = compile_bundle(rows)
    assert len(compiled.bundle["routes"]) == 6
    assert compile_publish(publish) == compiled
