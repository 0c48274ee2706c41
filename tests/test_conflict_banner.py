"""The banner of two editors stands where there was one, and nowhere else."""

from __future__ import annotations

import pytest

from accounts.models import Role
from tests.test_router_walk import as_user
from tests.walk.world import World

WORDS = "different from yours"


@pytest.mark.django_db
def test_no_form_that_was_just_opened_speaks_of_somebody_else():
    world = World()
    clients = {kind: as_user(world.somebody(kind, Role.ADMIN)) for kind in world.organizations}
    publish, provider, operator = world.publish, clients["provider"], clients["operator"]
    pages = [
        (provider, "/provider/products/new"),
        (provider, f"/provider/products/{world.product.pk}/edit"),
        (provider, "/provider/gateways/new"),
        (provider, f"/provider/gateways/{world.gateway.pk}/edit"),
        (provider, "/provider/api-services/new"),
        (provider, f"/provider/api-services/{world.service.pk}/edit"),
        (provider, f"/provider/publishes/{publish.pk}/settings"),
        (provider, f"/provider/publishes/{publish.pk}/plans/new"),
        (provider, f"/provider/plans/{world.plan.pk}/edit"),
        (operator, "/operator/clusters/new"),
        (operator, f"/operator/clusters/{world.cluster.pk}/edit"),
        (operator, f"/operator/clusters/{world.cluster.pk}/maintenance"),
    ]
    for client, path in pages:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert WORDS not in answer.content.decode(), path
