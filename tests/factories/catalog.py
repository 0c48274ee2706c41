"""What providers define. ProductFactory(complete=True) can be published: it has all that this takes."""

from __future__ import annotations

import factory
from factory.django import DjangoModelFactory

from catalog.models import ApiService, Backend, Gateway, Listener, Policy, Product, Route
from tests.factories.accounts import OrganizationFactory


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
