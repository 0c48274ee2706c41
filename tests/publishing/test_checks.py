"""What is refused before anything is sent, each with its own code."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Agent
from core.errors import DomainError
from tests.factories.accounts import OrganizationFactory
from tests.factories.catalog import ApiServiceFactory, ListenerFactory
from tests.factories.publishing import ProductPublishFactory
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db


def refusal_of(stage: Stage) -> DomainError:
    with pytest.raises(DomainError) as caught:
        stage.click()
    assert caught.value.status == 409
    assert not stage.publish.deployments.exists()
    assert stage.generation() == 0
    return caught.value


def test_a_complete_product_passes():
    assert Stage().click().status == "QUEUED"


def test_an_auth_mode_that_nothing_enforces():
    stage = Stage(settings={"auth_mode": "oauth2"})
    error = refusal_of(stage)
    assert error.code == "auth_mode_unsupported"
    assert error.details == {"auth_mode": "oauth2", "supported": ["none", "api-key"]}


def maintain(stage: Stage, until=None) -> None:
    stage.cluster.maintenance_since = timezone.now() - timedelta(minutes=5)
    stage.cluster.maintenance_until = until
    stage.cluster.maintenance_reason = "Kernel upgrade"
    stage.cluster.save()


def test_a_cluster_in_maintenance_says_why_and_until_when():
    stage = Stage()
    until = timezone.now() + timedelta(hours=1)
    maintain(stage, until)
    error = refusal_of(stage)
    assert error.code == "cluster_in_maintenance"
    assert error.details == {"reason": "Kernel upgrade", "until": until.isoformat()}
    assert "Kernel upgrade" in error.message
    assert until.strftime("%Y-%m-%d %H:%M") in error.message


def test_maintenance_without_an_end():
    stage = Stage()
    maintain(stage)
    assert refusal_of(stage).details["until"] is None


def test_maintenance_that_is_over_blocks_nothing():
    stage = Stage()
    maintain(stage, timezone.now() - timedelta(minutes=1))
    assert stage.click().status == "QUEUED"


def test_maintenance_never_blocks_a_withdrawal():
    stage = Stage()
    stage.serve()
    maintain(stage)
    assert stage.withdraw().status == "QUEUED"


def test_a_cluster_that_was_closed_to_the_provider():
    stage = Stage()
    stage.cluster.open_to_all = False
    stage.cluster.save()
    assert refusal_of(stage).code == "cluster_not_offered"
    stage.cluster.open_to.add(stage.publish.organization)
    assert stage.click().status == "QUEUED"


def test_a_gateway_that_no_agent_can_drive():
    stage = Stage()
    Agent.objects.update(gateway_classes=["kong"])
    error = refusal_of(stage)
    assert error.code == "gateway_not_drivable"
    assert error.details == {"gateway_class": "envoy"}


def test_a_product_without_a_service():
    stage = Stage()
    stage.publish.product.services.clear()
    assert refusal_of(stage).code == "no_services"


def test_a_gateway_without_a_listener():
    stage = Stage()
    stage.publish.gateway.listeners.all().delete()
    assert refusal_of(stage).code == "no_listeners"


def test_a_service_without_a_route():
    stage = Stage()
    bare = ApiServiceFactory(organization=stage.publish.organization, name="Refunds")
    stage.publish.product.services.add(bare)
    error = refusal_of(stage)
    assert error.code == "no_routes"
    assert error.details == {"services": [{"id": str(bare.pk), "name": "Refunds"}]}
    assert "Refunds" in error.message


def test_a_service_without_a_backend():
    stage = Stage()
    stage.publish.product.services.get().backends.all().delete()
    assert refusal_of(stage).code == "no_backends"


def test_a_port_that_the_cluster_does_not_allow():
    stage = Stage()
    stage.cluster.allowed_ports = [80, 80, 8000, 8999]
    stage.cluster.save()
    ListenerFactory(gateway=stage.publish.gateway, port=9090)
    error = refusal_of(stage)
    assert error.code == "port_not_allowed"
    assert error.details == {"ports": [9090], "allowed": [80, "8000-8999"]}
    assert "9090" in error.message
    assert "80, 8000-8999" in error.message


FORBIDDEN = [
    "127.0.0.1",
    "::1",
    "169.254.169.254",
    "localhost",
    "127.1",
    "metadata.google.internal",
]


@pytest.mark.parametrize("host", FORBIDDEN)
def test_a_backend_on_loopback_or_metadata(host):
    stage = Stage()
    stage.publish.product.services.get().backends.update(host=host)
    error = refusal_of(stage)
    assert error.code == "backend_forbidden"
    assert error.details == {"backends": [f"{host}:8080"]}
    assert host in error.message


def test_a_backend_that_the_operator_allowed():
    stage = Stage()
    stage.cluster.allowed_networks = ["127.0.0.0/8"]
    stage.cluster.save()
    stage.publish.product.services.get().backends.update(host="127.0.0.1")
    assert stage.click().status == "QUEUED"


@pytest.mark.parametrize("host", ["10.1.2.3", "billing.default.svc.cluster.local", "192.168.0.7"])
def test_private_backends_are_normal(host):
    stage = Stage()
    stage.publish.product.services.get().backends.update(host=host)
    assert stage.click().status == "QUEUED"


def test_a_withdrawn_publish_whose_target_was_taken_meanwhile():
    stage = Stage(settings={"withdrawn": True})
    other = ProductPublishFactory(
        organization=stage.publish.organization,
        product=stage.publish.product,
        gateway=stage.publish.gateway,
        cluster=stage.cluster,
    )
    error = refusal_of(stage)
    assert error.code == "publish_exists"
    assert error.details == {"publish_id": str(other.pk), "status": "DRAFT"}


def test_every_refusal_leaves_no_trace():
    stage = Stage(settings={"organization": OrganizationFactory(provider=True)})
    stage.publish.product.services.clear()
    refusal_of(stage)
    assert not stage.publish.revisions.exists()
    assert not stage.publish.events.exists()
