"""The catalog over REST."""

from __future__ import annotations

import uuid

import pytest
from rest_framework.test import APIClient

from catalog.models import ApiService, Gateway, Product, Route
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import ApiServiceFactory, GatewayFactory, PolicyFactory, ProductFactory
from tests.factories.clusters import AgentFactory, ClusterFactory

pytestmark = pytest.mark.django_db
V1 = "/api/v1/provider"
SERVICES, PRODUCTS, GATEWAYS = f"{V1}/api-services", f"{V1}/products", f"{V1}/gateways"


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


@pytest.fixture
def as_member(member):
    return client_of(member)


@pytest.fixture
def as_admin(admin):
    return client_of(admin)


@pytest.fixture
def service(provider):
    service = ApiServiceFactory(organization=provider, name="Billing", complete=True)
    PolicyFactory(service=service)
    return service


def data(response, status=200):
    assert response.status_code == status, response.content
    return response.json()["data"]


def error(response, status, code=None):
    assert response.status_code == status, response.content
    found = response.json()["error"]
    assert code is None or found["code"] == code, found
    return found


# --- API services ----------------------------------------------------------------------------------

BODY = {
    "name": "Billing",
    "version": "1.2",
    "description": "Invoices",
    "base_path": "/billing",
    "routes": [{"path": "/", "methods": ["post", "GET"]}],
    "backends": [{"host": "billing.svc", "port": 8080}],
    "policies": [{"kind": "headers", "config": {"response": {"X-Note": "100%"}}}],
}


def test_a_service_with_its_parts_comes_back_as_it_is_kept(as_member, provider):
    made = data(as_member.post(SERVICES, BODY), 201)

    assert made["provider_tenant_id"] == str(provider.pk)
    assert made["routes"] == [
        {
            "id": made["routes"][0]["id"],
            "match": "prefix",
            "path": "/",
            "methods": ["GET", "POST"],
            "rewrite": "",
            "timeout_ms": 15000,
            "retries": 0,
            "retry_unsafe": False,
        }
    ]
    assert made["backends"][0]["weight"] == 1
    assert made["policies"][0]["config"] == {"response": {"x-note": "100%"}}
    assert data(as_member.get(f"{SERVICES}/{made['id']}")) == made
    assert data(as_member.get(SERVICES))["items"] == [made]


def test_what_was_read_can_be_put_back(as_member, service):
    url = f"{SERVICES}/{service.pk}"
    before = data(as_member.get(url))

    after = data(as_member.put(url, before))

    assert {**after, "updated_at": 0} == {**before, "updated_at": 0}


def test_put_replaces_the_parts_that_are_given(as_member, service):
    url = f"{SERVICES}/{service.pk}"
    route = service.routes.get()

    after = data(
        as_member.put(
            url,
            {
                "name": "Billing",
                "routes": [
                    {"path": route.path, "methods": route.methods, "retries": 1},
                    {"path": "/new", "methods": ["GET"]},
                ],
                "policies": [],
            },
        )
    )

    assert {row["path"] for row in after["routes"]} == {"/", "/new"}
    assert str(route.pk) in {row["id"] for row in after["routes"]}
    assert (len(after["backends"]), after["policies"], after["base_path"]) == (1, [], "/")


def test_patch_changes_only_what_is_given(as_member, service):
    after = data(as_member.patch(f"{SERVICES}/{service.pk}", {"description": "New"}))
    assert (after["description"], after["base_path"]) == ("New", service.base_path)


def test_patch_checks_nested_parts_as_well(as_member, service):
    url = f"{SERVICES}/{service.pk}"
    found = error(as_member.patch(url, {"routes": [{"path": "/x"}]}), 400)
    assert "routes.0.methods" in found["details"]


def test_an_admin_deletes_and_a_member_may_not(as_member, as_admin, service):
    url = f"{SERVICES}/{service.pk}"
    error(as_member.delete(url), 403, "permission_denied")
    assert as_admin.delete(url).status_code == 204
    error(as_admin.get(url), 404, "not_found")


def test_a_service_in_a_product_is_a_conflict(as_admin, service):
    ProductFactory(organization=service.organization, name="Payment", services=[service])
    found = error(as_admin.delete(f"{SERVICES}/{service.pk}"), 409, "service_in_use")
    assert found["details"]["products"][0]["name"] == "Payment v1.0"


