"""What a provider may write about policies, kind by kind."""

from __future__ import annotations

import pytest

from catalog import policies
from catalog.api.examples import BY_KIND
from catalog.models import PolicyKind
from core.errors import InvalidInput


def field_of(rule, config) -> str:
    with pytest.raises(InvalidInput) as refusal:
        rule(config)
    return refusal.value.field


@pytest.mark.parametrize("kind", PolicyKind.values)
def test_the_examples_are_valid_and_in_the_form_that_is_kept(kind):
    kept = policies.policy({"kind": kind, "config": BY_KIND[kind]})["config"]
    assert kept == BY_KIND[kind]


@pytest.mark.parametrize("kind", PolicyKind.values)
@pytest.mark.parametrize("config", [[], "x", None, 5, {"surplus": 1}, {5: 1}])
def test_configurations_of_another_shape_are_refused(kind, config):
    with pytest.raises(InvalidInput) as refusal:
        policies.policy({"kind": kind, "config": config}, at="policies.1.")
    assert refusal.value.field == "policies.1.config"


@pytest.mark.parametrize("values", [{}, {"kind": "lua"}, {"kind": None}, {"kind": []}])
def test_a_kind_is_one_that_gateways_know(values):
    with pytest.raises(InvalidInput) as refusal:
        policies.policy(values, at="policies.0.")
    assert refusal.value.field == "policies.0.kind"


# --- Headers ---------------------------------------------------------------------------------------


def test_a_header_value_is_kept_literally():
    value = "%ENVIRONMENT(HOME)% %REQ(x-api-key)% ${HOME} 100% «결제»\tend"

    config = policies.headers_config(
        {"request": {"X-Note": value}, "response": {"Cache-Control": ""}}
    )

    assert config == {"request": {"x-note": value}, "response": {"cache-control": ""}}


@pytest.mark.parametrize(
    "name",
    [
        "", "two words", "a:b", "naïve", "a\nb", "x" * 101, "(comment)", "Host", "Connection",
        "Transfer-Encoding", "content-length", "TE", "Upgrade", "Keep-Alive", "Proxy-Authorization",
        "x-api-key", "X-Api-Key", "x-consumer", "X-Consumer-Id", "x-credential-id", "X-Plan",
        "x-imp-probe", "x-envoy-retry-on", ":path", ":authority",
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", ["request", "response"])
def test_headers_that_are_not_the_providers_are_refused(name, side):
    with pytest.raises(InvalidInput) as refusal:
        policies.headers_config({side: {name: "x"}})
    assert refusal.value.field == f"config.{side}"


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "\x1b", "x" * 2001, 5, None, []]
)
def test_header_values_that_could_end_the_header_are_refused(value):
    with pytest.raises(InvalidInput) as refusal:
        policies.headers_config({"request": {"x-note": value}})
    assert refusal.value.field == "config.request.x-note"


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"request": []}, "config.request"),
        ({"request": None}, "config.request"),
        ({"request": {f"x-{number}": "1" for number in range(51)}}, "config.request"),
        ({"request": {"X-A": "1", "x-a": "2"}}, "config.request"),
        ({"remove_request": "cookie"}, "config.remove_request"),
        ({"remove_request": ["cookie", "x-imp-plan"]}, "config.remove_request.1"),
        ({"remove_response": [5]}, "config.remove_response.0"),
        ({"remove_response": ["content-length"]}, "config.remove_response.0"),
        (
            {"response": {"x-a": "1"}, "remove_response": ["server", "X-A"]},
            "config.remove_response.1",
        ),
    ],
)
def test_a_refused_header_is_named(config, field):
    assert field_of(policies.headers_config, config) == field


def test_headers_to_remove_are_kept_in_order_and_once():
    config = {"remove_request": ["X-B", "cookie", " x-b "], "request": {"x-c": "1"}}
    kept = {"request": {"x-c": "1"}, "remove_request": ["cookie", "x-b"]}
    assert policies.headers_config(config) == kept


