"""Walks the URL router: whoever adds an endpoint says here what it is about, or this fails.

For every route of tests/walk/registry.py: a stranger's 404 and a malformed id's 404, a viewer's 403 on every
write, and nothing without signing in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import get_resolver

from accounts.models import Role
from config.asgi import application
from config.routing import websocket_urlpatterns
from tests.walk.registry import API, ELSEWHERE, PAGES, SOCKETS, Target
from tests.walk.world import World

PREFIX = "api/v1/"
CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
WRITES = ("post", "put", "patch", "delete")
ALL = {f"{PREFIX}{route}": target for route, target in API.items()} | PAGES


def routes(resolver=None, before: str = "") -> Iterator[tuple[str, object]]:
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if route.startswith(("admin/", "oidc/")):
            continue
        if hasattr(entry, "url_patterns"):
            yield from routes(entry, route)
        else:
            yield route, entry.callback


CALLBACKS = dict(routes())


def methods(route: str) -> list[str]:
    """What the endpoint answers to; pages say 405 themselves."""
    return list(getattr(CALLBACKS[route], "actions", None) or ("get", "post"))


def address(route: str, target: Target, world: World, **instead: str) -> str:
    def fill(match: re.Match) -> str:
        name = match[1]
        return instead.get(name) or str(getattr(world, target.ids[name]).pk)

    return "/" + CONVERTER.sub(fill, route)


def call(client: Client, method: str, path: str, target: Target, world: World):
    data = target.body(world)
    if not path.startswith("/api/"):
        return getattr(client, method)(path, data if method == "post" else None)
    body = {} if method == "get" else {"data": data, "content_type": "application/json"}
    return getattr(client, method)(path, **body)


def as_user(user) -> Client:
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def walk(client: Client, world: World, wanted, *, only=None, spoil: bool = False) -> dict[str, int]:
    """The answers that are not among `wanted`, by method and path."""
    wrong = {}
    for route, target in ALL.items():
        if (spoil or only == "ids") and not target.ids:
            continue
        spoilt = dict.fromkeys(target.ids, "nonsense") if spoil else {}
        for method in methods(route):
            if only == "writes" and method not in WRITES:
                continue
            path = address(route, target, world, **spoilt)
            status = call(client, method, path, target, world).status_code
            if status not in wanted and not (status == 405 and not route.startswith(PREFIX)):
                wrong[f"{method.upper()} {route}"] = status
    return wrong


@pytest.fixture
def world(db) -> World:
    return World()


def test_every_route_is_registered():
    assert set(CALLBACKS) - set(ALL) - set(ELSEWHERE) == set(), "add it to tests/walk/registry.py"
    assert set(ALL) | set(ELSEWHERE) == set(CALLBACKS), "registered but gone"


def test_every_id_in_a_path_names_an_object():
    for route, target in (ALL | SOCKETS).items():
        assert set(CONVERTER.findall(route)) == set(target.ids), route


def test_for_a_stranger_nothing_exists(world):
    assert walk(as_user(world.stranger()), world, {404}, only="ids") == {}


def test_a_malformed_id_is_not_found(world):
    assert walk(as_user(world.stranger()), world, {404}, spoil=True) == {}


@pytest.mark.parametrize("kind", ["operator", "provider", "consumer"])
def test_a_viewer_changes_nothing(world, kind):
    client, wrong = as_user(world.somebody(kind, Role.VIEWER)), {}
    for route, target in ALL.items():
        if target.owner != kind:
            continue
        path = address(route, target, world)
        for method in (method for method in methods(route) if method in WRITES):
            status = call(client, method, path, target, world).status_code
            if status not in ({403} if route.startswith(PREFIX) else {403, 405}):
                wrong[f"{method.upper()} {route}"] = status
    assert wrong == {}


@pytest.mark.parametrize("kind", ["operator", "provider", "consumer"])
def test_a_viewer_reads_everything(world, kind):
    client = as_user(world.somebody(kind, Role.VIEWER))
    wrong = {}
    for route, target in ALL.items():
        if target.owner == kind and "get" in methods(route):
            status = client.get(address(route, target, world)).status_code
            if status not in ({200} if route.startswith(PREFIX) else {200, 403, 405}):
                wrong[route] = status
    assert wrong == {}


def test_nothing_without_signing_in(world):
    client, wrong = as_user(None), {}
    for route, target in ALL.items():
        for method in methods(route):
            answer = call(client, method, address(route, target, world), target, world)
            fine = answer.status_code == 401
            if not route.startswith(PREFIX):
                fine = answer.status_code == 405 or answer.get("Location", "").startswith("/login?")
            if not fine:
                wrong[f"{method.upper()} {route}"] = answer.status_code
    assert wrong == {}


def test_every_socket_is_registered():
    assert {str(route.pattern) for route in websocket_urlpatterns} == set(SOCKETS)


async def socket(path: str, user, world: World) -> tuple[bool, int | None]:
    """Past the session, which another test covers: the router and the consumer themselves."""
    inner = application.application_mapping["websocket"]
    while not hasattr(inner, "routes"):
        inner = getattr(inner, "inner", None) or inner.application
    communicator = WebsocketCommunicator(inner, path)
    communicator.scope |= {"user": user, "session": {}}
    answer = await communicator.connect()
    await communicator.disconnect()
    return answer


@pytest.mark.django_db(transaction=True)
async def test_sockets_open_for_those_who_see_the_page():
    from asgiref.sync import sync_to_async

    world = await sync_to_async(World)()
    stranger = await sync_to_async(world.stranger)()
    for route, target in SOCKETS.items():
        viewer = await sync_to_async(world.somebody)(target.owner, Role.VIEWER)
        path = address(route, target, world)

        assert (await socket(path, viewer, world))[0] is True, route
        assert await socket(path, AnonymousUser(), world) == (False, 4404), route
        if target.ids:
            assert await socket(path, stranger, world) == (False, 4404), route

    for nowhere in ("/ws/nothing", "/ws/publishes/5", "/ws/", "/"):
        assert await socket(nowhere, viewer, world) == (False, 4404), nowhere


NO_OBJECTS = (b"", b"null", b"[]", b'"x"', b"5", b'{"a":', b'{"a":NaN}', b"\xff")
ODD_VALUES = (None, True, -1, 10**30, 1.5, "", "\x00", "\u202e", "x" * 100_000, [], [[]], {}, [{}])


def odd_bodies(body: dict) -> Iterator[bytes]:
    yield from NO_OBJECTS
    for field in body:
        for value in ODD_VALUES:
            yield json.dumps(body | {field: value}).encode()


@pytest.mark.parametrize("kind", ["operator", "provider", "consumer"])
def test_no_body_crashes_an_endpoint(world, kind):
    """JSON with wrong types, or none: an answer that blames the caller, or one that is fine."""
    client, wrong = as_user(world.somebody(kind, Role.ADMIN)), {}
    for route, target in API.items():
        if target.owner != kind:
            continue
        path = address(PREFIX + route, target, world)
        for method in set(methods(PREFIX + route)) & {"post", "put"}:
            for raw in odd_bodies(dict(target.body(world))):
                answer = getattr(client, method)(path, data=raw, content_type="application/json")
                if answer.status_code >= 500 or "success" not in answer.json():
                    wrong[f"{method.upper()} {route}", raw[:80]] = answer.status_code
    assert wrong == {}
