"""What people and programs really send, over REST; what a document, a picture, a certificate or the wizard
can be is tested beside those."""

from __future__ import annotations

import json

import pytest

from accounts.models import Role
from tests.test_router_walk import as_user
from tests.walk.world import World

NAME = "결제 \u200fشراء\u200f 🚀"
LONG = "설" * 10_000


@pytest.fixture
def world(db) -> World:
    return World()


@pytest.fixture
def send(world):
    clients = {kind: as_user(world.somebody(kind, Role.ADMIN)) for kind in world.organizations}

    def call(kind, method, path, body):
        return getattr(clients[kind], method)(
            f"/api/v1/{path}", data=json.dumps(body), content_type="application/json"
        )

    return call


def bodies(world):
    """Of everything with a name: who, where, and what besides the name; and how long its text may be."""
    return {
        "service": ("provider", "provider/api-services", {"base_path": "/x"}, True),
        "product": ("provider", "provider/products", {"version": "9"}, True),
        "gateway": (
            "provider",
            "provider/gateways",
            {"gateway_class": "envoy", "listeners": [{"port": 9000}]},
            False,
        ),
        "cluster": ("operator", "operator/clusters", {"region": "kr"}, False),
        "plan": ("provider", f"provider/product-publishes/{world.publish.pk}/plans", {}, None),
        "application": ("consumer", "customer/applications", {}, False),
        "credential": (
            "consumer",
            "customer/credentials",
            {"subscription_id": str(world.subscription.pk)},
            None,
        ),
        "token": ("provider", "auth/tokens", {}, None),
    }


def test_names_in_both_directions_and_pictures_come_back_as_they_were(world, send):
    for name, (kind, path, body, _long) in bodies(world).items():
        if name == "cluster":  # Kubernetes' rule, below
            continue
        answer = send(kind, "post", path, body | {"name": NAME})

        assert answer.status_code == 201, (name, answer.content)
        assert answer.json()["data"]["name"] == NAME, name


def test_ten_thousand_characters_fit_or_are_refused_by_name(world, send):
    for name, (kind, path, body, fits) in bodies(world).items():
        if fits is None:
            continue
        answer = send(kind, "post", path, body | {"name": name, "description": LONG})
        if fits:
            assert answer.json()["data"]["description"] == LONG, name
        else:
            assert answer.status_code == 400, name
            assert "description" in answer.json()["error"]["details"], name


@pytest.mark.parametrize("name", [NAME, "Upper", "a" * 64, "-a", "a.b", ""])
def test_a_cluster_is_named_by_the_rule_of_kubernetes(send, name):
    answer = send("operator", "post", "operator/clusters", {"name": name, "region": "kr"})

    assert answer.status_code == 400
    assert list(answer.json()["error"]["details"]) == ["name"]


@pytest.mark.parametrize("verb", ["publish", "withdraw"])
def test_the_same_click_twice_starts_one_deployment(world, send, verb):
    world.publish.deployments.all().delete()
    path = f"provider/product-publishes/{world.publish.pk}/{verb}"

    first, again = (send("provider", "post", path, {"after": 0}) for _click in range(2))

    assert (first.status_code, again.status_code) == (202, 409)
    assert again.json()["error"]["code"] == "deployment_started_meanwhile"
    assert world.publish.deployments.count() == 1