def test_lists_search_filter_order_and_page(as_member, provider):
    for name in ("Alpha", "Beta", "Gamma"):
        ApiServiceFactory(organization=provider, name=name, base_path=f"/{name.lower()}")
    ApiServiceFactory(name="Alpha of others")

    def names(query):
        return [row["name"] for row in data(as_member.get(f"{SERVICES}?{query}"))["items"]]

    assert names("") == ["Alpha", "Beta", "Gamma"]
    assert names("ordering=-name") == ["Gamma", "Beta", "Alpha"]
    assert names("search=bet") == ["Beta"]
    assert names("base_path=/gamma") == ["Gamma"]
    assert names("page_size=1&page=2") == ["Beta"]
    product = ProductFactory(organization=provider, services=[ApiService.objects.get(name="Beta")])
    assert names(f"product_id={product.pk}") == ["Beta"]
    error(as_member.get(f"{SERVICES}?product_id=nonsense"), 400)
    error(as_member.get(f"{SERVICES}?name=%00"), 400)


def test_a_list_costs_the_same_however_long(as_member, provider, django_assert_max_num_queries):
    ApiServiceFactory.create_batch(10, organization=provider, complete=True)
    with django_assert_max_num_queries(9):
        assert data(as_member.get(SERVICES))["total"] == 10


# --- Routes and backends ---------------------------------------------------------------------------


def test_routes_one_by_one(as_member, provider):
    service = ApiServiceFactory(organization=provider)
    url = f"{SERVICES}/{service.pk}/routes"

    made = data(as_member.post(url, {"path": "/a", "methods": ["get"]}), 201)
    assert data(as_member.get(url))["items"] == [made]
    found = error(
        as_member.post(url, {"path": "/a", "methods": ["GET", "PUT"]}), 409, "route_exists"
    )
    assert found["details"] == {"match": "prefix", "path": "/a", "method": "GET"}

    one = f"{V1}/routes/{made['id']}"
    assert data(as_member.get(one)) == made
    changed = data(as_member.put(one, {"path": "/b", "methods": ["PUT"], "match": "exact"}))
    assert (changed["id"], changed["path"], changed["match"]) == (made["id"], "/b", "exact")
    assert as_member.delete(one).status_code == 204
    error(as_member.get(one), 404)


def test_backends_one_by_one(as_member, provider):
    service = ApiServiceFactory(organization=provider)
    url = f"{SERVICES}/{service.pk}/backends"

    made = data(as_member.post(url, {"host": "A.example", "port": 443, "tls": True}), 201)
    assert (made["host"], made["tls"]) == ("a.example", True)
    assert data(as_member.get(url))["items"] == [made]
    error(as_member.post(url, {"host": "a.example", "port": 443}), 409, "backend_exists")

    one = f"{V1}/backends/{made['id']}"
    assert data(as_member.get(one)) == made
    assert data(as_member.put(one, {"host": "::1", "port": 80}))["host"] == "::1"
    assert as_member.delete(one).status_code == 204


# --- Products --------------------------------------------------------------------------------------


def test_a_product_over_rest(as_member, as_admin, service, provider):
    body = {
        "name": "Payment API",
        "version": "2.0",
        "description": "Pay",
        "categories": ["payments"],
        "docs_url": "https://docs.example.com",
        "service_ids": [str(service.pk)],
    }
    made = data(as_member.post(PRODUCTS, body), 201)

    assert made["provider_tenant_id"] == str(provider.pk)
    assert made["api_services"] == [str(service.pk)]
    url = f"{PRODUCTS}/{made['id']}"
    assert data(as_member.get(url)) == made
    assert data(as_member.put(url, {**made, "name": "Pay"}))["api_services"] == [str(service.pk)]
    assert data(as_member.put(url, {**made, "api_services": []}))["api_services"] == []
    assert data(as_member.patch(url, {"service_ids": [str(service.pk)]}))["name"] == "Payment API"
    assert as_admin.delete(url).status_code == 204


