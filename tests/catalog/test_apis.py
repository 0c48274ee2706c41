"""API services and their parts, through the services."""

from __future__ import annotations

import threading

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection

from accounts.models import AuditEvent
from catalog.models import ApiService, Backend, Policy, Route
from catalog.services import apis, backends, routes
from catalog.services.parts import MAX_ROUTES
from core.errors import DomainError, InvalidInput
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import (
    ApiServiceFactory,
    PolicyFactory,
    ProductFactory,
    RouteFactory,
)

BILLING = {
    "name": "Billing",
    "base_path": "/billing",
    "routes": [{"path": "/", "methods": ["put", "GET"]}, {"path": "/", "methods": ["POST"]}],
    "backends": [{"host": "Billing.svc", "port": 8080}],
    "policies": [{"kind": "headers", "config": {"request": {"X-Team": "%ENVIRONMENT(HOME)%"}}}],
}


def test_a_service_is_created_with_its_parts_in_normal_form(member, provider):
    service = apis.create(actor=member, organization_id=provider.pk, **BILLING)

    service = ApiService.objects.get(pk=service.pk)
    assert (service.organization, service.name, service.version) == (provider, "Billing", "1.0")
    assert {tuple(row.methods) for row in service.routes.all()} == {("GET", "PUT"), ("POST",)}
    backend = service.backends.get()
    assert (backend.host, backend.port, backend.tls, backend.weight) == (
        "billing.svc",
        8080,
        False,
        1,
    )
    assert service.policies.get().config == {"request": {"x-team": "%ENVIRONMENT(HOME)%"}}


def test_creating_is_noted_without_what_headers_hold(member, provider):
    service = apis.create(actor=member, organization_id=provider.pk, **BILLING)

    event = AuditEvent.objects.get(object_id=str(service.pk))
    assert (event.action, event.actor_id, event.organization_id) == (
        "api_service.create",
        member.pk,
        provider.pk,
    )
    assert event.after["policies"] == [{"headers": {"request": ["x-team"]}}]
    assert "ENVIRONMENT" not in str(event.after)


def test_a_name_and_version_can_be_had_once(member, provider):
    apis.create(actor=member, organization_id=provider.pk, name="Billing")
    apis.create(actor=member, organization_id=provider.pk, name="Billing", version="2.0")

    with pytest.raises(InvalidInput) as refusal:
        apis.create(actor=member, organization_id=provider.pk, name=" Billing ")
    assert (refusal.value.field, refusal.value.code) == ("name", "duplicate")
    assert ApiService.objects.count() == 2


def test_another_provider_may_use_the_same_name(member, provider, stranger):
    other = stranger.memberships.get().organization_id
    apis.create(actor=member, organization_id=provider.pk, name="Billing")
    apis.create(actor=stranger, organization_id=other, name="Billing")


def test_only_members_of_a_provider_create(viewer, stranger, provider):
    for actor in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            apis.create(actor=actor, organization_id=provider.pk, name="Billing")
    consumer = OrganizationFactory(consumer=True)
    with pytest.raises(PermissionDenied):
        apis.create(actor=UserFactory(member_of=consumer), organization_id=consumer.pk, name="B")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"version": "x" * 41}, "version"),
        ({"description": "x" * 300_000}, "description"),
        ({"base_path": "/billing/"}, "base_path"),
        ({"base_path": "/" + "a" * 200}, "base_path"),
        (
            {"routes": [{"path": "/", "methods": ["GET"]}, {"path": "x", "methods": ["PUT"]}]},
            "routes.1.path",
        ),
        ({"backends": [{"host": "a_b", "port": 80}]}, "backends.0.host"),
        (
            {"policies": [{"kind": "headers", "config": {"request": {"host": "x"}}}]},
            "policies.0.config.request",
        ),
        (
            {"routes": [{"path": f"/{n}", "methods": ["GET"]} for n in range(MAX_ROUTES + 1)]},
            "routes",
        ),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_kept(member, provider, wrong, field):
    with pytest.raises(InvalidInput) as refusal:
        apis.create(actor=member, organization_id=provider.pk, **{**BILLING, **wrong})
    assert refusal.value.field == field
    assert not ApiService.objects.exists()


def test_what_is_not_given_stays(member):
    service = ApiServiceFactory(organization=member.memberships.get().organization, complete=True)
    before = list(service.routes.values_list("pk", flat=True))

    apis.update(actor=member, service_id=service.pk, description="New")

    service.refresh_from_db()
    assert (service.description, list(service.routes.values_list("pk", flat=True))) == (
        "New",
        before,
    )


