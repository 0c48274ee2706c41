"""Products and gateways, through the services."""

from __future__ import annotations

import uuid

import pytest
from django.core.exceptions import PermissionDenied

from accounts.models import AuditEvent
from catalog.models import ApiService, Gateway, Product
from catalog.services import gateways, products
from core.errors import DomainError, InvalidInput
from publishing.models import ProductPublish
from tests.factories.accounts import MembershipFactory, OrganizationFactory
from tests.factories.catalog import ApiServiceFactory, GatewayFactory, ProductFactory
from tests.factories.clusters import AgentFactory, ClusterFactory


def publish_of(product: Product, gateway: Gateway) -> ProductPublish:
    return ProductPublish.objects.create(
        organization=product.organization,
        product=product,
        gateway=gateway,
        cluster=ClusterFactory(name="kr-main"),
        environment="prod",
        hostname_base="api.example.com",
        auth_mode="api-key",
    )


# --- Products --------------------------------------------------------------------------------------


def test_a_product_bundles_services(member, provider):
    services = ApiServiceFactory.create_batch(2, organization=provider)
    product = products.create(
        actor=member,
        organization_id=provider.pk,
        name="Payment API",
        version="2.0",
        categories=["payments", "payments", "finance"],
        docs_url="https://docs.example.com",
        service_ids=[row.pk for row in services],
    )

    product.refresh_from_db()
    assert str(product) == "Payment API v2.0"
    assert product.categories == ["payments", "finance"]
    assert set(product.services.all()) == set(services)
    assert AuditEvent.objects.get(action="product.create").after["docs_url"]


def test_a_service_that_the_actor_cannot_see_does_not_exist(member, provider):
    for pk in (ApiServiceFactory().pk, uuid.uuid4()):
        with pytest.raises(ApiService.DoesNotExist):
            products.create(actor=member, organization_id=provider.pk, name="X", service_ids=[pk])
    assert not Product.objects.exists()


def test_a_service_of_the_actors_other_organization_is_refused(member, provider):
    foreign = ApiServiceFactory()
    MembershipFactory(user=member, organization=foreign.organization)

    with pytest.raises(InvalidInput) as refusal:
        products.create(
            actor=member, organization_id=provider.pk, name="X", service_ids=[foreign.pk]
        )
    assert refusal.value.field == "service_ids"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"version": ""}, "version"),
        ({"docs_url": "javascript:alert(1)"}, "docs_url"),
        ({"categories": "payments"}, "categories"),
        ({"categories": [""]}, "categories"),
        ({"service_ids": [uuid.uuid4() for _ in range(101)]}, "service_ids"),
    ],
)
def test_what_is_wrong_with_a_product_is_named(member, provider, wrong, field):
    with pytest.raises(InvalidInput) as refusal:
        products.create(actor=member, organization_id=provider.pk, **{"name": "X", **wrong})
    assert refusal.value.field == field


def test_a_product_changes_what_is_given(member, provider):
    service = ApiServiceFactory(organization=provider)
    product = ProductFactory(organization=provider, name="Old", services=[service])

    products.update(actor=member, product_id=product.pk, name="New")
    product.refresh_from_db()
    assert (product.name, product.services.count()) == ("New", 1)

    products.update(actor=member, product_id=product.pk, service_ids=[])
    assert product.services.count() == 0
    assert AuditEvent.objects.filter(action="product.update").count() == 2


def test_a_products_name_and_version_can_be_had_once(member, provider):
    ProductFactory(organization=provider, name="Payment API")
    other = ProductFactory(organization=provider)
    for call in (
        lambda: products.create(actor=member, organization_id=provider.pk, name="Payment API"),
        lambda: products.update(actor=member, product_id=other.pk, name="Payment API"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            call()
        assert refusal.value.code == "duplicate"


def test_a_product_with_a_publish_stays_and_the_publish_is_named(admin, provider):
    product = ProductFactory(organization=provider, name="Payment API")
    publish = publish_of(product, GatewayFactory(organization=provider))

    with pytest.raises(DomainError, match=r"prod \(DRAFT, kr-main\)") as refusal:
        products.delete(actor=admin, product_id=product.pk)
    assert refusal.value.code == "product_in_use"
    assert refusal.value.details["publishes"][0]["id"] == str(publish.pk)


def test_an_admin_deletes_a_product_and_its_services_stay(admin, member, provider):
    service = ApiServiceFactory(organization=provider)
    product = ProductFactory(organization=provider, services=[service])
    with pytest.raises(PermissionDenied):
        products.delete(actor=member, product_id=product.pk)

    products.delete(actor=admin, product_id=product.pk)

    assert not Product.objects.exists()
    assert ApiService.objects.filter(pk=service.pk).exists()


def test_products_of_others(viewer, stranger, provider):
    product = ProductFactory(organization=provider)
    for call in (
        lambda actor: products.update(actor=actor, product_id=product.pk, name="X"),
        lambda actor: products.delete(actor=actor, product_id=product.pk),
    ):
        with pytest.raises(Product.DoesNotExist):
            call(stranger)
        with pytest.raises(PermissionDenied):
            call(viewer)
    with pytest.raises(PermissionDenied):
        products.create(actor=viewer, organization_id=provider.pk, name="X")


# --- Gateways --------------------------------------------------------------------------------------


def test_a_gateway_listens(member, provider):
    gateway = gateways.create(
        actor=member,
        organization_id=provider.pk,
        name="edge",
        gateway_class="envoy",
        listeners=[{"port": 8080}, {"port": 80, "protocol": "HTTP"}],
    )
    assert list(gateway.listeners.values_list("port", "protocol")) == [(80, "HTTP"), (8080, "HTTP")]
    assert AuditEvent.objects.get(action="gateway.create").after["listeners"] == [
        "80/HTTP",
        "8080/HTTP",
    ]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"gateway_class": "kong"}, "gateway_class"),
        ({"gateway_class": ""}, "gateway_class"),
        ({"listeners": []}, "listeners"),
        ({"listeners": [{"port": 0}]}, "listeners.0.port"),
        ({"listeners": [{}]}, "listeners.0.port"),
        ({"listeners": [{"port": 80, "protocol": "UDP"}]}, "listeners.0.protocol"),
        ({"listeners": [{"port": n} for n in range(1, 22)]}, "listeners"),
        ({"description": "a\nb"}, "description"),
    ],
)
def test_what_is_wrong_with_a_gateway_is_named(member, provider, wrong, field):
    values = {"name": "edge", "gateway_class": "envoy", "listeners": [{"port": 80}]}
    with pytest.raises(InvalidInput) as refusal:
        gateways.create(actor=member, organization_id=provider.pk, **{**values, **wrong})
    assert refusal.value.field == field