def test_products_by_category_and_service(as_member, service, provider):
    ProductFactory(organization=provider, name="A", categories=["x", "y"], services=[service])
    ProductFactory(organization=provider, name="B", categories=["xy"])

    def names(query):
        return [row["name"] for row in data(as_member.get(f"{PRODUCTS}?{query}"))["items"]]

    assert names("category=x") == ["A"]
    assert names(f"service_id={service.pk}") == ["A"]
    assert names("search=b&ordering=-created_at") == ["B"]


def test_a_product_cannot_have_a_service_that_is_not_ours(as_member):
    foreign = ApiServiceFactory()
    error(as_member.post(PRODUCTS, {"name": "X", "service_ids": [str(foreign.pk)]}), 404)
    error(as_member.post(PRODUCTS, {"name": "X", "service_ids": ["nonsense"]}), 400)
    assert not Product.objects.exists()


# --- Gateways --------------------------------------------------------------------------------------


def test_a_gateway_over_rest(as_member, as_admin, provider):
    body = {"name": "edge", "gateway_class": "envoy", "listeners": [{"port": 8080}]}
    made = data(as_member.post(GATEWAYS, body), 201)

    assert made["provider_tenant_id"] == str(provider.pk)
    assert made["listeners"] == [
        {
            "id": made["listeners"][0]["id"],
            "port": 8080,
            "protocol": "HTTP",
            "hostname": "",
            "certificate_id": None,
        }
    ]
    url = f"{GATEWAYS}/{made['id']}"
    assert data(as_member.get(url)) == made
    changed = data(as_member.put(url, {**made, "listeners": [{"port": 8080}, {"port": 81}]}))
    assert made["listeners"][0] in changed["listeners"]
    assert data(as_member.patch(url, {"name": "new"}))["name"] == "new"
    stale = as_member.put(url, made, headers={"If-Match": '"1.0"'})
    assert error(stale, 412)["code"] == "stale"
    error(as_member.patch(url, {"listeners": []}), 400)
    assert as_admin.delete(url).status_code == 204


def test_gateways_that_a_cluster_can_drive(as_member, provider):
    gateway = GatewayFactory(organization=provider)
    mute, able, other = ClusterFactory(), ClusterFactory(), ClusterFactory()
    AgentFactory(cluster=able)
    AgentFactory(cluster=other, gateway_classes=["kong"])

    def found(cluster_id):
        return [
            row["id"] for row in data(as_member.get(f"{GATEWAYS}?cluster_id={cluster_id}"))["items"]
        ]

    assert found(able.pk) == [str(gateway.pk)]
    assert found(mute.pk) == [str(gateway.pk)]  # as the wizard: a publish waits for an agent
    assert found(other.pk) == []


def test_a_cluster_that_is_not_offered_does_not_exist(as_member, provider):
    GatewayFactory(organization=provider)
    closed = ClusterFactory(open_to_all=False, active=True)
    for cluster_id in (closed.pk, uuid.uuid4(), "nonsense"):
        error(as_member.get(f"{GATEWAYS}?cluster_id={cluster_id}"), 404, "not_found")
    closed.open_to.add(provider)
    assert data(as_member.get(f"{GATEWAYS}?cluster_id={closed.pk}"))["total"] == 1


# --- Who may ---------------------------------------------------------------------------------------


@pytest.fixture
def urls(service):
    product = ProductFactory(organization=service.organization)
    gateway = GatewayFactory(organization=service.organization)
    route, backend = service.routes.get(), service.backends.get()
    writes = ["put", "patch", "delete"]
    return {
        f"{SERVICES}/{service.pk}": writes,
        f"{SERVICES}/{service.pk}/routes": ["post"],
        f"{SERVICES}/{service.pk}/backends": ["post"],
        f"{V1}/routes/{route.pk}": ["put", "delete"],
        f"{V1}/backends/{backend.pk}": ["put", "delete"],
        f"{PRODUCTS}/{product.pk}": writes,
        f"{GATEWAYS}/{gateway.pk}": writes,
    }


def test_a_stranger_finds_nothing(stranger, urls):
    client = client_of(stranger)
    for url, methods in urls.items():
        for method in ["get", *methods]:
            error(getattr(client, method)(url, {}), 404, "not_found")
    for url in (SERVICES, PRODUCTS, GATEWAYS):
        assert data(client.get(url))["total"] == 0


