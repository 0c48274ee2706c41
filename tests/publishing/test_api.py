"""/api/v1/provider/…: names, statuses and refusals on the wire."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import Role
from publishing.models import ProductPublish
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import GatewayFactory, ProductFactory
from tests.factories.clusters import ClusterFactory
from tests.factories.publishing import ProductPublishFactory
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db
PUBLISHES = "/api/v1/provider/product-publishes"
DEPLOYMENTS = "/api/v1/provider/deployments"
SPEC_FIELDS = {
    "id",
    "product_id",
    "provider_tenant_id",
    "gateway_id",
    "cluster_id",
    "environment",
    "hostname_base",
    "api_services",
    "route_ids",
    "auth_mode",
    "auth_config",
    "visibility",
    "approval_required",
    "status",
    "published_at",
    "published_by",
    "withdrawn_at",
    "withdrawn_by",
    "created_at",
    "updated_at",
}


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
def api(stage):
    return client_of(stage.user)


def path_of(stage: Stage, *parts: str) -> str:
    return "/".join([PUBLISHES, str(stage.publish.pk), *parts])


def data(response, status=200):
    assert response.status_code == status, response.content
    return response.json()["data"]


def error(response, status):
    assert response.status_code == status, response.content
    body = response.json()
    assert body["success"] is False
    return body["error"]


def body_for(stage: Stage, **fields: Any) -> dict[str, Any]:
    publish = stage.publish
    return {
        "product_id": str(publish.product_id),
        "cluster_id": str(publish.cluster_id),
        "gateway_id": str(publish.gateway_id),
        "environment": "dev",
        "hostname_base": "api.example.com",
        "auth_mode": "api-key",
    } | fields


# --- Create ------------------------------------------------------------------------------------


def test_create_answers_with_the_specs_names(stage, api):
    made = data(api.post(PUBLISHES, body_for(stage, approval_required=True)), 201)
    assert made.keys() >= SPEC_FIELDS
    service = stage.publish.product.services.get()
    assert made["provider_tenant_id"] == str(stage.publish.organization_id)
    assert made["api_services"] == [str(service.pk)]
    assert made["route_ids"] == [str(service.routes.get().pk)]
    assert (made["status"], made["visibility"], made["approval_required"]) == (
        "DRAFT",
        "public",
        True,
    )
    assert made["live_on"] == {"live": 0, "total": 1}
    assert made["live_revision"] is made["wanted_revision"] is made["open_deployment"] is None
    assert (made["proof"], made["published_at"], made["published_by"]) == ([], None, None)


def test_create_below_the_product(stage, api):
    body = body_for(stage)
    product_id = body.pop("product_id")
    made = data(api.post(f"/api/v1/provider/products/{product_id}/publishes", body), 201)
    assert made["product_id"] == product_id
    listed = data(api.get(f"/api/v1/provider/products/{product_id}/publishes"))
    assert {row["id"] for row in listed["items"]} == {made["id"], str(stage.publish.pk)}


@pytest.mark.parametrize("field", ["product_id", "cluster_id", "gateway_id"])
@pytest.mark.parametrize("foreign", [True, False])
def test_foreign_and_unknown_ids_in_a_body_are_404_with_the_field(stage, api, field, foreign):
    others = {
        "product_id": ProductFactory,
        "gateway_id": GatewayFactory,
        "cluster_id": lambda: ClusterFactory(open_to_all=False),
    }
    pk = others[field]().pk if foreign else uuid.uuid4()
    found = error(api.post(PUBLISHES, body_for(stage, **{field: str(pk)})), 404)
    assert found["code"] == field.replace("_id", "_not_found")
    assert set(found["details"]) == {field}


WRONG = {
    "product_id": ["x", 5, None, [], {}],
    "cluster_id": ["not-a-uuid", None],
    "gateway_id": [{}, ""],
    "environment": ["staging", 1, None, []],
    "hostname_base": ["", 5, None, {}, "a b", "x" * 300, "a\u0000b"],
    "auth_mode": ["basic", None, False],
    "auth_config": [[], "x", 1, {"issuer": "https://a.example"}],
    "visibility": ["secret", {}],
    "approval_required": ["no", 1, None, []],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_values_of_the_wrong_type_are_400_with_the_field(stage, api, field, value):
    found = error(api.post(PUBLISHES, body_for(stage, **{field: value})), 400)
    assert list(found["details"]) == [field]


@pytest.mark.parametrize(
    "field", ["product_id", "cluster_id", "gateway_id", "environment", "hostname_base", "auth_mode"]
)
def test_what_is_missing_is_named(stage, api, field):
    body = body_for(stage)
    del body[field]
    assert list(error(api.post(PUBLISHES, body), 400)["details"]) == [field]


@pytest.mark.parametrize("raw", ["", "{", "[]", "[1]", "null", "5", '"x"', '{"a": "\\ud800"}'])
def test_no_body_or_none_to_speak_of_is_400(stage, api, raw):
    assert error(api.post(PUBLISHES, raw, content_type="application/json"), 400)
    assert error(api.put(path_of(stage), raw, content_type="application/json"), 400)


def test_a_body_of_a_megabyte_is_413(stage, api):
    body = body_for(stage, hostname_base="x" * 1_100_000)
    assert error(api.post(PUBLISHES, body), 413)["code"] == "payload_too_large"
    assert error(api.post(path_of(stage, "publish"), {"note": "x" * 1_100_000}), 413)


def test_the_second_publish_of_a_target_is_409(stage, api):
    found = error(api.post(PUBLISHES, body_for(stage, environment="prod")), 409)
    assert found["code"] == "publish_exists"


# --- Lists -------------------------------------------------------------------------------------


def test_lists_filter_and_page(stage, api):
    organization = stage.publish.organization
    live = ProductPublishFactory(organization=organization, environment="dev", published=True)
    ProductPublishFactory()

    def ids(**query):
        return {row["id"] for row in data(api.get(PUBLISHES, query))["items"]}

    assert ids() == {str(stage.publish.pk), str(live.pk)}
    assert ids(status="PUBLISHED") == ids(environment="dev") == {str(live.pk)}
    assert ids(cluster_id=live.cluster_id) == ids(product_id=live.product_id) == {str(live.pk)}
    assert ids(status="WITHDRAWN") == set()
    assert data(api.get(PUBLISHES, {"page_size": 1}))["pages"] == 2
    assert data(api.get(PUBLISHES, {"ordering": "environment"}))["items"][0]["id"] == str(live.pk)


@pytest.mark.parametrize(
    "query", [{"status": "LIVE"}, {"environment": "x"}, {"cluster_id": "x"}, {"product_id": "1"}]
)
def test_unknown_filter_values_are_400_with_the_field(api, query):
    assert list(error(api.get(PUBLISHES, query), 400)["details"]) == list(query)


def test_a_list_takes_as_many_queries_for_many_rows(stage, api, django_assert_max_num_queries):
    def count():
        with django_assert_max_num_queries(12) as captured:
            data(api.get(PUBLISHES))
        return len(captured)

    few = count()
    for _each in range(5):
        ProductPublishFactory(organization=stage.publish.organization, published=True)
    assert count() == few


# --- Publish, withdraw, cancel -----------------------------------------------------------------


def test_from_publish_to_withdraw_as_a_program_sees_it(stage, api):
    answer = api.post(path_of(stage, "publish"), {"note": "Production release v2.0"})
    started = data(answer, 202)
    assert answer.json()["message"]
    assert (started["status"], started["deployment"]["status"]) == ("DRAFT", "QUEUED")
    assert started["open_deployment"]["id"] == started["deployment"]["id"]
    assert started["wanted_revision"]["number"] == 1
    assert started["deployment"]["note"] == "Production release v2.0"

    stage.dispatch()
    stage.say("applied")
    seen = data(api.get(path_of(stage)))
    assert (seen["status"], seen["open_deployment"]) == ("PUBLISHED", None)
    assert seen["published_by"] == str(stage.user.pk)
    assert seen["live_revision"] == seen["wanted_revision"] == started["wanted_revision"]
    assert seen["live_on"] == {"live": 1, "total": 1}
    assert seen["proof"][0]["agent"] == stage.agents[0].name
    assert seen["proof"][0]["calls"][0]["got"] == 200

    withdrawn = data(api.post(path_of(stage, "withdraw"), {"reason": "v3 is out"}), 202)
    assert withdrawn["deployment"]["kind"] == "withdraw"
    stage.dispatch()
    stage.say("applied")
    seen = data(api.get(path_of(stage)))
    assert (seen["status"], seen["withdraw_reason"]) == ("WITHDRAWN", "v3 is out")
    assert (seen["withdrawn_by"], seen["live_revision"]) == (str(stage.user.pk), None)
    assert seen["proof"] == []


def test_neither_needs_a_body(stage, api):
    data(api.post(path_of(stage, "publish")), 202)
    stage.dispatch()
    stage.say("applied")
    data(api.post(path_of(stage, "withdraw")), 202)


@pytest.mark.parametrize("action", ["publish", "withdraw"])
@pytest.mark.parametrize(
    "body", [[], "x", {"note": 5, "reason": 5}, {"note": "x" * 501, "reason": "x" * 501}]
)
def test_words_of_the_wrong_kind_are_400(stage, api, action, body):
    assert error(api.post(path_of(stage, action), body, format="json"), 400)
    assert not stage.publish.deployments.exists()


def test_the_deployments_carry_verdicts_proof_and_the_gateways_words(stage, api):
    stage.serve()
    stage.change()
    stage.click("Faster")
    stage.dispatch()
    stage.say("failed")
    listed = data(api.get(path_of(stage, "deployments")))
    second, first = listed["items"]
    assert (second["status"], second["error"]) == ("FAILED", "Address already in use")
    assert (second["note"], second["revision"]["number"]) == ("Faster", 2)
    assert second["verdicts"][0]["outcome"] == "failed"
    assert second["verdicts"][0]["agent"] == stage.agents[0].name
    assert (first["status"], first["error"]) == ("SUCCEEDED", "")
    call = first["verdicts"][0]["probe"][0]
    assert (call["expected"], call["got"], call["with_credential"]) == (200, 200, True)
    assert first["verdicts"][0]["timings"]["apply_ms"] == 2.0
    assert data(api.get(f"{DEPLOYMENTS}/{first['id']}")) == first


def test_revisions_say_which_is_live_and_which_is_wanted(stage, api):
    stage.serve()
    stage.change()
    stage.click()
    rows = data(api.get(path_of(stage, "revisions")))["items"]
    assert [(row["number"], row["live"], row["wanted"]) for row in rows] == [
        (2, False, True),
        (1, True, False),
    ]


def test_the_timeline_tells_who_and_what(stage, api):
    stage.click("first")
    stage.dispatch()
    stage.say("applied")
    rows = data(api.get(path_of(stage, "events")))["items"]
    assert [row["kind"] for row in rows] == ["published", "applied", "dispatched", "requested"]
    assert (rows[-1]["actor"], rows[-1]["note"]) == ("Pia", "first")
    assert rows[1]["agent"] == stage.agents[0].name


def test_cancel_while_queued(stage, api):
    deployment = data(api.post(path_of(stage, "publish")), 202)["deployment"]
    cancelled = data(api.post(f"{DEPLOYMENTS}/{deployment['id']}/cancel"))
    assert cancelled["status"] == "CANCELLED"
    found = error(api.post(f"{DEPLOYMENTS}/{deployment['id']}/cancel"), 409)
    assert (found["code"], found["details"]) == ("invalid_state", {"status": "CANCELLED"})


@pytest.mark.parametrize("part", ["deployments", "revisions", "events"])
def test_histories_page(stage, api, part):
    stage.serve()
    assert data(api.get(path_of(stage, part), {"page_size": 1}))["page_size"] == 1
    assert error(api.get(path_of(stage, part), {"page": 99}), 404)


def test_a_deployment_history_takes_as_many_queries_for_many(
    stage, api, django_assert_max_num_queries
):
    def count():
        with django_assert_max_num_queries(10) as captured:
            data(api.get(path_of(stage, "deployments")))
        return len(captured)

    stage.serve()
    few = count()
    for _each in range(3):
        stage.change()
        stage.serve()
    assert count() == few


# --- Update and delete -------------------------------------------------------------------------


def test_update_replaces_the_settings(stage, api):
    body = body_for(stage, hostname_base="new.example.com", visibility="private")
    seen = data(api.put(path_of(stage), body))
    assert (seen["hostname_base"], seen["visibility"], seen["environment"]) == (
        "new.example.com",
        "private",
        "dev",
    )


def test_the_product_stays(stage, api):
    other = ProductFactory(organization=stage.publish.organization)
    found = error(api.put(path_of(stage), body_for(stage, product_id=str(other.pk))), 400)
    assert list(found["details"]) == ["product_id"]


@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_published_one_is_409_and_names_the_state(method):
    stage = Stage(settings={"published": True})
    found = error(getattr(client_of(stage.user), method)(path_of(stage), body_for(stage)), 409)
    assert (found["code"], found["details"]) == ("invalid_state", {"status": "PUBLISHED"})
    assert "published" in found["message"]


def test_delete(stage, api):
    assert api.delete(path_of(stage)).status_code == 204
    assert not ProductPublish.objects.exists()
    assert error(api.get(path_of(stage)), 404)


def test_a_conflict_is_409_with_its_code(stage, api):
    stage.publish.product.services.clear()
    assert error(api.post(path_of(stage, "publish")), 409)["code"] == "no_services"


# --- Who may -----------------------------------------------------------------------------------

READS = ["", "deployments", "revisions", "events"]
WRITES = [("put", ""), ("delete", ""), ("post", "publish"), ("post", "withdraw")]


def every_endpoint(stage: Stage) -> list[tuple[str, str]]:
    deployment = stage.click()
    product = f"/api/v1/provider/products/{stage.publish.product_id}/publishes"
    return [
        *(("get", path_of(stage, *part.split())) for part in READS),
        *((method, path_of(stage, *part.split())) for method, part in WRITES),
        ("get", product),
        ("post", product),
        ("get", f"{DEPLOYMENTS}/{deployment.pk}"),
        ("post", f"{DEPLOYMENTS}/{deployment.pk}/cancel"),
    ]


def test_for_strangers_nothing_exists(stage):
    stranger = client_of(UserFactory(member_of=OrganizationFactory(provider=True), role=Role.ADMIN))
    for method, path in every_endpoint(stage):
        assert error(getattr(stranger, method)(path, {}), 404)["code"] == "not_found", path
    assert data(stranger.get(PUBLISHES))["items"] == []


def test_viewers_read_and_do_not_write(stage):
    viewer = client_of(UserFactory(member_of=stage.publish.organization, role=Role.VIEWER))
    for method, path in [*every_endpoint(stage), ("post", PUBLISHES)]:
        answer = getattr(viewer, method)(path, {} if method != "get" else None)
        expected = 200 if method == "get" else 403
        assert answer.status_code == expected, (method, path, answer.content)


def test_nobody_is_asked_to_sign_in(stage):
    for method, path in [*every_endpoint(stage), ("get", PUBLISHES), ("post", PUBLISHES)]:
        assert error(getattr(APIClient(), method)(path), 401)["code"] == "unauthenticated"


@pytest.mark.parametrize("pk", ["5", "x", "not-a-uuid", "00000000-0000-0000-0000-00000000000g"])
def test_an_id_that_is_none_is_404(api, pk):
    for path in (f"{PUBLISHES}/{pk}", f"{PUBLISHES}/{pk}/publish", f"{DEPLOYMENTS}/{pk}"):
        assert error(api.get(path), 404)
    assert error(api.get(f"/api/v1/provider/products/{pk}/publishes"), 404)


def test_an_operator_has_no_publishes(stage):
    operator = client_of(UserFactory(member_of=OrganizationFactory(operator=True)))
    assert error(operator.post(PUBLISHES, body_for(stage)), 403)["code"] == "permission_denied"
