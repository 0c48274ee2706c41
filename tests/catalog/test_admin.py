"""The catalog in the Django admin."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from catalog.models import ApiService, Certificate, Gateway, Product
from tests.factories.accounts import UserFactory
from tests.factories.catalog import (
    ApiServiceFactory,
    CertificateFactory,
    GatewayFactory,
    PolicyFactory,
    ProductFactory,
)

pytestmark = pytest.mark.django_db
EMPTY = {"TOTAL_FORMS": "0", "INITIAL_FORMS": "0"}


@pytest.fixture
def root(client):
    client.force_login(UserFactory(superuser=True))
    return client


def formset(prefix, *rows, initial=0):
    found = {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": initial}
    for place, row in enumerate(rows):
        found |= {f"{prefix}-{place}-{name}": value for name, value in row.items()}
    return found


def service_form(provider, **changes):
    return {
        "organization": str(provider.pk),
        "name": "Billing",
        "version": "1.0",
        "base_path": "/billing",
        "description": "",
        **formset(
            "routes",
            {
                "match": "prefix",
                "path": "/",
                "methods": "POST,GET",
                "timeout_ms": 1000,
                "retries": 0,
            },
        ),
        **formset("backends", {"host": "A.example", "port": 80, "weight": 1}),
        **formset("policies"),
        **changes,
    }


def words(response):
    return [str(message) for message in response.context["messages"]]


def test_a_superuser_defines_a_service_through_the_service(root, provider):
    response = root.post(
        reverse("admin:catalog_apiservice_add"), service_form(provider), follow=True
    )

    service = ApiService.objects.get()
    assert response.status_code == 200
    assert service.organization == provider
    assert service.routes.get().methods == ["GET", "POST"]
    assert service.backends.get().host == "a.example"
    assert AuditEvent.objects.filter(action="api_service.create").exists()


def test_editing_keeps_the_ids_of_the_parts(root, provider):
    service = ApiServiceFactory(organization=provider, complete=True)
    PolicyFactory(service=service)
    route, backend, policy = service.routes.get(), service.backends.get(), service.policies.get()
    body = service_form(provider) | {
        **formset(
            "routes",
            {
                "id": route.pk,
                "service": service.pk,
                "match": "exact",
                "path": "/x",
                "methods": "GET",
                "timeout_ms": 5,
                "retries": 0,
            },
            initial=1,
        ),
        **formset(
            "backends",
            {"id": backend.pk, "service": service.pk, "host": "new", "port": 80, "weight": 1},
            initial=1,
        ),
        **formset(
            "policies",
            {
                "id": policy.pk,
                "service": service.pk,
                "kind": "headers",
                "config": "{}",
                "DELETE": "on",
            },
            initial=1,
        ),
    }

    root.post(reverse("admin:catalog_apiservice_change", args=[service.pk]), body, follow=True)

    assert (service.routes.get().pk, service.routes.get().path) == (route.pk, "/x")
    assert (service.backends.get().pk, service.backends.get().host) == (backend.pk, "new")
    assert not service.policies.exists()


def test_a_refusal_is_shown_and_nothing_is_kept(root, provider):
    body = service_form(provider, **{"backends-0-host": "http://a"})
    response = root.post(reverse("admin:catalog_apiservice_add"), body, follow=True)
    assert words(response) == ["Enter the host alone, without scheme or path."]
    assert not ApiService.objects.exists()


def test_what_is_in_use_is_not_deleted(root, provider):
    service = ApiServiceFactory(organization=provider)
    product = ProductFactory(organization=provider, name="Payment", services=[service])
    url = reverse("admin:catalog_apiservice_delete", args=[service.pk])

    response = root.post(url, {"post": "yes"}, follow=True)
    assert "Payment v1.0" in words(response)[0]

    root.post(reverse("admin:catalog_product_delete", args=[product.pk]), {"post": "yes"})
    root.post(url, {"post": "yes"})
    assert not ApiService.objects.exists()
    assert AuditEvent.objects.filter(action="product.delete").exists()


def test_deleting_several_goes_through_the_service_as_well(root, provider):
    free = ApiServiceFactory(organization=provider)
    used = ApiServiceFactory(organization=provider)
    ProductFactory(organization=provider, services=[used])
    url = reverse("admin:catalog_apiservice_changelist")

    body = {
        "action": "delete_selected",
        "post": "yes",
        "_selected_action": [str(free.pk), str(used.pk)],
    }
    response = root.post(url, body, follow=True)

    assert "Take it out of them first" in words(response)[0]
    assert ApiService.objects.filter(pk=used.pk).exists()


def test_products_and_gateways_are_written_too(root, provider):
    service = ApiServiceFactory(organization=provider)
    product = {
        "organization": str(provider.pk), "name": "Pay", "version": "1.0", "description": "",
        "categories": "a,b", "docs_url": "", "services": [str(service.pk)],
    }  # fmt: skip
    root.post(reverse("admin:catalog_product_add"), product)
    made = Product.objects.get()
    assert (made.categories, list(made.services.all())) == (["a", "b"], [service])
    root.post(
        reverse("admin:catalog_product_change", args=[made.pk]), {**product, "name": "Payment"}
    )
    assert Product.objects.get().name == "Payment"

    gateway = {
        "organization": str(provider.pk), "name": "edge", "gateway_class": "envoy", "description": "",
        **formset("listeners", {"port": 8080, "protocol": "HTTP"}),
    }  # fmt: skip
    root.post(reverse("admin:catalog_gateway_add"), gateway)
    row = Gateway.objects.get()
    assert row.listeners.get().port == 8080
    root.post(
        reverse("admin:catalog_gateway_change", args=[row.pk]),
        {
            **gateway,
            **formset(
                "listeners",
                {"id": row.listeners.get().pk, "gateway": row.pk, "port": 81, "protocol": "HTTP"},
                initial=1,
            ),
        },
    )
    assert row.listeners.get().port == 81
    root.post(reverse("admin:catalog_gateway_delete", args=[row.pk]), {"post": "yes"})
    assert not Gateway.objects.exists()


def test_lists_search_and_filter(root, provider):
    service = ApiServiceFactory(organization=provider, complete=True)
    GatewayFactory(organization=provider)
    ProductFactory(organization=provider)
    for model in ("apiservice", "product", "gateway"):
        url = reverse(f"admin:catalog_{model}_changelist")
        for query in ("", f"?q={service.pk}", "?q=a", f"?organization__id__exact={provider.pk}"):
            assert root.get(url + query).status_code == 200, url + query


def test_other_staff_read_what_they_may_see_and_write_nothing(client, provider):
    mine, foreign = ApiServiceFactory(organization=provider, complete=True), ApiServiceFactory()
    client.force_login(UserFactory(member_of=provider, role="admin", is_staff=True))

    listed = client.get(reverse("admin:catalog_apiservice_changelist"))
    assert [row.pk for row in listed.context["cl"].queryset] == [mine.pk]
    page = client.get(reverse("admin:catalog_apiservice_change", args=[mine.pk]))
    assert mine.backends.get().host in page.content.decode()
    assert (
        client.get(reverse("admin:catalog_apiservice_change", args=[foreign.pk])).status_code == 302
    )
    assert client.get(reverse("admin:catalog_apiservice_add")).status_code == 403
    assert (
        client.post(reverse("admin:catalog_apiservice_change", args=[mine.pk]), {}).status_code
        == 403
    )


def test_a_certificate_is_shown_renamed_and_deleted_and_its_key_never(root, provider):
    row = CertificateFactory(organization=provider)
    url = reverse("admin:catalog_certificate_change", args=[row.pk])
    page = root.get(url).content.decode()
    assert row.fingerprint in page
    assert row.sealed_key not in page
    assert "PRIVATE KEY" not in page
    assert root.get(reverse("admin:catalog_certificate_add")).status_code == 403
    root.post(url, {"name": "renamed", "sealed_key": "v1.mine"})
    row.refresh_from_db()
    assert (row.name, row.sealed_key != "v1.mine") == ("renamed", True)
    for query in ("", "?q=renamed", f"?organization__id__exact={provider.pk}"):
        listed = root.get(reverse("admin:catalog_certificate_changelist") + query)
        assert listed.status_code == 200
    root.post(reverse("admin:catalog_certificate_delete", args=[row.pk]), {"post": "yes"})
    assert not Certificate.objects.exists()
