"""What differs between two bundles, told so that a provider understands it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from publishing.differences import Change, Difference, Field, compare

BUNDLE: dict[str, Any] = {
    "schema": 1,
    "publish_id": "p",
    "host": "api.example.com",
    "listeners": [{"port": 8080, "protocol": "HTTP"}],
    "auth": {"mode": "api-key"},
    "routes": [
        {
            "id": "r1",
            "match": "prefix",
            "path": "/orders",
            "methods": ["GET", "POST"],
            "timeout_ms": 1000,
            "upstream_id": "s1",
            "set_request_headers": [{"name": "x-team", "value": "a"}],
        }
    ],
    "upstreams": [
        {
            "id": "s1",
            "name": "Orders",
            "backends": [{"id": "b1", "host": "orders.svc", "port": 80, "weight": 1}],
        }
    ],
}


def changed(**parts: Any) -> dict[str, Any]:
    return copy.deepcopy(BUNDLE) | parts


def only(before: Any, after: Any) -> Difference:
    [found] = compare(before, after).differences
    return found


def test_the_same_is_no_difference():
    found = compare(BUNDLE, copy.deepcopy(BUNDLE))
    assert not found
    assert (found.added, found.removed, found.changed) == (0, 0, 0)
    assert not compare(None, None)


def test_a_value_of_its_own():
    found = only(BUNDLE, changed(host="shop.example.com"))
    assert (found.section, found.change) == ("host", Change.CHANGED)
    assert found.fields == (Field("", "api.example.com", "shop.example.com"),)


def test_fields_that_come_go_and_change():
    after = changed(auth={"mode": "oauth2", "issuer": "https://a.example.com", "scopes": ["r"]})
    found = only(BUNDLE, after)
    assert (found.section, found.change) == ("auth", Change.CHANGED)
    assert {each.name: (each.before, each.after) for each in found.fields} == {
        "mode": ("api-key", "oauth2"),
        "issuer": (None, "https://a.example.com"),
        "scopes": (None, ["r"]),
    }
    assert {each.name: (each.before, each.after) for each in only(after, BUNDLE).fields} == {
        "mode": ("oauth2", "api-key"),
        "issuer": ("https://a.example.com", None),
        "scopes": (["r"], None),
    }


def test_a_changed_route_names_its_service_and_each_header_alone():
    after = changed()
    route = after["routes"][0]
    route["timeout_ms"] = 2000
    route["set_request_headers"] = [{"name": "x-team", "value": "b"}, {"name": "x-v", "value": "1"}]
    found = only(BUNDLE, after)
    assert (found.section, found.change) == ("routes", Change.CHANGED)
    assert (found.id, found.name, found.of) == ("r1", "GET, POST /orders", "Orders")
    assert [(each.name, each.before, each.after) for each in found.fields] == [
        ("set_request_headers.x-team", "a", "b"),
        ("timeout_ms", 1000, 2000),
        ("set_request_headers.x-v", None, "1"),
    ]


def test_routes_that_come_and_go():
    after = changed()
    after["routes"][0] = {"id": "r2", "path": "/bills", "methods": ["GET"], "upstream_id": "s1"}
    found = compare(BUNDLE, after)
    assert [(each.change, each.name) for each in found.differences] == [
        (Change.ADDED, "GET /bills"),
        (Change.REMOVED, "GET, POST /orders"),
    ]
    assert (found.added, found.removed, found.changed) == (1, 1, 0)
    assert {each.name for each in found.differences[0].fields} == {"path", "methods"}


def test_a_route_made_anew_is_changed_and_not_lost_and_found():
    after = changed()
    after["routes"][0] |= {"id": "r9", "timeout_ms": 2000}
    found = only(BUNDLE, after)
    assert found.change is Change.CHANGED
    assert {each.name for each in found.fields} == {"id", "timeout_ms"}


def test_a_route_of_another_service_says_which():
    before, after = changed(), changed()
    for each in (before, after):
        each["upstreams"].append({"id": "s2", "name": "Bills"})
    after["routes"][0]["upstream_id"] = "s2"
    assert only(before, after).fields == (Field("service", "Orders", "Bills"),)


def test_backends_are_told_apart_from_their_service():
    after = changed()
    after["upstreams"][0]["backends"] = [
        {"id": "b1", "host": "orders.svc", "port": 80, "weight": 9},
        {"id": "b2", "host": "spare.svc", "port": 80, "weight": 1},
    ]
    found = compare(BUNDLE, after).differences
    assert [(each.section, each.change, each.name, each.of) for each in found] == [
        ("backends", Change.CHANGED, "orders.svc:80", "Orders"),
        ("backends", Change.ADDED, "spare.svc:80", "Orders"),
    ]


@pytest.mark.parametrize(
    ("part", "name", "after"),
    [
        ({"allow_origins": ["*"]}, "allow_origins", ["*"]),
        ({"limits": {"body": 5}}, "limits.body", 5),
    ],
)
def test_parts_that_nobody_foresaw_are_compared_as_well(part, name, after):
    found = only(BUNDLE, changed(future=part))
    assert (found.section, found.change) == ("future", Change.ADDED)
    assert found.fields == (Field(name, None, after),)
    route = changed()
    route["routes"][0]["future"] = part
    assert only(BUNDLE, route).fields == (Field(f"future.{name}", None, after),)


def test_lists_that_nobody_foresaw_have_items_with_or_without_a_name():
    named = only(BUNDLE, changed(secrets=[{"id": "k", "version": 1}]))
    assert (named.section, named.name, named.fields) == (
        "secrets",
        "k",
        (Field("version", None, 1),),
    )
    bare = compare(changed(rules=[{"allow": "10/8"}]), changed(rules=[{"allow": "11/8"}]))
    assert sorted(each.change for each in bare.differences) == [Change.ADDED, Change.REMOVED]


def test_from_nothing_everything_is_added_and_to_nothing_removed():
    first, last = compare(None, BUNDLE), compare(BUNDLE, None)
    sections = ["host", "listeners", "auth", "routes", "upstreams", "backends"]
    assert [each.section for each in first.differences] == sections
    assert {each.change for each in first.differences} == {Change.ADDED}
    assert {each.change for each in last.differences} == {Change.REMOVED}
    assert len(first.differences) == len(last.differences)


def test_the_order_of_items_is_no_difference():
    before = changed(listeners=[{"port": 1}, {"port": 2}])
    assert not compare(before, changed(listeners=[{"port": 2}, {"port": 1}]))
