"""No page and no read of the API asks the database more often because there is more to show."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from tests.crowd import crowd
from tests.test_router_walk import ALL, address, as_user, methods
from tests.walk.world import World

MOST = 12
CHECK = 1  # outside of a transaction: whether an answer may be shared (core/answers.py)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [10, 200])
def test_every_page_and_read(count):
    world = World()
    crowd(world, count)
    clients = {kind: as_user(world.somebody(kind, Role.ADMIN)) for kind in world.organizations}
    wrong = {}
    for route, target in ALL.items():
        if "get" not in methods(route):
            continue
        with CaptureQueriesContext(connection) as asked:
            answer = clients[target.owner].get(address(route, target, world))
        if len(asked) + CHECK > MOST or answer.status_code >= 500:
            wrong[route] = (len(asked), answer.status_code)
    assert wrong == {}