def test_unchanged_parts_keep_their_ids(member, provider):
    service = apis.create(actor=member, organization_id=provider.pk, **BILLING)
    kept = service.routes.get(methods=["POST"]).pk
    backend, policy = service.backends.get().pk, service.policies.get().pk

    apis.update(
        actor=member,
        service_id=service.pk,
        routes=[{"path": "/", "methods": ["POST"]}, {"path": "/new", "methods": ["GET"]}],
        backends=[{"host": "billing.svc", "port": 8080, "weight": 5}],
        policies=[],
    )

    calls = {(row.path, *row.methods) for row in service.routes.all()}
    assert calls == {("/", "POST"), ("/new", "GET")}
    assert service.routes.get(path="/").pk == kept
    assert (service.backends.get().pk, service.backends.get().weight) == (backend, 5)
    assert not service.policies.filter(pk=policy).exists()


def test_parts_named_by_id_can_even_swap(member, provider):
    service = ApiServiceFactory(organization=provider)
    one = RouteFactory(service=service, path="/one", methods=["GET"])
    two = RouteFactory(service=service, path="/two", methods=["GET"])

    apis.update(
        actor=member,
        service_id=service.pk,
        routes=[
            {"id": one.pk, "path": "/two", "methods": ["GET"]},
            {"id": two.pk, "path": "/one", "methods": ["GET"]},
        ],
    )

    assert dict(service.routes.values_list("pk", "path")) == {one.pk: "/two", two.pk: "/one"}


def test_a_part_of_another_service_cannot_be_named(member, provider):
    foreign = RouteFactory()
    service = ApiServiceFactory(organization=provider)

    with pytest.raises(InvalidInput) as refusal:
        apis.update(
            actor=member,
            service_id=service.pk,
            routes=[{"id": foreign.pk, "path": "/", "methods": ["GET"]}],
        )
    assert refusal.value.field == "id"
    assert Route.objects.get(pk=foreign.pk).service_id == foreign.service_id


def test_an_id_can_be_named_once(member, provider):
    route = RouteFactory(service=ApiServiceFactory(organization=provider))
    with pytest.raises(InvalidInput):
        apis.update(
            actor=member,
            service_id=route.service_id,
            routes=[
                {"id": route.pk, "path": "/a", "methods": ["GET"]},
                {"id": route.pk, "path": "/b", "methods": ["GET"]},
            ],
        )


def test_an_update_that_changes_nothing_is_not_noted(member, provider):
    service = apis.create(actor=member, organization_id=provider.pk, **BILLING)
    apis.update(actor=member, service_id=service.pk, **BILLING)
    assert AuditEvent.objects.filter(object_id=str(service.pk)).count() == 1


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (
            {
                "routes": [
                    {"path": "/a", "methods": ["GET", "PUT"]},
                    {"path": "/a", "methods": ["put"]},
                ]
            },
            "route_exists",
        ),
        (
            {"backends": [{"host": "a", "port": 80}, {"host": "A", "port": 80, "tls": True}]},
            "backend_exists",
        ),
    ],
)
def test_parts_that_collide_are_a_conflict(member, provider, parts, code):
    with pytest.raises(DomainError) as refusal:
        apis.create(actor=member, organization_id=provider.pk, name="X", **parts)
    assert (refusal.value.status, refusal.value.code) == (409, code)


def test_the_same_path_may_be_prefix_and_exact(member, provider):
    service = apis.create(
        actor=member,
        organization_id=provider.pk,
        name="X",
        routes=[
            {"path": "/a", "methods": ["GET"]},
            {"path": "/a", "methods": ["GET"], "match": "exact"},
        ],
    )
    assert service.routes.count() == 2


def test_strangers_find_nothing_and_viewers_may_not(viewer, stranger, provider):
    service = ApiServiceFactory(organization=provider, complete=True)
    route, backend = service.routes.get(), service.backends.get()
    values, address = {"path": "/x", "methods": ["GET"]}, {"host": "a", "port": 1}
    calls = [
        lambda actor: apis.update(actor=actor, service_id=service.pk, name="X"),
        lambda actor: apis.delete(actor=actor, service_id=service.pk),
        lambda actor: routes.create(actor=actor, service_id=service.pk, **values),
        lambda actor: routes.update(actor=actor, route_id=route.pk, **values),
        lambda actor: routes.delete(actor=actor, route_id=route.pk),
        lambda actor: backends.create(actor=actor, service_id=service.pk, **address),
        lambda actor: backends.update(actor=actor, backend_id=backend.pk, **address),
        lambda actor: backends.delete(actor=actor, backend_id=backend.pk),
    ]
    for call in calls:
        with pytest.raises((ApiService.DoesNotExist, Route.DoesNotExist, Backend.DoesNotExist)):
            call(stranger)
        with pytest.raises(PermissionDenied):
            call(viewer)


