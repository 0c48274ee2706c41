"""What providers define. ProductFactory(complete=True) can be published: it has all that this takes."""

from __future__ import annotations

import uuid

import factory
from factory.django import DjangoModelFactory

from catalog.models import (
    ApiImport,
    ApiService,
    Backend,
    Certificate,
    Gateway,
    Listener,
    Policy,
    Product,
    Route,
)
from core.sealing import seal
from tests.factories.accounts import OrganizationFactory
from tests.factories.tls import issue


class ApiServiceFactory(DjangoModelFactory):
    class Meta:
        model = ApiService
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory, provider=True)
    name = factory.Sequence("Service {}".format)
    base_path = factory.Sequence("/service-{}".format)

    class Params:
        complete = factory.Trait(
            route=factory.RelatedFactory(
                "tests.factories.catalog.RouteFactory", factory_related_name="service"
            ),
            backend=factory.RelatedFactory(
                "tests.factories.catalog.BackendFactory", factory_related_name="service"
            ),
        )


class RouteFactory(DjangoModelFactory):
    class Meta:
        model = Route

    service = factory.SubFactory(ApiServiceFactory)
    path = "/"
    methods = ["GET", "POST"]


class BackendFactory(DjangoModelFactory):
    class Meta:
        model = Backend

    service = factory.SubFactory(ApiServiceFactory)
    host = factory.Sequence("backend-{}.example.com".format)
    port = 8080


class PolicyFactory(DjangoModelFactory):
    class Meta:
        model = Policy

    service = factory.SubFactory(ApiServiceFactory)
    kind = "headers"
    config = {"request": {"x-team": "payments"}}


class ProductFactory(DjangoModelFactory):
    """ProductFactory(services=[…]); the services' organization should be the product's."""

    class Meta:
        model = Product
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory, provider=True)
    name = factory.Sequence("Product {}".format)

    class Params:
        complete = factory.Trait(
            services=factory.PostGeneration(
                lambda product, create, extracted: product.services.set(
                    [ApiServiceFactory(organization=product.organization, complete=True)]
                )
            )
        )

    @factory.post_generation
    def services(self, create, extracted):
        if create and extracted:
            self.services.set(extracted)


class CertificateFactory(DjangoModelFactory):
    """CertificateFactory(issued=issue("api.example.com"))"""

    class Meta:
        model = Certificate

    class Params:
        issued = factory.LazyFunction(lambda: issue("*.example.com"))

    id = factory.LazyFunction(uuid.uuid4)
    organization = factory.SubFactory(OrganizationFactory, provider=True)
    name = factory.Sequence("certificate-{}".format)
    chain = factory.LazyAttribute(lambda row: row.issued.chain)
    sealed_key = factory.LazyAttribute(
        lambda row: seal(row.issued.private_key.encode(), place=f"catalog.certificate:{row.id}")
    )
    fingerprint = factory.LazyAttribute(lambda row: row.issued.fingerprint)
    hosts = factory.LazyAttribute(lambda row: row.issued.hosts)
    key_type = "ECDSA P-256"
    not_before = factory.LazyAttribute(lambda row: row.issued.certificate.not_valid_before_utc)
    not_after = factory.LazyAttribute(lambda row: row.issued.certificate.not_valid_after_utc)


class GatewayFactory(DjangoModelFactory):
    class Meta:
        model = Gateway
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory, provider=True)
    name = factory.Sequence("gateway-{}".format)
    gateway_class = "envoy"
    listener = factory.RelatedFactory(
        "tests.factories.catalog.ListenerFactory", factory_related_name="gateway"
    )


class ListenerFactory(DjangoModelFactory):
    class Meta:
        model = Listener

    gateway = factory.SubFactory(GatewayFactory, listener=None)
    port = 8080

    class Params:
        https = factory.Trait(
            protocol="HTTPS",
            port=8443,
            certificate=factory.SubFactory(
                CertificateFactory, organization=factory.SelfAttribute("..gateway.organization")
            ),
        )


class ApiImportFactory(DjangoModelFactory):
    """Ready to be applied; ApiImportFactory(pending=True) waits for the worker."""

    class Meta:
        model = ApiImport

    organization = factory.SubFactory(OrganizationFactory, provider=True)
    source = "paste"
    status = "ready"
    document = '{"openapi": "3.0.0"}'
    preview = factory.LazyFunction(
        lambda: {
            "format": "OpenAPI 3.0.0",
            "name": "Pets",
            "version": "1.0",
            "description": "",
            "base_path": "/v1",
            "backends": [{"host": "pets.example.com", "port": 443, "tls": True}],
            "routes": [
                {
                    "match": "exact",
                    "path": "/pets",
                    "methods": ["GET"],
                    "operations": [
                        {"method": "GET", "name": "list", "summary": "", "deprecated": False}
                    ],
                }
            ],
            "operation_count": 1,
            "notes": [],
            "note_count": 0,
        }
    )

    class Params:
        pending = factory.Trait(
            source="url",
            origin="https://specs.example.com/openapi.json",
            status="pending",
            document="",
            preview={},
        )
