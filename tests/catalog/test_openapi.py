"""Documents of every kind and every kind of trouble, as previews. No database."""

from __future__ import annotations

import json
import time

import pytest

from catalog.models import Route
from catalog.openapi import changes, problems, reading, text
from catalog.openapi.problems import Unreadable

PETS = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1.10", "description": "All of them."},
    "servers": [{"url": "https://api.example.com/v1"}],
    "paths": {
        "/pets": {"get": {"operationId": "list", "summary": "List"}, "post": {}},
        "/pets/{id}": {"get": {"deprecated": True}, "parameters": []},
    },
}


def read(document, **options):
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return reading.read(text.load(raw), **options)


def refused(document) -> Unreadable:
    with pytest.raises(Unreadable) as error:
        read(document)
    assert problems.words(error.value.code, error.value.details)
    return error.value


def notes(preview) -> list[tuple[str, str]]:
    for note in preview["notes"]:
        assert problems.reason(note["code"], note["details"])
    return [(note["where"], note["code"]) for note in preview["notes"]]


def paths(preview) -> dict[str, list[str]]:
    return {route["path"]: route["methods"] for route in preview["routes"]}


def with_paths(**items):
    return PETS | {"paths": items}


def test_openapi_3_0():
    found = read(PETS)

    assert (found["format"], found["name"], found["version"]) == ("OpenAPI 3.0.3", "Pets", "1.10")
    assert found["description"] == "All of them."
    assert found["base_path"] == "/v1"
    assert found["backends"] == [{"host": "api.example.com", "port": 443, "tls": True}]
    assert paths(found) == {"/pets": ["GET", "POST"], "/pets/{id}": ["GET"]}
    assert all(route["match"] == "exact" for route in found["routes"])
    assert found["routes"][0]["operations"][0] == {
        "method": "GET",
        "name": "list",
        "summary": "List",
        "deprecated": False,
    }
    assert found["operation_count"] == 3
    assert notes(found) == []


def test_openapi_3_1_in_yaml():
    found = read(
        b"""
openapi: 3.1.0
info: {title: Pets, version: 2.10}
servers:
  - url: http://{region}.example.com:{port}/{base}/
    variables: {region: {default: eu}, port: {default: 8080}, base: {default: v2}}
paths:
  /pets:
    $ref: '#/components/pathItems/pets'
webhooks: {newPet: {post: {}}}
components: {pathItems: {pets: {get: {}}}}
"""
    )
    assert (found["version"], found["base_path"]) == ("2.10", "/v2")
    assert found["backends"] == [{"host": "eu.example.com", "port": 8080, "tls": False}]
    assert paths(found) == {"/pets": ["GET"]}
    assert notes(found) == [("webhooks", "webhooks")]


def test_swagger_2_0():
    found = read(
        b"swagger: '2.0'\ninfo: {title: Old, version: 1}\nhost: old.example.com\nbasePath: /api\n"
        b"schemes: [http, https]\npaths: {/a: {get: {}}}"
    )
    assert (found["format"], found["version"], found["base_path"]) == ("Swagger 2.0", "1", "/api")
    assert found["backends"] == [{"host": "old.example.com", "port": 443, "tls": True}]


def test_servers_relative_to_the_link_it_came_from():
    document = PETS | {"servers": [{"url": "../v3"}]}
    found = read(document, source_url="https://docs.example.com/specs/openapi.yaml")
    assert found["base_path"] == "/v3"
    assert found["backends"][0]["host"] == "docs.example.com"


@pytest.mark.parametrize(
    ("servers", "base_path", "backends", "noted"),
    [
        (None, "/", 0, []),
        ([], "/", 0, []),
        ("nonsense", "/", 0, []),
        ([{"url": "/v1"}], "/v1", 0, []),
        ([{"url": "https://{where}/x"}], "/", 0, ["server"]),
        ([{"url": "ftp://example.com"}, {"url": "https://b.example.com"}], "/", 1, ["server"]),
        ([{"url": "https://a.example.com"}, {"url": "https://b.example.com"}], "/", 1, ["other_server"]),
    ],
)  # fmt: skip
def test_servers_of_all_kinds(servers, base_path, backends, noted):
    found = read(PETS | {"servers": servers})
    assert (found["base_path"], len(found["backends"])) == (base_path, backends)
    assert [code for _where, code in notes(found)] == noted


