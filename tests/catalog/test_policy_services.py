"""Policies one at a time: services and REST."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accounts.models import AuditEvent
from catalog.api.examples import BY_KIND
from catalog.models import ApiService, Policy, PolicyKind
from catalog.services import apis, policies
from core.errors import DomainError, InvalidInput
from tests.factories.catalog import ApiServiceFactory, PolicyFactory

pytestmark = pytest.mark.django_db
SIZE = {"max_bytes": 1000}


@pytest.fixture
def service(provider):
    return ApiServiceFactory(organization=provider)


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def url(service, kind: str = "") -> str:
    return f"/api/v1/provider/api-services/{service.pk}/policies" + (f"/{kind}" if kind else "")


def test_putting_makes_one_and_then_changes_it(member, service):
    made = policies.put(actor=member, service_id=service.pk, kind="request_size", config=SIZE)
    again = policies.put(
        actor=member, service_id=service.pk, kind="request_size", config={"max_bytes": 7}
    )
    assert (again.pk, service.policies.get().config) == (made.pk, {"max_bytes": 7})
    last, first = AuditEvent.objects.filter(action="api_service.update")
    assert first.before["policies"] == []
    assert last.after["policies"] == [{"request_size": {"max_bytes": 7}}]


def test_values_of_headers_are_not_noted(member, service):
    config = {"request": {"x-secret": "s3cret"}, "remove_request": ["cookie"]}
    policies.put(actor=member, service_id=service.pk, kind="headers", config=config)
    event = AuditEvent.objects.get()
    told = {"headers": {"request": ["x-secret"], "remove_request": ["cookie"]}}
    assert event.after["policies"] == [told]
    assert "s3cret" not in str(event.after)


def test_deleting_is_noted(member, service):
    PolicyFactory(service=service)
    policies.delete(actor=member, service_id=service.pk, kind="headers")
    assert not service.policies.exists()
    assert AuditEvent.objects.get().after["policies"] == []
    with pytest.raises(Policy.DoesNotExist):
        policies.delete(actor=member, service_id=service.pk, kind="headers")


def test_only_those_who_may(viewer, stranger, service):
    values = {"service_id": service.pk, "kind": "request_size"}
    with pytest.raises(PermissionDenied):
        policies.put(actor=viewer, config=SIZE, **values)
    with pytest.raises(ApiService.DoesNotExist):
        policies.put(actor=stranger, config=SIZE, **values)
    with pytest.raises(PermissionDenied):
        policies.delete(actor=viewer, **values)
    with pytest.raises(ApiService.DoesNotExist):
        policies.delete(actor=stranger, **values)
    assert not Policy.objects.exists()


def test_a_refused_policy_changes_nothing(member, service):
    PolicyFactory(service=service, kind="request_size", config=SIZE)
    with pytest.raises(InvalidInput):
        policies.put(
            actor=member, service_id=service.pk, kind="request_size", config={"max_bytes": 0}
        )
    assert service.policies.get().config == SIZE


def test_one_method_of_a_path_whatever_its_parameter_is_called(member, service):
    routes = [
        {"path": "/users/{id}", "methods": ["GET"]},
        {"path": "/users/{name}", "methods": ["POST"]},
        {"path": "/users/me", "methods": ["GET"]},
    ]
    apis.update(actor=member, service_id=service.pk, routes=routes)
    clash = {"path": "/users/{name}", "methods": ["GET"]}
    with pytest.raises(DomainError) as refusal:
        apis.update(actor=member, service_id=service.pk, routes=[*routes, clash])
    assert refusal.value.code == "route_exists"
    assert "GET /users/{name}" in refusal.value.message


def test_over_rest(member, service):
    client = client_of(member)
    made = client.put(url(service, "request_size"), {"config": SIZE}, format="json").json()["data"]
    assert (made["kind"], made["config"]) == ("request_size", SIZE)
    assert client.get(url(service, "request_size")).json()["data"] == made
    assert client.get(url(service)).json()["data"]["items"] == [made]
    assert client.delete(url(service, "request_size")).status_code == 204
    assert client.get(url(service, "request_size")).status_code == 404
    assert client.delete(url(service, "request_size")).status_code == 404


@pytest.mark.parametrize(
    ("kind", "body", "field"),
    [
        ("cors", {"config": {"allow_origins": ["x"]}}, "config.allow_origins.0"),
        ("ip", {"config": {"deny": ["10.0.0.0/8", "x"]}}, "config.deny.1"),
        ("request_size", {"config": {}}, "config.max_bytes"),
        ("request_size", {}, "config"),
        ("lua", {"config": {}}, "kind"),
    ],
)
def test_what_is_wrong_is_named(member, service, kind, body, field):
    answer = client_of(member).put(url(service, kind), body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["details"]) == [field]


def test_a_route_says_whether_unsafe_methods_are_repeated(member, service):
    body = {"path": "/users/{id}", "methods": ["POST"], "retries": 2, "retry_unsafe": True}
    client = client_of(member)
    answer = client.post(f"/api/v1/provider/api-services/{service.pk}/routes", body, format="json")
    assert answer.status_code == 201
    assert answer.json()["data"]["retry_unsafe"] is True
    assert service.routes.get().path == "/users/{id}"


def test_the_description_has_an_example_of_each_kind():
    """Of what to send as it is sent, of what comes back in its envelope."""
    described = SchemaGenerator().get_schema(public=True)
    path = described["paths"]["/api/v1/provider/api-services/{id}/policies/{kind}"]["put"]
    sent = path["requestBody"]["content"]["application/json"]["examples"].values()
    get = described["paths"]["/api/v1/provider/api-services/{id}/policies/{kind}"]["get"]
    answered = get["responses"]["200"]["content"]["application/json"]["examples"].values()
    assert [example["value"]["config"] for example in sent] == list(BY_KIND.values())
    assert {example["value"]["data"]["kind"] for example in answered} <= set(PolicyKind.values)
    assert all(example["value"]["success"] for example in answered)
