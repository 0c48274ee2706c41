"""The wizard over REST: drafts and previews; publishing twice; all deployments."""

from __future__ import annotations

import pytest

from publishing.models import ProductPublish, PublishDraft
from tests.factories.accounts import UserFactory
from tests.factories.publishing import DeploymentFactory, ProductPublishFactory
from tests.publishing.stage import Stage
from tests.publishing.test_api import client_of, data, error, path_of
from tests.publishing.test_drafts import SETTINGS, Desk

pytestmark = pytest.mark.django_db
V1 = "/api/v1/provider"


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def api(desk):
    return client_of(desk.user)


def draft_path(desk: Desk) -> str:
    return f"{V1}/products/{desk.product.pk}/publish-draft"


def body_of(desk: Desk) -> dict:
    return SETTINGS | {
        "auth_config": {},
        "product_id": str(desk.product.pk),
        "cluster_id": str(desk.cluster.pk),
        "gateway_id": str(desk.gateway.pk),
    }


def test_step_by_step_to_a_publish(desk, api):
    assert data(api.get(draft_path(desk)))["version"] == 0
    api.put(draft_path(desk), {"step": "cluster", "cluster_id": str(desk.cluster.pk)})
    api.put(draft_path(desk), {"step": "gateway", "gateway_id": str(desk.gateway.pk)})
    seen = data(api.put(draft_path(desk), {"step": "settings"} | SETTINGS))
    assert (seen["step"], seen["reached"]) == ("review", "review")
    assert [row["product_id"] for row in data(api.get(f"{V1}/publish-drafts"))["items"]] == [
        str(desk.product.pk)
    ]

    made = data(api.post(f"{draft_path(desk)}/create", {"version": seen["version"]}), 201)

    assert made["status"] == "DRAFT"
    assert not PublishDraft.objects.exists()


def test_another_version_is_a_409(desk, api):
    desk.fill()
    body = {"step": "settings", "hostname_base": "other.example.com", "version": 1}
    assert error(api.put(draft_path(desk), body), 409)["code"] == "draft_changed"


def test_answers_of_another_step_are_named(desk, api):
    body = {"step": "cluster", "cluster_id": str(desk.cluster.pk), "environment": "dev"}
    assert list(error(api.put(draft_path(desk), body), 400)["details"]) == ["environment"]


def test_discard(desk, api):
    desk.fill()
    assert api.delete(draft_path(desk)).status_code == 204
    assert error(api.delete(draft_path(desk)), 409)["code"] == "draft_gone"


def test_a_preview_saves_nothing_and_tells_routes_changes_and_conflicts(desk, api):
    ProductPublishFactory(cluster=desk.cluster, hostname_base="api.example.com", published=True)
    seen = data(api.post(f"{V1}/product-publishes/preview", body_of(desk)))
    assert seen["host"] == "api.example.com"
    assert len(seen["routes"]) == 1
    assert seen["comparison"]["added"] > 0
    assert seen["refusal"]["code"] == "host_taken"
    assert not ProductPublish.objects.filter(product=desk.product).exists()


def test_a_preview_names_what_is_wrong(desk, api):
    body = body_of(desk) | {"hostname_base": "10.0.0.1"}
    found = error(api.post(f"{V1}/product-publishes/preview", body), 400)
    assert list(found["details"]) == ["hostname_base"]


# --- Twice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["publish", "withdraw", "rollback"])
def test_a_repeated_request_starts_no_second_deployment(verb):
    stage = Stage()
    stage.serve()
    stage.change()
    stage.serve()
    if verb == "publish":
        stage.change()
    body = {"after": 2} | ({"revision": 1} if verb == "rollback" else {})
    api = client_of(stage.user)
    assert api.post(path_of(stage, verb), body).status_code == 202
    found = error(api.post(path_of(stage, verb), body), 409)
    assert (found["code"], found["details"]["number"]) == ("deployment_started_meanwhile", 3)
    assert stage.publish.deployments.count() == 3


# --- Deployments -----------------------------------------------------------------------------------


def test_deployments_of_all_publishes_filtered(desk, api):
    mine = ProductPublishFactory(organization=desk.organization, published=True)
    wanted = DeploymentFactory(publish=mine, revision=mine.live_revision, succeeded=True)
    DeploymentFactory(publish=mine, withdrawal=True)
    DeploymentFactory()

    def numbers(query: str = "") -> list[str]:
        rows = data(api.get(f"{V1}/deployments{query}"))["items"]
        return [row["id"] for row in rows]

    assert len(numbers()) == 2
    assert numbers("?status=SUCCEEDED") == [str(wanted.pk)]
    assert numbers("?kind=publish") == [str(wanted.pk)]
    assert len(numbers(f"?cluster_id={mine.cluster_id}&environment=prod")) == 2
    assert numbers(f"?product_id={desk.product.pk}") == []


def test_an_unknown_filter_value_is_named(api):
    found = error(api.get(f"{V1}/deployments?status=HALF"), 400)
    assert list(found["details"]) == ["status"]


def test_a_stranger_sees_no_deployment(desk):
    DeploymentFactory()
    api = client_of(UserFactory(member_of=desk.organization))
    assert data(api.get(f"{V1}/deployments"))["items"] == []


@pytest.mark.parametrize("count", [10, 200])
def test_lists_ask_as_much_for_many_rows(desk, api, count, django_assert_max_num_queries):
    publish = ProductPublishFactory(organization=desk.organization, published=True)
    for _each in range(count):
        DeploymentFactory(publish=publish, revision=publish.live_revision, succeeded=True)
    with django_assert_max_num_queries(12):
        assert data(api.get(f"{V1}/deployments?page_size=200"))["total"] == count
