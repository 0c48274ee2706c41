"""/api/schema: what it says about every operation, and that the API does what it says.

The names of the specs are here word for word: a rename breaks whoever programmed against them.
"""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from openapi_schema_validator import OAS30WriteValidator
from openapi_spec_validator import validate

from accounts.models import Role
from tests.test_router_walk import CONVERTER, as_user, call, methods
from tests.walk.registry import API
from tests.walk.world import World

PREFIX = "/api/v1/"
EDITS = ("put", "patch", "delete")
# Edits without a version: what happens to these once happens for good, or the body has a version.
UNVERSIONED = re.compile(
    r"registration-tokens/|agents/.*/revoke|credentials/|imports/|publish-draft$|subscriptions/.*/plan$"
)
PERMISSION = re.compile(r"\*\*Permission:\*\* (none; everybody|whoever|every role|members|admins)")


@pytest.fixture
def world(db) -> World:
    return World()


@pytest.fixture(scope="module")
def schema(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        return Client().get("/api/schema").json()


def operations(schema):
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", path, method, operation


def test_it_is_valid(schema):
    validate(schema)


def test_every_operation_is_described(schema):
    wrong = {}
    for name, path, method, operation in operations(schema):
        responses = operation["responses"]
        wants = {"401", "404"} if operation["x-permission"]["role"] != "none" else set()
        wants |= {"403"} if operation["x-permission"]["role"] in {"member", "admin"} else set()
        wants |= {"400"} if "requestBody" in operation else set()
        wants |= {"404"} if "{" in path else set()
        found = [
            not operation.get("summary") and "no summary",
            not PERMISSION.search(operation.get("description", "")) and "no permission",
            not operation.get("tags") and "no tag",
            wants - set(responses),
            method in EDITS
            and not UNVERSIONED.search(path)
            and "412" not in responses
            and "no If-Match",
            *(f"{code} without words" for code in responses if not responses[code]["description"]),
        ]
        if any(found):
            wrong[name] = [each for each in found if each]
    assert wrong == {}


def test_every_error_has_the_envelope_and_its_own_words(schema):
    failure = {"$ref": "#/components/schemas/Failure"}
    for name, _path, _method, operation in operations(schema):
        for status, response in operation["responses"].items():
            if status >= "400":
                media = response["content"]["application/json"]
                assert media["schema"] == failure, (name, status)
                assert media["example"]["error"]["code"], (name, status)


def test_every_body_has_an_example_that_fits_it(schema):
    for name, _path, _method, operation in operations(schema):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            assert content.get("examples"), (name, media)
            whole = {"allOf": [content["schema"]], "components": schema["components"]}
            for example in content["examples"].values():
                OAS30WriteValidator(whole).validate(example["value"])


def test_every_parameter_has_words_or_speaks_for_itself(schema):
    plain = {"page", "page_size", "name", "version"}
    for name, _path, _method, operation in operations(schema):
        for parameter in operation.get("parameters", []):
            told = parameter.get("description") or parameter["schema"].get("enum")
            typed = parameter["schema"].get("format") or parameter["schema"]["type"] != "string"
            assert told or typed or parameter["name"] in plain or parameter["in"] == "query", name


def test_operations_have_ids_of_their_own(schema):
    ids = [operation["operationId"] for _n, _p, _m, operation in operations(schema)]

    assert len(ids) == len(set(ids))
    assert not [each for each in ids if re.search(r"_\d$", each)]


# --- What it says about permissions and versions is so ----------------------------------------------


def verbs(route: str) -> list[str]:
    return [method for method in methods("api/v1/" + route) if method != "head"]


def documented(schema, route: str, method: str) -> dict:
    paths = {re.sub(r"{\w+}", "{}", path): item for path, item in schema["paths"].items()}
    return paths[PREFIX + CONVERTER.sub("{}", route)][method]


@pytest.mark.parametrize("kind", ["operator", "provider", "consumer"])
def test_members_may_what_is_said_to_be_for_members(schema, world, kind):
    """Viewers: tests/test_router_walk.py. Deletions last, or nothing would be left to ask about."""
    client, wrong = as_user(world.somebody(kind, Role.MEMBER)), {}
    targets = [(route, target) for route, target in API.items() if target.owner == kind]
    for last in (False, True):
        for route, target in targets:
            for method in verbs(route):
                if (method == "delete") != last:
                    continue
                path = "/api/v1/" + filled(route, target, world)
                status = call(client, method, path, target, world).status_code
                role = documented(schema, route, method)["x-permission"]["role"]
                if (status == 403) != (role == "admin"):
                    wrong[f"{method.upper()} {route}"] = (status, role)
    # Somebody else's token: its description says so.
    assert wrong.pop("POST auth/tokens/<uuid:pk>/revoke", None) in {None, (403, "member")}
    assert wrong == {}


def filled(route: str, target, world: World) -> str:
    return CONVERTER.sub(lambda match: str(getattr(world, target.ids[match[1]]).pk), route)


def versioned(schema) -> list[tuple[str, str]]:
    found = []
    for route in API:
        for method in verbs(route):
            names = {
                each["name"] for each in documented(schema, route, method).get("parameters", [])
            }
            if "If-Match" in names:
                found.append((route, method))
    return found


def read(client, route, target, world):
    """What an edit of `route` must have read before."""
    row = route.removesuffix("/logo").removesuffix("/maintenance").removesuffix("/plan")
    return client.get("/api/v1/" + filled(row, target, world))


def send(client, method, route, target, world, seen):
    path, headers = "/api/v1/" + filled(route, target, world), {"If-Match": seen}
    if route.endswith("logo") and method == "put":
        form = '--x\r\nContent-Disposition: form-data; name="logo"; filename="a.png"\r\n\r\nx\r\n--x--\r\n'
        kind = "multipart/form-data; boundary=x"
        return client.put(path, data=form, content_type=kind, headers=headers)
    data = json.dumps(dict(target.body(world)))
    return getattr(client, method)(
        path, data=data, content_type="application/json", headers=headers
    )


def test_no_edit_overwrites_what_its_caller_never_saw(schema, world):
    clients = {kind: as_user(world.somebody(kind, Role.ADMIN)) for kind in world.organizations}
    edits = versioned(schema)
    wrong = {}
    for route, method in edits:
        target = API[route]
        client = clients[target.owner]
        answer = send(client, method, route, target, world, '"an older one"')
        error = answer.json()["error"] or {}
        shown = read(client, route, target, world)
        now = (error.get("details") or {}).get("version")
        if answer.status_code != 412 or shown.headers.get("ETag") != f'"{now}"':
            wrong[f"{method} {route}"] = (answer.status_code, error, shown.headers.get("ETag"))
    assert wrong == {}
    assert len(edits) >= 23


def test_whoever_read_the_newest_version_may_edit(schema, world):
    """The bodies of the walk need not be accepted for another reason; stale they are not."""
    clients = {kind: as_user(world.somebody(kind, Role.ADMIN)) for kind in world.organizations}
    for route, method in sorted(versioned(schema), key=lambda each: each[1] == "delete"):
        target = API[route]
        client = clients[target.owner]
        shown = read(client, route, target, world)
        answer = send(client, method, route, target, world, shown.headers.get("ETag", "*"))
        assert answer.status_code not in {412, 500}, (route, method, answer.content)


# --- The names of the specs -------------------------------------------------------------------------

ENDPOINTS = {
    "operator/clusters": "get post",
    "operator/clusters/{}": "get put delete",
    "operator/clusters/{}/maintenance": "post",
    "operator/clusters/{}/registration-tokens": "post",
    "provider/products/{}/publishes": "get post",
    "provider/product-publishes": "post",
    "provider/product-publishes/{}": "get put delete",
    "provider/product-publishes/{}/publish": "post",
    "provider/product-publishes/{}/withdraw": "post",
    "provider/gateways": "get",
    "public/products": "get",
    "customer/subscriptions": "post",
    "customer/credentials": "post",
}
CLUSTER = """
    id operator_tenant_id name description region status metadata agent_count active_agent_count
    last_heartbeat created_at updated_at agents cloud_provider capabilities
"""
PUBLISH = """
    id product_id provider_tenant_id gateway_id cluster_id environment hostname_base api_services route_ids
    auth_mode auth_config visibility approval_required status published_at published_by withdrawn_at
    withdrawn_by created_at updated_at
"""
WORDS = {
    ("ClusterDetail", "status"): "pending active inactive maintenance",
    ("ProductPublishDetail", "status"): "DRAFT PUBLISHED WITHDRAWN",
    ("ProductPublishDetail", "environment"): "dev stage prod",
    ("ProductPublishDetail", "auth_mode"): "api-key oauth2 none",
    ("ProductPublishDetail", "visibility"): "public private",
}


@pytest.mark.parametrize(("path", "verbs"), ENDPOINTS.items())
def test_endpoints_of_the_specs(schema, path, verbs):
    paths = {re.sub(r"{\w+}", "{}", each): item for each, item in schema["paths"].items()}

    assert set(verbs.split()) <= set(paths[PREFIX + path])


@pytest.mark.parametrize(
    ("shape", "fields"), [("ClusterDetail", CLUSTER), ("ProductPublishDetail", PUBLISH)]
)
def test_fields_of_the_specs(schema, shape, fields):
    assert set(fields.split()) <= set(schema["components"]["schemas"][shape]["properties"])


@pytest.mark.parametrize(("where", "words"), WORDS.items())
def test_status_words_of_the_specs(schema, where, words):
    shapes = schema["components"]["schemas"]
    field = shapes[where[0]]["properties"][where[1]]
    reference = field.get("$ref") or field["allOf"][0]["$ref"]

    assert set(shapes[reference.rpartition("/")[2]]["enum"]) == set(words.split())