def test_a_port_can_be_listened_on_once(member, provider):
    gateway = GatewayFactory(organization=provider)
    with pytest.raises(DomainError) as refusal:
        gateways.update(actor=member, gateway_id=gateway.pk, listeners=[{"port": 80}, {"port": 80}])
    assert refusal.value.code == "listener_exists"


def test_listeners_are_replaced_and_keep_their_ids(member, provider):
    gateway = GatewayFactory(organization=provider)
    kept = gateway.listeners.get()

    gateways.update(actor=member, gateway_id=gateway.pk, listeners=[{"port": 8080}, {"port": 81}])
    assert gateway.listeners.get(port=8080).pk == kept.pk
    gateways.update(actor=member, gateway_id=gateway.pk, name="new name")
    assert gateway.listeners.count() == 2


def test_a_gateways_name_can_be_had_once(member, provider):
    GatewayFactory(organization=provider, name="edge")
    with pytest.raises(InvalidInput) as refusal:
        gateways.create(
            actor=member,
            organization_id=provider.pk,
            name="edge",
            gateway_class="envoy",
            listeners=[{"port": 80}],
        )
    assert refusal.value.code == "duplicate"


def test_a_gateway_with_a_publish_stays_but_can_be_edited(admin, provider):
    gateway = GatewayFactory(organization=provider)
    publish_of(ProductFactory(organization=provider), gateway)

    with pytest.raises(DomainError) as refusal:
        gateways.delete(actor=admin, gateway_id=gateway.pk)
    assert refusal.value.code == "gateway_in_use"
    gateways.update(actor=admin, gateway_id=gateway.pk, listeners=[{"port": 9000}])
    assert gateway.listeners.get().port == 9000


def test_an_admin_deletes_an_unused_gateway(admin, member, provider):
    gateway = GatewayFactory(organization=provider)
    with pytest.raises(PermissionDenied):
        gateways.delete(actor=member, gateway_id=gateway.pk)
    gateways.delete(actor=admin, gateway_id=gateway.pk)
    assert not Gateway.objects.exists()


def test_gateways_of_others(viewer, stranger, provider):
    gateway = GatewayFactory(organization=provider)
    for call in (
        lambda actor: gateways.update(actor=actor, gateway_id=gateway.pk, name="X"),
        lambda actor: gateways.delete(actor=actor, gateway_id=gateway.pk),
    ):
        with pytest.raises(Gateway.DoesNotExist):
            call(stranger)
        with pytest.raises(PermissionDenied):
            call(viewer)


def test_a_cluster_drives_the_classes_its_agents_know(provider):
    gateway, cluster = GatewayFactory(organization=provider), ClusterFactory()
    rows = Gateway.objects.all()

    assert rows.drivable_on(cluster).get() == gateway  # nobody could say otherwise yet
    AgentFactory(cluster=cluster, gateway_classes=["kong"])
    AgentFactory(cluster=cluster, gateway_classes=["envoy"], revoked=True)
    AgentFactory(gateway_classes=["envoy"])
    assert not rows.drivable_on(cluster).exists()
    AgentFactory(cluster=cluster, gateway_classes=["nginx", "envoy"])
    assert rows.drivable_on(cluster).get() == gateway


def test_organizations_keep_what_they_own(provider):
    other = OrganizationFactory(provider=True)
    GatewayFactory(organization=provider, name="edge")
    GatewayFactory(organization=other, name="edge")
