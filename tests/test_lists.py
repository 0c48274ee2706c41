"""Every list of the API: what it is narrowed and ordered by, and that it lies about neither."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from tests.test_openapi import PREFIX, documented, filled, schema, verbs, world
from tests.test_router_walk import as_user
from tests.walk.registry import API, Target

__all__ = ["schema", "world"]

PUBLIC = {"public/products": Target("provider")}
# One answer of a few rows, which no page parts: what a word finds, at most six of each kind.
UNPAGED = {"search"}


def lists(schema) -> list[tuple[str, Target, dict]]:
    found = []
    for route, target in (API | PUBLIC).items():
        if "get" in (["get"] if route in PUBLIC else verbs(route)):
            operation = documented(schema, route, "get")
            answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
            if _is_list(answer["properties"]["data"], schema) and route not in UNPAGED:
                found.append((route, target, operation))
    return found


def _is_list(data, schema) -> bool:
    if "$ref" in data:
        data = schema["components"]["schemas"][data["$ref"].rpartition("/")[2]]
    return data.get("type") == "array" or "items" in data.get("properties", {})


@pytest.fixture
def clients(world) -> dict[str, Client]:
    return {kind: as_user(world.somebody(kind, Role.ADMIN)) for kind in world.organizations}


@pytest.fixture
def every(schema, world, clients):
    """(name, get) of each list, where get(**query) asks it."""

    def asker(route, target):
        path = PREFIX + filled(route, target, world)
        return lambda **query: clients[target.owner].get(path, query)

    return [(route, asker(route, target), said) for route, target, said in lists(schema)]


def test_there_are_as_many_as_ever(schema):
    assert len(lists(schema)) >= 24


def test_parameters_that_do_not_exist_are_named(every):
    for name, get, _said in every:
        answer = get(colour="red", status__in="x")
        error = answer.json()["error"]

        assert (answer.status_code, error["code"]) == (400, "invalid"), name
        assert set(error["details"]) == {"colour", "status__in"}, name
        assert "page_size" in error["details"]["colour"][0], name


WRONG = {"uuid": "5", "integer": "many", "boolean": "perhaps"}


def test_values_that_do_not_exist_are_named(every):
    """Whatever has a list of values, a format or a type: something else is a 400 that names it."""
    asked = 0
    for name, get, said in every:
        for parameter in said.get("parameters", []):
            shape, which = parameter["schema"], parameter["name"]
            wrong = WRONG.get(shape.get("format") or shape.get("type")) or (
                "nonsense" if "enum" in shape.get("items", shape) else None
            )
            if parameter["in"] != "query" or which in {"page", "page_size"} or wrong is None:
                continue
            answer, asked = get(**{which: wrong}), asked + 1
            if which == "cluster_id" and name == "provider/gateways":
                assert answer.status_code == 404
                continue
            assert answer.status_code == 400, (name, which, answer.content)
            assert which in answer.json()["error"]["details"], (name, which)
    assert asked > 50


def test_every_order_that_is_offered_can_be_had(every):
    for name, get, said in every:
        terms = [each for each in said["parameters"] if each["name"] == "ordering"]
        assert terms, name
        assert "Usually" in terms[0]["description"], name
        for term in terms[0]["schema"]["items"]["enum"]:
            assert get(ordering=term).status_code == 200, (name, term)


def test_all_of_them_have_pages(every):
    for name, get, _said in every:
        data = get(page_size=1).json()["data"]

        assert {"items", "page", "page_size", "total", "pages"} == set(data), name
        assert len(data["items"]) <= data["page_size"] == 1, name
        assert get(page=data["pages"] + 1).status_code == 404, name


def test_the_id_settles_every_tie(every):
    """Read from what the database is asked for a page's keys: few rows come in order anyway."""
    seen = 0
    for name, get, said in every:
        terms = next(each for each in said["parameters"] if each["name"] == "ordering")
        for query in ({}, {"ordering": terms["schema"]["items"]["enum"][0]}):
            with CaptureQueriesContext(connection) as caught:
                total = get(**query).json()["data"]["total"]
            asked = [each["sql"] for each in caught]
            if total:
                seen += 1
                cut = next(sql for sql in asked if "COUNT(*) OVER ()" in sql)
                order = cut.rpartition("ORDER BY")[2].partition(" LIMIT")[0]
                last = order.split(",")[-1].split()[0]
                # 1 is the first column that is asked for: the key.
                assert last == "1" or last.endswith('"id"'), (name, query, order)
                assert '"id" AS "pk", COUNT(*) OVER ()' in cut, name
    assert seen > 40
