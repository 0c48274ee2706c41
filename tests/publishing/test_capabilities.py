"""What the wizard says a class of gateway enforces, and what of it a product uses."""

from __future__ import annotations

import pytest

from catalog.models import GATEWAY_CLASSES, PolicyKind
from publishing.capabilities import ENFORCED, Capability, table
from publishing.services import checks
from tests.factories.catalog import ApiServiceFactory, ProductFactory, RouteFactory
from tests.publishing.test_drafts import Desk
from tests.publishing.test_web_wizard import answer, text, url


def test_every_class_and_every_policy_is_in_the_table():
    assert set(ENFORCED) == {name for name, _label in GATEWAY_CLASSES}
    assert {str(kind) for kind in PolicyKind} <= {str(each) for each in Capability}


def test_the_auth_modes_are_those_that_a_publish_is_let_through_with():
    enforced = ENFORCED["envoy"]
    assert (Capability.API_KEY in enforced) == ("api-key" in checks.ENFORCED)
    assert (Capability.OAUTH2 in enforced) == ("oauth2" in checks.ENFORCED)


@pytest.mark.django_db
def test_what_the_product_uses_comes_first():
    product = ProductFactory()
    service = ApiServiceFactory(organization=product.organization)
    product.services.add(service)
    RouteFactory(service=service, path="/a/{id}")
    RouteFactory(service=service, path="/b", rewrite="/c")
    RouteFactory(service=service, path="/plain")
    service.policies.create(kind="cors", config={})

    rows = table(product, ["envoy"])

    assert [(row.capability, row.uses) for row in rows[:2]] == [
        (Capability.CORS, 1),
        (Capability.REWRITE, 2),
    ]
    assert all(row.uses == 0 for row in rows[2:])
    quota = next(row for row in rows if row.capability == Capability.QUOTA)
    assert quota.enforced == {"envoy": False}


@pytest.mark.django_db
def test_the_wizard_shows_it_beside_the_gateways(client):
    desk = Desk()
    client.force_login(desk.user)
    answer(client, desk, "cluster", cluster_id=str(desk.cluster.pk))
    page = text(client.get(url(desk, "gateway")))
    assert "Calls per day of a plan not yet" in page
    assert "API keys enforced" in page
