"""What a provider may write, value by value."""

from __future__ import annotations

import pytest

from catalog import rules, text
from catalog.addresses import canonical, host, path, template
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
        "/a%4", "/a%zz", "/a%\nb", "/a b", "/a\tb", "/a\x00b", "/a\x7fb", "/a*", "/{id}", "/a}", '/a"b',
        "/a<b>", "/a|b", "/a^b", "/a`b", "http://host/a", "/" + "a" * 500, "/" + "결" * 100,
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
        ("/", "/"),
        ("/plain", "/plain"),
        ("/users/{id}", "/users/{id}"),
        ("/{a}", "/{a}"),
        ("/{a}/{b}/{_c-d.e2}", "/{a}/{b}/{_c-d.e2}"),
        ("/café/{id}/%41", "/caf%C3%A9/{id}/A"),
        ("/" + "/".join(f"{{p{number}}}" for number in range(9)), None),
        ("/%7Bid%7D", "/%7Bid%7D"),
    ],
)
def test_whole_segments_of_a_route_may_be_parameters(given, kept):
    assert template(given, field="path") == (kept or given)
    assert template(template(given, field="path"), field="path") == (kept or given)


@pytest.mark.parametrize(
    "given",
    [
        "{id}", "/users/{id}.json", "/users/x{id}", "/{a}{b}", "/{}", "/{1a}", "/{a b}", "/{a/b}", "/{a",
        "/a}", "/{{a}}", "/{id}/x/{id}", "/{id}/", "/{id}//x", "/{id}/..", "/{id}?x=1", "/{é}", "/{a%20}",
        "/{" + "a" * 65 + "}", "/" + "/".join(f"{{p{number}}}" for number in range(10)),
    ],
)  # fmt: skip
def test_parameters_of_another_form_are_refused(given):
    with pytest.raises(InvalidInput) as refusal:
        template(given, field="routes.0.path")
    assert refusal.value.field == "routes.0.path"


def test_what_a_parameter_is_called_means_nothing():
    assert canonical("/users/{id}/x") == canonical("/users/{name}/x") == "/users/{}/x"
    assert canonical("/users/%7Bid%7D") == "/users/%7Bid%7D"


def test_a_rewrite_may_use_the_parameters_of_the_path():
    values = {"path": "/u/{id}/o/{order}", "methods": ["GET"], "rewrite": "/v2/{order}/of/{id}"}
    assert rules.route(values)["rewrite"] == "/v2/{order}/of/{id}"
    with pytest.raises(InvalidInput, match=r"“\{user\}” is not a parameter of the path"):
        rules.route(values | {"rewrite": "/{user}", "path": "/u/{id}"})


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
        (rules.route, {"path": "/{id}", "methods": ["GET"], "rewrite": "/{no}"}, "rewrite"),
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