# --- CORS ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://example.com", "https://example.com"),
        (" HTTPS://Example.COM:443 ", "https://example.com"),
        ("http://example.com:80", "http://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://*.example.com", "https://*.example.com"),
        ("https://*.example.com:8443", "https://*.example.com:8443"),
        ("*", "*"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(given, kept):
    assert policies.origin(given, field="origin") == kept
    assert policies.origin(kept, field="origin") == kept


@pytest.mark.parametrize(
    "given",
    [
        "", "example.com", "https://", "https://example.com/", "https://example.com/a", "https://a?b",
        "https://a#b", "https://user@example.com", "ftp://example.com", "null", "https://*", "https://*.com",
        "http://*.example.com", "https://a.*.com", "https://*.*.example.com", "https://*example.com",
        "https://example.com:99999", "https://example.com:x", "https://a_b.com", "https://exa mple.com",
        "https://a.com, https://b.com", "https://[::1", "https://결제.kr", "javascript://a", 5, None,
        "https://" + "a" * 300,
    ],
)  # fmt: skip
def test_other_origins_are_refused_by_their_place(given):
    config = {"allow_origins": ["https://example.com", given]}
    assert field_of(policies.cors_config, config) == "config.allow_origins.1"


def test_cors_without_more_than_origins():
    assert policies.cors_config({"allow_origins": ["*"]}) == {
        "allow_origins": ["*"],
        "allow_methods": [],
        "allow_headers": [],
        "expose_headers": [],
        "max_age": 600,
        "allow_credentials": False,
    }


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"allow_origins": []}, "allow_origins"),
        ({"allow_origins": "*"}, "allow_origins"),
        ({"allow_origins": ["https://a.com", "*"]}, "allow_origins.1"),
        ({"allow_origins": ["*"], "allow_credentials": True}, "allow_origins.0"),
        ({"allow_credentials": "yes"}, "allow_credentials"),
        ({"allow_methods": ["GET", "FETCH"]}, "allow_methods.1"),
        ({"allow_methods": [None]}, "allow_methods.0"),
        ({"allow_headers": ["x-a", "two words"]}, "allow_headers.1"),
        ({"allow_headers": ["*"], "allow_credentials": True}, "allow_headers.0"),
        ({"expose_headers": ["*"], "allow_credentials": True}, "expose_headers.0"),
        ({"expose_headers": {}}, "expose_headers"),
        ({"max_age": -1}, "max_age"),
        ({"max_age": 86_401}, "max_age"),
        ({"max_age": "600"}, "max_age"),
    ],
)
def test_a_refused_part_of_cors_is_named(values, field):
    config = {"allow_origins": ["https://example.com"], **values}
    assert field_of(policies.cors_config, config) == f"config.{field}"


# --- Addresses and sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.7", "203.0.113.7/32"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8:0:0::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
    ],
)
def test_a_network_is_kept_in_one_spelling(given, kept):
    assert policies.network(given, field="f") == kept
    assert policies.network(kept, field="f") == kept


@pytest.mark.parametrize(
    "given",
    ["", "localhost", "10.0.0.5/8", "10.0.0.0/33", "10.0.0/8", "1.2.3.4-9", "::ffff:10.0.0.1", "fe80::1%eth0",
     "10.0.0.01", "2001:db8::1/32", "10.0.0.1 10.0.0.2", 5, None, "1" * 100],
)  # fmt: skip
def test_other_networks_are_refused_by_their_place(given):
    assert field_of(policies.ip_config, {"deny": ["10.0.0.0/8", given]}) == "config.deny.1"


def test_a_network_with_too_many_bits_is_refused_with_what_to_write():
    with pytest.raises(InvalidInput, match=r"Write 10\.0\.0\.0/8"):
        policies.network("10.0.0.5/8", field="f")


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "config"),
        ({"allow": [], "deny": []}, "config"),
        ({"allow": "10.0.0.1"}, "config.allow"),
        ({"allow": [f"10.0.0.{n}" for n in range(201)]}, "config.allow"),
        ({"allow": ["10.0.0.1"], "deny": ["10.0.0.2", "10.0.0.1/32"]}, "config.deny.1"),
    ],
)
def test_a_refused_list_of_networks_is_named(config, field):
    assert field_of(policies.ip_config, config) == field


@pytest.mark.parametrize("size", [0, -1, 100 * 1024 * 1024 + 1, True, "1", 1.5, None])
def test_a_size_is_a_number_of_bytes(size):
    assert field_of(policies.request_size_config, {"max_bytes": size}) == "config.max_bytes"
    assert field_of(policies.request_size_config, {}) == "config.max_bytes"
