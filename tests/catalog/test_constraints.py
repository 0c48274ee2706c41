"""The database says no, whoever writes."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from catalog.models import ApiService, Backend, Gateway, Listener, Policy, Product, Route
from tests.factories.catalog import (
    ApiServiceFactory,
    BackendFactory,
    GatewayFactory,
    ListenerFactory,
    PolicyFactory,
    ProductFactory,
    RouteFactory,
)

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


@pytest.mark.parametrize(
    ("factory", "values", "constraint"),
    [
        (ApiServiceFactory, {"base_path": "billing"}, "catalog_apiservice_base_path_absolute"),
        (BackendFactory, {"port": 0}, "catalog_backend_port_range"),
        (BackendFactory, {"port": 65536}, "catalog_backend_port_range"),
        (BackendFactory, {"weight": 0}, "catalog_backend_weight_range"),
        (BackendFactory, {"weight": 1001}, "catalog_backend_weight_range"),
        (RouteFactory, {"match": "regex"}, "catalog_route_match_known"),
        (RouteFactory, {"path": "billing"}, "catalog_route_path_absolute"),
        (RouteFactory, {"methods": []}, "catalog_route_methods_known"),
        (RouteFactory, {"methods": ["FETCH"]}, "catalog_route_methods_known"),
        (RouteFactory, {"rewrite": "x"}, "catalog_route_rewrite_absolute"),
        (RouteFactory, {"timeout_ms": 0}, "catalog_route_timeout_range"),
        (RouteFactory, {"timeout_ms": 300_001}, "catalog_route_timeout_range"),
        (RouteFactory, {"retries": 6}, "catalog_route_retries_range"),
        (PolicyFactory, {"kind": "lua"}, "catalog_policy_kind_known"),
        (GatewayFactory, {"gateway_class": "kong"}, "catalog_gateway_class_known"),
        (ListenerFactory, {"port": 0}, "catalog_listener_port_range"),
        (ListenerFactory, {"protocol": "UDP"}, "catalog_listener_protocol_known"),
    ],
)
def test_values_that_make_no_sense(factory, values, constraint):
    with refused(constraint), transaction.atomic():
        factory(**values)


@pytest.mark.parametrize(
    ("factory", "model", "fields", "constraint"),
    [
        (
            ApiServiceFactory,
            ApiService,
            ["organization", "name", "version"],
            "catalog_apiservice_name_version_once",
        ),
        (BackendFactory, Backend, ["service", "host", "port"], "catalog_backend_address_once"),
        (RouteFactory, Route, ["service", "match", "path", "methods"], "catalog_route_once"),
        (PolicyFactory, Policy, ["service", "kind"], "catalog_policy_kind_once"),
        (
            ProductFactory,
            Product,
            ["organization", "name", "version"],
            "catalog_product_name_version_once",
        ),
        (GatewayFactory, Gateway, ["organization", "name"], "catalog_gateway_name_once"),
        (ListenerFactory, Listener, ["gateway", "port"], "catalog_listener_place_once"),
    ],
)
def test_what_can_be_there_once(factory, model, fields, constraint):
    first = factory()
    twin = {field: getattr(first, field) for field in fields}
    with refused(constraint), transaction.atomic():
        factory(**twin)
    assert model.objects.count() == 1