def test_a_viewer_reads_and_may_not_write_whatever_is_sent(viewer, urls):
    client = client_of(viewer)
    for url, methods in urls.items():
        data(client.get(url))
        for method in methods:
            error(getattr(client, method)(url, {}), 403, "permission_denied")
    for url in (SERVICES, PRODUCTS, GATEWAYS):
        error(client.post(url, {}), 403, "permission_denied")


def test_nobody_is_let_in_without_signing_in(urls):
    for url, methods in urls.items():
        for method in ["get", *methods]:
            error(getattr(APIClient(), method)(url, {}), 401, "unauthenticated")


@pytest.mark.parametrize("kind", ["operator", "consumer"])
def test_other_kinds_of_organization_define_nothing(kind):
    organization = OrganizationFactory(kind=kind)
    client = client_of(UserFactory(member_of=organization, role="admin"))
    for url in (SERVICES, PRODUCTS, GATEWAYS):
        error(client.post(url, {"name": "X"}), 403)


def test_somebody_without_an_organization_creates_nowhere():
    error(client_of(UserFactory()).post(SERVICES, BODY), 404)


@pytest.mark.parametrize("pk", ["nonsense", "1", "../1", "0" * 32])
def test_ids_of_another_form_do_not_exist(as_member, pk):
    for url in (SERVICES, PRODUCTS, GATEWAYS, f"{V1}/routes", f"{V1}/backends"):
        error(as_member.get(f"{url}/{pk}"), 404)


# --- Bodies that make no sense ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"name": {}}, "name"),
        ({"name": True}, "name"),
        ({"name": "x" * 300_000}, "name"),
        ({"description": "x" * 300_000}, "description"),
        ({"base_path": "/a//b"}, "base_path"),
        ({"base_path": "x" * 300_000}, "base_path"),
        ({"routes": "x"}, "routes"),
        ({"routes": [5]}, "routes"),
        ({"routes": [{}]}, "routes"),
        ({"routes": [{"path": "/", "methods": "GET"}]}, "routes"),
        ({"routes": [{"path": "/", "methods": []}]}, "routes"),
        ({"routes": [{"path": "/", "methods": ["FETCH"]}]}, "routes.0.methods"),
        ({"routes": [{"path": "/{id}.json", "methods": ["GET"]}]}, "routes.0.path"),
        ({"routes": [{"path": "/", "methods": ["GET"], "timeout_ms": "soon"}]}, "routes"),
        ({"routes": [{"path": "/", "methods": ["GET"], "timeout_ms": 10**30}]}, "routes"),
        ({"backends": [{"host": "a", "port": 99999}]}, "backends"),
        ({"backends": [{"host": "http://a", "port": 80}]}, "backends.0.host"),
        ({"backends": [{"host": ["a"], "port": 80}]}, "backends"),
        ({"policies": [{"kind": "headers", "config": []}]}, "policies"),
        (
            {"policies": [{"kind": "headers", "config": {"request": {"x-a": {}}}}]},
            "policies.0.config.request.x-a",
        ),
        (
            {"policies": [{"kind": "headers", "config": {"request": {"x-imp-a": "1"}}}]},
            "policies.0.config.request",
        ),
    ],
)
def test_what_is_wrong_is_named(as_member, change, field):
    found = error(as_member.post(SERVICES, {**BODY, **change}), 400)
    assert field in found["details"], found
    assert not ApiService.objects.exists()
    assert not Route.objects.exists()


@pytest.mark.parametrize("url", [SERVICES, PRODUCTS, GATEWAYS])
@pytest.mark.parametrize(
    "body", ["", "null", "[]", "5", '"x"', "{", '{"name": "\\ud800"}', "[" * 9000]
)
def test_a_body_that_is_no_object_is_a_400(as_member, url, body):
    error(as_member.post(url, body, content_type="application/json"), 400)


def test_a_body_of_a_megabyte_is_refused(as_member):
    body = '{"name": "' + "x" * 1024 * 1024 + '"}'
    error(as_member.post(SERVICES, body, content_type="application/json"), 413)


def test_gateways_of_an_unknown_class_are_not_made(as_member):
    body = {"name": "edge", "gateway_class": "kong", "listeners": [{"port": 80}]}
    assert "gateway_class" in error(as_member.post(GATEWAYS, body), 400)["details"]
    assert not Gateway.objects.exists()