@pytest.mark.parametrize(
    ("document", "code"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"\xff\xfa", "encoding"),
        (b"a\x00b", "encoding"),
        (b"{", "yaml"),
        (b'{"a": }', "json"),
        (b"a: b: c", "yaml"),
        (b"hello", "not_object"),
        (b"[1, 2]", "not_object"),
        (b"<!doctype html><title>x</title>", "not_object"),
        ({"name": "package.json"}, "not_openapi"),
        ({"openapi": "4.0.0", "paths": {}}, "version"),
        ({"openapi": 3, "paths": {}}, "version"),
        ({"swagger": "1.2"}, "not_openapi"),
        ({"openapi": "3.0.0", "paths": {}}, "no_paths"),
        ({"openapi": "3.1.0", "webhooks": {"x": {"post": {}}}}, "no_paths"),
        ({"openapi": "3.0.0", "paths": ["/a"]}, "no_paths"),
        (b'{"openapi": "3.0.0", "paths": {"/a": {"get": {}}, "/a": {"post": {}}}}', "twice"),
        (b"openapi: 3.0.0\npaths:\n  /a: {get: {}}\n  /a: {post: {}}\n", "twice"),
        (b"openapi: 3.0.0\npaths:\n  /a: {get: {}, get: {}}\n", "twice"),
        (b"x" * (6 * 1024 * 1024), "too_large"),
        (b"[" * 1_000_000, "deep"),
        (b'{"a":' * 100_000, "deep"),
        (b"{a: " * 100_000, "deep"),
        (b"a: &a [*a]", "cycle"),
        (b"a: *nobody", "yaml"),
        (b"--- {a: 1}\n--- {b: 2}\n", "documents"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "json"),
    ],
)
def test_what_cannot_be_read_is_told(document, code):
    started = time.monotonic()
    assert refused(document).code == code
    assert time.monotonic() - started < 2


def test_a_yaml_bomb_costs_nothing():
    lists = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lists += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert refused("\n".join(lists).encode()).code == "bomb"
    wide = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1000)) + "}\n"
    wide += "".join(f"b{n}: {{<<: [{', '.join(['*a'] * 100)}]}}\n" for n in range(1000))
    assert refused(wide.encode()).code == "bomb"


def test_aliases_and_merge_keys_within_reason():
    found = read(
        b"openapi: 3.0.0\nx-base: &base {get: {}, post: {}}\n"
        b"paths:\n  /a: *base\n  /b: {<<: *base, put: {}}\n"
    )
    assert paths(found) == {"/a": ["GET", "POST"], "/b": ["GET", "POST", "PUT"]}


