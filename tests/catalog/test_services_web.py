"""The pages of API services: full page, partial, for whom, and every form's refusals."""

from __future__ import annotations

import re

import pytest

from catalog.models import ApiService
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import (
    ApiServiceFactory,
    BackendFactory,
    PolicyFactory,
    ProductFactory,
    RouteFactory,
)
from tests.factories.publishing import ProductPublishFactory

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
LIST = "/provider/api-services"


def text(response) -> str:
    """What a person reads, without tags and runs of white space."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


@pytest.fixture
def as_(client):
    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def service(provider):
    return ApiServiceFactory(
        organization=provider, name="Orders", version="2.0", base_path="/orders", complete=True
    )


# --- The list --------------------------------------------------------------------------------------


def test_list(as_, member, service):
    ApiServiceFactory(name="not-mine")
    ApiServiceFactory(organization=service.organization, name="Empty")
    page = as_(member).get(LIST)
    assert "Create API service" in text(page)
    assert "Orders" in text(page)
    assert "none yet" in text(page)
    assert "not-mine" not in text(page)
    part = as_(member).get(LIST, headers=HTMX).content.decode()
    assert part.lstrip().startswith("<div")
    assert 'id="service-rows"' in part


def test_list_searches_orders_and_pages(as_, member, provider):
    for number in range(26):
        ApiServiceFactory(
            organization=provider, name=f"s-{number:02}", base_path=f"/p{99 - number}"
        )
    client = as_(member)

    def names(query):
        page = client.get(f"{LIST}?{query}", headers=HTMX).content.decode()
        return re.findall(r"<bdi>(s-\d\d)</bdi>", page)

    assert names("")[0] == "s-00"
    assert names("order=path")[0] == "s-25"
    assert names("page=2") == ["s-25"]
    assert names("search=p99") == ["s-00"]
    assert names("search=%00")[:1] == ["s-00"]
    assert "No API service matches" in text(client.get(f"{LIST}?search=nothing"))


def test_list_tells_how_to_begin(as_, member, viewer):
    begin = as_(member).get(LIST)
    assert "No API services yet" in text(begin)
    assert f"{LIST}/import" in begin.content.decode()
    assert f"{LIST}/import" not in as_(viewer).get(LIST).content.decode()
    operator = UserFactory(member_of=OrganizationFactory(operator=True))
    assert "belong to provider organizations" in text(as_(operator).get(LIST))


@pytest.mark.parametrize("count", [10, 200])
def test_queries_do_not_grow(as_, member, provider, count, django_assert_max_num_queries):
    service = ApiServiceFactory(organization=provider)
    for number in range(count):
        RouteFactory(service=service, path=f"/r{number}")
        ApiServiceFactory(organization=provider, complete=True)
    product = ProductFactory(organization=provider, services=[service])
    for _ in range(3):
        ProductPublishFactory(organization=provider, product=product, published=True)
    client = as_(member)
    for path in (LIST, f"{LIST}/{service.pk}"):
        with django_assert_max_num_queries(12):
            assert client.get(path).status_code == 200
    with django_assert_max_num_queries(12):
        assert client.get(f"{LIST}/{service.pk}/uses", headers=HTMX).status_code == 200


# --- The page of one -------------------------------------------------------------------------------


def test_detail(as_, member, viewer, stranger, service):
    PolicyFactory(service=service, config={"request": {"x-secret": "do-not-show"}})
    BackendFactory(service=service, host="two.example.com", weight=3, tls=True)
    product = ProductFactory(organization=service.organization, services=[service])
    path = f"{LIST}/{service.pk}"

    page = as_(member).get(path)
    for said in (
        "Orders",
        "/orders",
        "GET, POST",
        "two.example.com:8080",
        "75 %",
        str(product.name),
    ):
        assert said in text(page)
    assert "x-secret" in text(page)
    assert "do-not-show" not in page.content.decode()
    assert "Add route" in text(page)
    assert as_(member).get(path, headers=HTMX).content.decode().lstrip().startswith("<div")
    assert "Add route" not in text(as_(viewer).get(path))
    assert as_(stranger).get(path).status_code == 404


def test_detail_says_what_is_missing(as_, member, provider):
    service = ApiServiceFactory(organization=provider)
    assert "No route and no backend yet" in text(as_(member).get(f"{LIST}/{service.pk}"))


def test_many_routes_are_searched_and_paged(as_, member, service):
    for number in range(120):
        RouteFactory(service=service, path=f"/r{number}", methods=["PATCH"])
    client, path = as_(member), f"{LIST}/{service.pk}"
    assert "1–100 of 121" in text(client.get(path))
    assert text(client.get(f"{path}?search=/r11", headers=HTMX)).count("PATCH") == 11
    assert "No route matches" in text(client.get(f"{path}?search=zzz"))


def test_long_texts_and_other_directions(as_, member, provider):
    service = ApiServiceFactory(organization=provider, name="متجر 🐈", description="설" * 10_000)
    page = as_(member).get(f"{LIST}/{service.pk}").content.decode()
    assert "<bdi>متجر 🐈</bdi>" in page
    assert "설" * 10_000 in page


def test_uses_say_what_is_not_published_yet(as_, member, service):
    product = ProductFactory(organization=service.organization, services=[service])
    publish = ProductPublishFactory(
        organization=service.organization, product=product, published=True
    )
    page = as_(member).get(f"{LIST}/{service.pk}/uses")
    assert publish.cluster.name in text(page)
    assert "not yet published" not in text(page)
    RouteFactory(service=service, path="/new")
    page = as_(member).get(f"{LIST}/{service.pk}/uses")
    assert "1 publish has changes not yet published" in text(page)
    assert as_(member).get(f"{LIST}/{service.pk}/uses", headers=HTMX).status_code == 200


# --- Create, edit, delete ----------------------------------------------------------------------------

FILLED = {"name": "Pets", "version": "1.0", "base_path": "/pets", "description": "x"}


def test_create(as_, member, viewer, provider):
    assert as_(viewer).get(f"{LIST}/new").status_code == 403
    response = as_(member).post(f"{LIST}/new", FILLED)
    service = ApiService.objects.get()
    assert response.url == f"{LIST}/{service.pk}"
    assert (service.organization, service.base_path) == (provider, "/pets")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": ""}, "required"),
        ({"name": "Orders", "version": "2.0"}, "already have Orders"),
        ({"base_path": "pets"}, "starts with"),
        ({"base_path": "/{id}"}, "parameter"),
        ({"description": "x" * 10_001}, "10000"),
    ],
)
def test_create_says_what_is_wrong_and_keeps_what_was_typed(as_, member, service, wrong, said):
    typed = FILLED | {"description": "kept words"} | wrong
    response = as_(member).post(f"{LIST}/new", typed)
    assert response.status_code == 422
    assert said in text(response)
    for value in typed.values():
        assert value in response.content.decode()
    assert ApiService.objects.count() == 1


def test_edit(as_, member, viewer, stranger, service):
    path = f"{LIST}/{service.pk}/edit"
    assert 'value="Orders"' in as_(member).get(path).content.decode()
    assert as_(member).post(path, FILLED).status_code == 302
    service.refresh_from_db()
    assert service.name == "Pets"
    assert as_(viewer).get(path).status_code == 403
    assert as_(stranger).get(path).status_code == 404


def test_two_editors_do_not_overwrite_each_other(as_, member, service):
    client, path = as_(member), f"{LIST}/{service.pk}/edit"
    seen = client.get(path).context["seen"]
    client.post(path, FILLED | {"seen": seen, "description": "theirs"})

    stale = client.post(path, FILLED | {"seen": seen, "description": "mine"})

    assert stale.status_code == 422
    assert "Somebody else changed this" in text(stale)
    assert "Description: theirs" in text(stale)
    assert "mine" in stale.content.decode()
    service.refresh_from_db()
    assert service.description == "theirs"
    again = FILLED | {"seen": stale.context["seen"], "description": "mine"}
    assert client.post(path, again).status_code == 302


def test_the_api_knows_two_editors_too(as_, member, service):
    client, path = as_(member), f"/api/v1{LIST}/{service.pk}"
    seen = client.get(path).headers["ETag"]
    put = {"data": FILLED, "content_type": "application/json"}
    assert client.put(path, **put, headers={"If-Match": seen}).status_code == 200
    RouteFactory(service=service, path="/new")
    stale = client.patch(path, **put, headers={"If-Match": seen})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "stale")
    assert client.patch(path, **put, headers={"If-Match": "*"}).status_code == 200


def test_delete(as_, admin, member, service):
    path = f"{LIST}/{service.pk}/delete"
    assert as_(member).post(path).status_code == 403
    product = ProductFactory(organization=service.organization, services=[service])
    assert product.name in text(as_(admin).get(path, headers=HTMX))
    refused = as_(admin).post(path)
    assert refused.status_code == 422
    assert product.name in text(refused)
    product.services.clear()
    assert as_(admin).post(path, headers=HTMX).headers["HX-Redirect"] == LIST
    assert not ApiService.objects.exists()


# --- Parts -----------------------------------------------------------------------------------------

ROUTE = {
    "path": "/users/{id}",
    "match": "exact",
    "methods": ["GET", "PUT"],
    "rewrite": "/u/{id}",
    "timeout_ms": "2500",
    "retries": "1",
}


def test_a_route_from_a_dialog(as_, member, service):
    client, path = as_(member), f"{LIST}/{service.pk}/routes/new"
    assert "<dialog" in client.get(path, headers=HTMX).content.decode()

    done = client.post(path, ROUTE, headers=HTMX)

    assert (done.status_code, done.headers["HX-Trigger"]) == (200, "pulse")
    assert "next publish" in text(done)
    route = service.routes.get(path="/users/{id}")
    assert (route.methods, route.timeout_ms) == (["GET", "PUT"], 2500)
    edit = f"/provider/routes/{route.pk}/edit"
    assert 'value="/users/{id}"' in client.get(edit).content.decode()
    assert client.post(edit, ROUTE | {"methods": ["GET"]}).url == f"{LIST}/{service.pk}"
    route.refresh_from_db()
    assert route.methods == ["GET"]
    remove = f"/provider/routes/{route.pk}/remove"
    assert "/users/{id}" in text(client.get(remove))
    client.post(remove)
    assert not service.routes.filter(pk=route.pk).exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"path": "users"}, "starts with"),
        ({"path": "/a/{b}c"}, "whole part"),
        ({"methods": []}, "required"),
        ({"methods": ["TRACE"]}, "valid choice"),
        ({"rewrite": "/u/{other}"}, "not a parameter"),
        ({"timeout_ms": "0"}, "from 1 to 300000"),
        ({"retries": "9"}, "from 0 to 5"),
        ({"path": "/", "match": "prefix", "rewrite": ""}, "already takes"),
    ],
)
@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_route_says_what_is_wrong(as_, member, service, wrong, said, headers):
    typed = ROUTE | wrong
    response = as_(member).post(f"{LIST}/{service.pk}/routes/new", typed, headers=headers)
    assert response.status_code == 422
    assert said in text(response)
    assert f'value="{typed["timeout_ms"]}"' in response.content.decode()
    assert service.routes.count() == 1


def test_a_backend(as_, member, service):
    client, path = as_(member), f"{LIST}/{service.pk}/backends/new"
    typed = {"host": "b.example.com", "port": "8443", "tls": "on", "weight": "5"}
    assert client.post(path, typed).status_code == 302
    backend = service.backends.get(host="b.example.com")
    assert (backend.tls, backend.weight) == (True, 5)
    for wrong, said in (
        ({"host": "http://x"}, "without scheme"),
        ({"port": "0"}, "from 1 to 65535"),
        ({"weight": "0"}, "from 1 to 1000"),
        ({"health_check_path": "x"}, "starts with"),
        ({}, "once"),
    ):
        refused = client.post(path, typed | wrong)
        assert refused.status_code == 422
        assert said in text(refused)
    edit = f"/provider/backends/{backend.pk}/edit"
    assert "b.example.com" in client.get(edit).content.decode()
    assert client.post(edit, typed | {"weight": "7"}).status_code == 302
    assert client.post(f"/provider/backends/{backend.pk}/remove", headers=HTMX).status_code == 200
    assert service.backends.count() == 1


POLICIES = [
    (
        "headers",
        {"request": "x-team: pay: ments\n\nx-b:", "remove_response": "server\nx-powered-by"},
        {
            "request": {"x-team": "pay: ments", "x-b": ""},
            "remove_response": ["server", "x-powered-by"],
        },
    ),
    ("ip", {"allow": "10.0.0.0/8", "deny": "10.0.0.1"}, None),
    ("request_size", {"size": "3", "unit": str(1024**2)}, {"max_bytes": 3 * 1024**2}),
    (
        "cors",
        {"allow_origins": "https://a.example.com", "allow_methods": ["GET"], "max_age": "60"},
        None,
    ),
]


@pytest.mark.parametrize(("kind", "typed", "config"), POLICIES)
def test_a_policy(as_, member, service, kind, typed, config):
    client, path = as_(member), f"{LIST}/{service.pk}/policies/{kind}"
    assert client.get(path, headers=HTMX).status_code == 200

    assert client.post(path, typed, headers=HTMX).headers["HX-Trigger"] == "pulse"

    policy = service.policies.get(kind=kind)
    if config is not None:
        assert policy.config == config
    page = client.get(path).content.decode()
    for value in typed.values():
        for line in value.split("\n") if isinstance(value, str) else value:
            assert line.strip() in page
    assert policy.get_kind_display() in text(client.get(f"{LIST}/{service.pk}"))
    assert client.post(path, typed).status_code == 302
    assert client.get(f"{path}/remove").status_code == 200
    client.post(f"{path}/remove")
    assert not service.policies.exists()
    assert client.get(f"{path}/remove").status_code == 404


@pytest.mark.parametrize(
    ("kind", "typed", "said"),
    [
        ("headers", {"request": "no colon"}, "Line 1: write"),
        ("headers", {"request": "a: 1\nA: 2"}, "there twice"),
        ("headers", {"request": "host: x"}, "gateway"),
        ("headers", {"remove_request": "a\nb c"}, "Line 2:"),
        ("ip", {"allow": "10.0.0.1\nnonsense"}, "Line 2: “nonsense”"),
        ("ip", {}, ""),
        ("request_size", {"size": "0", "unit": "1"}, "from 1 to"),
        ("request_size", {"size": "1", "unit": "7"}, "valid choice"),
        ("cors", {"allow_origins": "x", "max_age": "1"}, "Line 1: Enter an origin"),
        ("cors", {"allow_origins": "*", "allow_credentials": "on", "max_age": "1"}, "credentials"),
    ],
)
def test_a_policy_says_what_is_wrong_and_where(as_, member, service, kind, typed, said):
    response = as_(member).post(f"{LIST}/{service.pk}/policies/{kind}", typed)
    assert response.status_code == 422
    assert said in text(response)
    assert (
        "ig-field-error" in response.content.decode()
        or "ig-banner bad" in response.content.decode()
    )
    assert not service.policies.exists()


def test_no_such_kind_of_policy(as_, member, service):
    assert as_(member).get(f"{LIST}/{service.pk}/policies/nonsense").status_code == 404


def test_parts_are_not_for_viewers_and_strangers(as_, viewer, stranger, service):
    route, backend = service.routes.get(), service.backends.get()
    for path in (
        f"{LIST}/{service.pk}/routes/new",
        f"{LIST}/{service.pk}/policies/cors",
        f"/provider/routes/{route.pk}/edit",
        f"/provider/backends/{backend.pk}/remove",
    ):
        assert as_(viewer).post(path).status_code == 403
        assert as_(stranger).post(path).status_code == 404