def test_an_admin_deletes_a_service_with_its_parts(admin, member, provider):
    service = ApiServiceFactory(organization=provider, complete=True)
    PolicyFactory(service=service)
    with pytest.raises(PermissionDenied):
        apis.delete(actor=member, service_id=service.pk)

    apis.delete(actor=admin, service_id=service.pk)

    assert not any(model.objects.exists() for model in (ApiService, Route, Backend, Policy))
    assert AuditEvent.objects.get(action="api_service.delete").before["name"] == service.name


def test_a_service_in_a_product_stays_and_the_product_is_named(admin, provider):
    service = ApiServiceFactory(organization=provider)
    product = ProductFactory(organization=provider, name="Payment API", services=[service])

    with pytest.raises(DomainError, match=r"Payment API v1\.0") as refusal:
        apis.delete(actor=admin, service_id=service.pk)
    assert refusal.value.code == "service_in_use"
    assert refusal.value.details["products"][0]["id"] == str(product.pk)


def test_one_route_at_a_time(member, provider):
    service = ApiServiceFactory(organization=provider)
    route = routes.create(actor=member, service_id=service.pk, path="/a", methods=["get"])
    routes.update(actor=member, route_id=route.pk, path="/a", methods=["GET", "PUT"], retries=2)

    route.refresh_from_db()
    assert (route.methods, route.retries, route.timeout_ms) == (["GET", "PUT"], 2, 15_000)
    with pytest.raises(DomainError) as refusal:
        routes.create(actor=member, service_id=service.pk, path="/a", methods=["PUT"])
    assert (refusal.value.code, refusal.value.details["method"]) == ("route_exists", "PUT")

    other = routes.create(actor=member, service_id=service.pk, path="/b", methods=["PUT"])
    with pytest.raises(DomainError):
        routes.update(actor=member, route_id=other.pk, path="/a", methods=["PUT"])
    routes.delete(actor=member, route_id=route.pk)
    assert service.routes.get() == other
    assert AuditEvent.objects.filter(object_id=str(service.pk)).count() == 4


def test_one_backend_at_a_time(member, provider):
    service = ApiServiceFactory(organization=provider)
    backend = backends.create(actor=member, service_id=service.pk, host="A", port=80)
    other = backends.create(actor=member, service_id=service.pk, host="b", port=80)
    for call in (
        lambda: backends.create(actor=member, service_id=service.pk, host="a", port=80),
        lambda: backends.update(actor=member, backend_id=other.pk, host="a", port=80),
    ):
        with pytest.raises(DomainError) as refusal:
            call()
        assert refusal.value.code == "backend_exists"

    backends.update(actor=member, backend_id=backend.pk, host="a", port=80, tls=True, weight=3)
    backends.delete(actor=member, backend_id=other.pk)

    assert list(service.backends.values_list("host", "tls", "weight")) == [("a", True, 3)]


def test_a_changed_part_makes_the_service_newer(member, provider):
    service = ApiServiceFactory(organization=provider)
    before = service.updated_at
    routes.create(actor=member, service_id=service.pk, path="/a", methods=["GET"])
    service.refresh_from_db()
    assert service.updated_at > before


def test_the_limits_hold_for_single_parts_too(member, provider):
    service = ApiServiceFactory(organization=provider)
    Route.objects.bulk_create(
        Route(service=service, path=f"/{n}", methods=["GET"]) for n in range(MAX_ROUTES)
    )
    Backend.objects.bulk_create(Backend(service=service, host=f"h{n}", port=1) for n in range(50))

    with pytest.raises(InvalidInput) as refusal:
        routes.create(actor=member, service_id=service.pk, path="/x", methods=["GET"])
    assert refusal.value.field == "routes"
    with pytest.raises(InvalidInput) as refusal:
        backends.create(actor=member, service_id=service.pk, host="x", port=1)
    assert refusal.value.field == "backends"


def test_of_two_routes_for_one_call_that_come_at_once_one_wins(transactional_db):
    provider = OrganizationFactory(provider=True)
    member = UserFactory(member_of=provider)
    service = ApiServiceFactory(organization=provider)
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def add(number: int) -> None:
        start.wait()
        try:
            # Different sets of methods: no unique key sees that they overlap.
            methods = ["GET", ["POST", "PUT", "PATCH", "DELETE"][number]]
            routes.create(actor=member, service_id=service.pk, path="/a", methods=methods)
            outcomes.append("won")
        except DomainError as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["route_exists"] * 3 + ["won"]
    assert service.routes.count() == 1