def test_recursive_references_in_schemas_mean_nothing_to_routing():
    node = {"properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    assert notes(read(PETS | {"components": {"schemas": {"Node": node}}})) == []


def test_path_references():
    found = read(
        with_paths(
            **{
                "/remote": {"$ref": "https://evil.example.com/a.yaml#/x"},
                "/file": {"$ref": "other.yaml"},
                "/gone": {"$ref": "#/components/pathItems/gone"},
                "/self": {"$ref": "#/paths/~1self"},
                "/there": {"$ref": "#/paths/~1back"},
                "/back": {"$ref": "#/paths/~1there"},
                "/other": {"$ref": "#/paths/~1real%2Fdeep"},
                "/real/deep": {"get": {}},
                "/null": None,
            }
        )
    )
    assert paths(found) == {"/other": ["GET"], "/real/deep": ["GET"]}
    assert notes(found) == [
        ("/remote", "remote"),
        ("/file", "remote"),
        ("/gone", "missing"),
        ("/self", "circular"),
        ("/there", "circular"),
        ("/back", "circular"),
        ("/null", "malformed"),
    ]


def test_paths_that_become_no_route_or_another_one():
    found = read(
        with_paths(
            **{
                "pets": {"get": {}},
                "/trace": {"trace": {}},
                "/none": {"parameters": []},
                "/a.{format}": {"get": {}},
                "/slash/": {"get": {}},
                "/query?x=1": {"get": {}},
                "/own": {"get": {"servers": [{"url": "https://x"}]}},
                "x-ext": {"get": {}},
            }
        )
    )
    assert paths(found) == {"/slash": ["GET"], "/own": ["GET"]}
    assert {route["path"]: route["match"] for route in found["routes"]}["/slash"] == "prefix"
    assert notes(found) == [
        ("pets", "no_slash"),
        ("/trace", "method"),
        ("/none", "no_methods"),
        ("/a.{format}", "refused"),
        ("/slash/", "trailing"),
        ("/query?x=1", "refused"),
        ("GET /own", "servers"),
    ]


def test_two_paths_that_match_the_same_calls_are_one_route():
    found = read(
        with_paths(
            **{"/u/{id}": {"get": {}}, "/u/{name}": {"get": {}, "put": {}}, "/u/me": {"get": {}}}
        )
    )
    assert paths(found) == {"/u/{id}": ["GET", "PUT"], "/u/me": ["GET"]}
    assert notes(found) == [("/u/{name}", "taken")]


def test_names_in_other_scripts_and_directions():
    title = "متجر 🐈‍⬛ 반려동물"
    found = read(PETS | {"info": {"title": f"{title}\x00\ud800\n", "version": None}})
    assert (found["name"], found["version"]) == (title, "1.0")
    assert json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize(("length", "noted"), [(10_000, []), (10_001, ["cut"])])
def test_long_descriptions(length, noted):
    found = read(PETS | {"info": {"title": "Pets", "description": "설" * length}})
    assert len(found["description"]) == 10_000
    assert [code for _where, code in notes(found)] == noted


def test_oddities_do_not_crash_it():
    for odd in (None, True, 5, "x", [], {}, [[]]):
        for key in ("info", "servers", "webhooks", "components", "host", "schemes", "basePath"):
            read(PETS | {key: odd})
            read({"swagger": "2.0", "paths": PETS["paths"]} | {key: odd})
        found = read(PETS | {"paths": {"/a": {"get": odd}, "/b": odd}})
        assert paths(found)["/a"] == ["GET"]


# --- Changes ---------------------------------------------------------------------------------------


def route(path, *methods, **fields):
    return Route(path=path, methods=list(methods), match=fields.pop("match", "exact"), **fields)


def told(found):
    return [(row.kind, row.path, row.methods, row.more, row.less) for row in found.rows]


def test_changes_of_a_new_service_are_all_additions():
    found = changes.compare(read(PETS)["routes"], [])
    assert found.counts == {"added": 2, "changed": 0, "removed": 0, "kept": 0}


def test_changes_keep_ids_and_settings_and_split_routes():
    wanted = read(PETS)["routes"]
    slow = route("/pets", "POST", timeout_ms=60_000)
    there = [
        route("/pets", "GET"),
        slow,
        route("/pets/{name}", "DELETE", "GET"),
        route("/old", "GET"),
    ]

    found = changes.compare(wanted, there)

    assert told(found) == [
        ("removed", "/old", [], [], ["GET"]),
        ("changed", "/pets/{name}", ["GET"], [], ["DELETE"]),
        ("kept", "/pets", ["GET", "POST"], [], []),
    ]
    assert [values["id"] for values in found.routes] == [row.pk for row in there[:3]]
    assert found.routes[1]["timeout_ms"] == 60_000
    assert changes.compare(wanted, there, remove_missing=False).counts["removed"] == 0


def test_changes_add_methods_to_the_first_route_of_a_path():
    found = changes.compare(
        read(PETS)["routes"], [route("/pets", "GET"), route("/pets/{id}", "GET")]
    )
    assert told(found)[0] == ("changed", "/pets", ["GET"], ["POST"], [])
    assert found.routes[0]["methods"] == ["GET", "POST"]
    assert found.fingerprint != changes.compare(read(PETS)["routes"], []).fingerprint
