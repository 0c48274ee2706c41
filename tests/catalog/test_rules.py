"""What a provider may write, value by value."""

from __future__ import annotations

import pytest

from catalog import rules, text
from catalog.addresses import host, path
from core.errors import InvalidInput


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/", "/"),
        ("/billing", "/billing"),
        (" /billing ", "/billing"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("/a;v=1/b,c:d@e", "/a;v=1/b,c:d@e"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/결제", "/%EA%B2%B0%EC%A0%9C"),
        ("/%7Euser/%41", "/~user/A"),
        ("/100%25", "/100%25"),
        ("/..a/b..", "/..a/b.."),
    ],
)
def test_a_path_is_kept_in_one_spelling(given, kept):
    assert path(given, field="path") == kept
    assert path(kept, field="path") == kept


@pytest.mark.parametrize(
    "given",
    [
        "", "billing", "//", "/a//b", "/a/", "/a/../b", "/..", "/./a", "/a/.", "/%2e%2e/b", "/%2E/b",
        "/a?b=1", "/a#b", "/a\\b", "/a%2Fb", "/a%2fb", "/a%5cb", "/a%00b", "/a%0Db", "/a%7F", "/a%",
        "/a%4", "/a%zz", "/a%\nb", "/a b", "/a\tb", "/a\x00b", "/a\x7fb", "/a*", "/{id}", '/a"b', "/a<b>",
        "/a|b", "/a^b", "/a`b", "http://host/a", "/" + "a" * 500, "/" + "결" * 100,
    ],
)  # fmt: skip
def test_a_path_that_could_mean_another_one_is_refused(given):
    with pytest.raises(InvalidInput) as refusal:
        path(given, field="routes.0.path")
    assert refusal.value.field == "routes.0.path"


def test_a_slash_at_the_end_is_refused_with_what_to_write():
    with pytest.raises(InvalidInput, match="“/billing”"):
        path("/billing/", field="path")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("billing", "billing"),
        ("Billing.Example.COM", "billing.example.com"),
        ("billing.svc.cluster.local.", "billing.svc.cluster.local"),
        ("xn--s39ar0ah1n.kr", "xn--s39ar0ah1n.kr"),
        ("4you.example", "4you.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        ("10.0.0.1", "10.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[::1]", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_host_is_kept_in_one_spelling(given, kept):
    assert host(given, field="host") == kept


@pytest.mark.parametrize(
    "given",
    [
        "", "http://billing", "billing:8080", "billing/path", "user@billing", "my_service", "-a.com",
        "a-.com", "a..b", ".a", "a" * 64, ("a" * 60 + ".") * 5 + "com", "결제.kr", "a b", "a\nb", "a\x00b",
        "1.2.3", "127.1", "2130706433", "0x7f000001", "0x7f.1", "127.0.0.0x1", "256.1.1.1", "127.0.0.01",
        "10.0.0.1.", "fe80::1%eth0", "[::1", "::1]", "[::1]:80", "1::2::3", "x" * 300_000,
    ],
)  # fmt: skip
def test_a_host_that_is_no_name_and_no_address_is_refused(given):
    with pytest.raises(InvalidInput) as refusal:
        host(given, field="host")
    assert refusal.value.field == "host"


def test_methods_are_upper_case_sorted_and_each_once():
    assert rules.methods(["post", "GET", " get "], field="methods") == ["GET", "POST"]


@pytest.mark.parametrize(
    "given", [[], ["FETCH"], ["GET", "CONNECT"], [""], [1], [None], "GET", {}, 5]
)
def test_unknown_methods_are_refused(given):
    with pytest.raises(InvalidInput) as refusal:
        rules.methods(given, field="methods")
    assert refusal.value.field == "methods"


def test_a_header_value_is_kept_literally():
    value = "%ENVIRONMENT(HOME)% %REQ(x-api-key)% ${HOME} 100% «결제»\tend"

    config = rules.headers_config({"request": {"X-Note": value}, "response": {"Cache-Control": ""}})

    assert config == {"request": {"x-note": value}, "response": {"cache-control": ""}}


@pytest.mark.parametrize(
    "name",
    [
        "", "two words", "a:b", "naïve", "a\nb", "x" * 101, "(comment)", "Host", "Connection",
        "Transfer-Encoding", "content-length", "TE", "Upgrade", "Keep-Alive", "Proxy-Authorization",
        "x-api-key", "X-Api-Key", "x-consumer", "X-Consumer-Id", "x-imp-probe", "x-envoy-retry-on",
        ":path", ":authority",
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", ["request", "response"])
def test_headers_that_are_not_the_providers_are_refused(name, side):
    with pytest.raises(InvalidInput) as refusal:
        rules.headers_config({side: {name: "x"}})
    assert refusal.value.field == f"config.{side}"


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "\x1b", "x" * 2001, 5, None, []]
)
def test_header_values_that_could_end_the_header_are_refused(value):
    with pytest.raises(InvalidInput) as refusal:
        rules.headers_config({"request": {"x-note": value}})
    assert refusal.value.field == "config.request.x-note"


@pytest.mark.parametrize(
    "config",
    [
        [], "x", None, {"both": {}}, {"request": []}, {"request": None},
        {"request": {f"x-{number}": "1" for number in range(51)}}, {"request": {"X-A": "1", "x-a": "2"}},
    ],
)  # fmt: skip
def test_configurations_of_another_shape_are_refused(config):
    with pytest.raises(InvalidInput):
        rules.headers_config(config)


@pytest.mark.parametrize("given", ["", "https://docs.example.com/a?b=c#d", "http://localhost:8000"])
def test_links_that_browsers_may_follow(given):
    assert text.url(given, field="docs_url") == given


@pytest.mark.parametrize(
    "given",
    ["javascript:alert(1)", "data:text/html,x", "ftp://a", "//a", "docs", "https://", "https://a b",
     "http://[::1", "https://" + "a" * 500],
)  # fmt: skip
def test_other_links_are_refused(given):
    with pytest.raises(InvalidInput) as refusal:
        text.url(given, field="docs_url")
    assert refusal.value.field == "docs_url"


@pytest.mark.parametrize("given", [0, -1, 65536, True, "80", 80.0, None])
def test_ports_are_whole_numbers_in_range(given):
    with pytest.raises(InvalidInput) as refusal:
        rules.listener({"port": given}, at="listeners.2.")
    assert refusal.value.field == "listeners.2.port"


@pytest.mark.parametrize(
    ("rule", "values", "field"),
    [
        (rules.backend, {"host": "a", "port": 1, "weight": 0}, "weight"),
        (rules.backend, {"host": "a", "port": 1, "weight": 1001}, "weight"),
        (rules.backend, {"host": "a", "port": 1, "health_check_path": "up"}, "health_check_path"),
        (rules.backend, {"port": 1}, "host"),
        (rules.backend, {"host": "a"}, "port"),
        (rules.route, {"methods": ["GET"]}, "path"),
        (rules.route, {"path": "/"}, "methods"),
        (rules.route, {"path": "/", "methods": ["GET"], "match": "regex"}, "match"),
        (rules.route, {"path": "/", "methods": ["GET"], "rewrite": "a"}, "rewrite"),
        (rules.route, {"path": "/", "methods": ["GET"], "timeout_ms": 0}, "timeout_ms"),
        (rules.route, {"path": "/", "methods": ["GET"], "timeout_ms": 300_001}, "timeout_ms"),
        (rules.route, {"path": "/", "methods": ["GET"], "retries": 6}, "retries"),
        (rules.route, {"path": "/", "methods": ["GET"], "retries": -1}, "retries"),
        (rules.policy, {"kind": "lua"}, "kind"),
        (rules.policy, {}, "kind"),
        (rules.listener, {"port": 80, "protocol": "FTP"}, "protocol"),
    ],
)
def test_every_refusal_names_its_field(rule, values, field):
    with pytest.raises(InvalidInput) as refusal:
        rule(values, at="here.")
    assert refusal.value.field == f"here.{field}"


def test_equal_names_compare_equal():
    composed, decomposed = "결제", "\u1100\u1167\u11af\u110c\u1166"
    assert text.line(f" {decomposed} ", field="name", limit=10) == composed


@pytest.mark.parametrize(
    "given", ["", "   ", "a\nb", "a\x00b", "x" * 121, "x" * 300_000, None, 5, ["a"]]
)
def test_a_name_is_one_line_of_text(given):
    with pytest.raises(InvalidInput) as refusal:
        text.line(given, field="name", limit=120)
    assert refusal.value.field == "name"


def test_prose_keeps_its_lines_and_nothing_else_that_is_invisible():
    assert text.prose("a\n\tb\r\nc", field="description") == "a\n\tb\r\nc"
    with pytest.raises(InvalidInput):
        text.prose("a\x00b", field="description")


def test_categories_keep_their_order_and_are_few():
    assert rules.categories(["b", " a ", "b"]) == ["b", "a"]
    with pytest.raises(InvalidInput):
        rules.categories([str(number) for number in range(11)])
