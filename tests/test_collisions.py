"""Whoever deletes, and whoever is just about to use what is deleted: one of them is told why not.

Nobody gets a broken foreign key or a deadlock for an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection

from accounts.models import Kind, Role
from catalog.services import apis, certificates, gateways, imports, products, routes
from clusters.services import agents, clusters, tokens
from core.errors import DomainError
from publishing.services import drafts, publishes
from subscriptions.services import applications, credentials, plans, subscriptions
from tests.agents.server.rig import Key, make_token
from tests.factories.catalog import (
    ApiServiceFactory,
    CertificateFactory,
    GatewayFactory,
    ProductFactory,
)
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import ApplicationFactory, PlanFactory, SubscriptionFactory
from tests.walk.world import World

ROUNDS = 4
DOCUMENT = '{"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}'
Calls = tuple[Callable[[], object], ...]


class Scene(World):
    """With whom does what, and fresh rows to do it to."""

    def __init__(self) -> None:
        super().__init__()
        AgentFactory(cluster=self.cluster, live=True)
        self.operator = self.somebody(Kind.OPERATOR, Role.ADMIN)
        self.provider = self.somebody(Kind.PROVIDER, Role.ADMIN)
        self.consumer = self.somebody(Kind.CONSUMER, Role.ADMIN)
        self.mine = {"organization": self.organizations[Kind.PROVIDER]}

    def new_cluster(self) -> Any:
        return ClusterFactory(organization=self.organizations[Kind.OPERATOR])

    def settings(self, cluster: Any = None, gateway: Any = None) -> dict[str, Any]:
        return {
            "cluster_id": (cluster or self.cluster).pk,
            "gateway_id": (gateway or self.gateway).pk,
            "environment": "dev",
            "hostname_base": "new.example.com",
            "auth_mode": "api-key",
            "auth_config": {},
            "visibility": "public",
            "approval_required": False,
        }

    def publish_of(self, product: Any, **where: Any) -> Callable[[], object]:
        return lambda: publishes.create(
            actor=self.provider,
            organization_id=product.organization_id,
            product_id=product.pk,
            **self.settings(**where),
        )

    def edit_of(self, publish: Any, **where: Any) -> Callable[[], object]:
        return lambda: publishes.update(
            actor=self.provider, publish_id=publish.pk, **self.settings(**where)
        )


def together(calls: Calls) -> list[str]:
    """What came of each call: "" or why not. Anything else than our own words fails the test."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> str:
        try:
            connection.ensure_connection()
            gate.wait(10)
            call()
        except (DomainError, ObjectDoesNotExist) as error:
            return type(error).__name__
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(run, call) for call in calls]]


def of_clusters(scene: Scene) -> list[Calls]:
    def gone(cluster: Any) -> Callable[[], object]:
        return lambda: clusters.delete(actor=scene.operator, cluster_id=cluster.pk)

    taken, moved_to, invited, joined, kept = (scene.new_cluster() for _ in range(5))
    idle = ProductPublishFactory(cluster=scene.cluster, gateway=scene.gateway, **scene.mine)
    key, token = Key(), make_token(joined)
    asked = key.request(token)
    named = ("token", "name", "public_key", "signature", "version", "gateway_classes")
    return [
        (gone(taken), scene.publish_of(scene.product, cluster=taken)),
        (gone(moved_to), scene.edit_of(idle, cluster=moved_to)),
        (gone(invited), lambda: tokens.create_token(actor=scene.operator, cluster_id=invited.pk)),
        (
            gone(joined),
            lambda: agents.register_agent(**{name: getattr(asked, name) for name in named}),
        ),
        (
            gone(kept),
            lambda: clusters.set_maintenance(
                actor=scene.operator, cluster_id=kept.pk, enabled=True
            ),
        ),
    ]


def of_definitions(scene: Scene) -> list[Calls]:
    who = {"actor": scene.provider}
    published, drafted, bundle = ProductFactory.create_batch(3, **scene.mine)
    used, moved_to, plain = GatewayFactory.create_batch(3, **scene.mine)
    bundled, grown, imported = ApiServiceFactory.create_batch(3, **scene.mine)
    certificate = CertificateFactory(**scene.mine)
    idle = ProductPublishFactory(cluster=scene.cluster, gateway=scene.gateway, **scene.mine)
    listener = {"port": 8443, "protocol": "HTTPS", "certificate_id": certificate.pk}
    return [
        (
            lambda: products.delete(**who, product_id=published.pk),
            scene.publish_of(published),
        ),
        (
            lambda: products.delete(**who, product_id=drafted.pk),
            lambda: drafts.save(
                **who,
                product_id=drafted.pk,
                step="cluster",
                advance=False,
                version=None,
                answers={"cluster_id": str(scene.cluster.pk)},
            ),
        ),
        (
            lambda: gateways.delete(**who, gateway_id=used.pk),
            scene.publish_of(ProductFactory(**scene.mine), gateway=used),
        ),
        (
            lambda: gateways.delete(**who, gateway_id=moved_to.pk),
            scene.edit_of(idle, gateway=moved_to),
        ),
        (
            lambda: apis.delete(**who, service_id=bundled.pk),
            lambda: products.update(
                **who, product_id=bundle.pk, name="B", version="1", service_ids=[bundled.pk]
            ),
        ),
        (
            lambda: apis.delete(**who, service_id=grown.pk),
            lambda: routes.create(**who, service_id=grown.pk, path="/new", methods=["GET"]),
        ),
        (
            lambda: apis.delete(**who, service_id=imported.pk),
            lambda: imports.start(
                **who,
                organization_id=imported.organization_id,
                service_id=imported.pk,
                document=DOCUMENT,
            ),
        ),
        (
            lambda: certificates.delete(**who, certificate_id=certificate.pk),
            lambda: gateways.update(
                **who,
                gateway_id=plain.pk,
                name="edge",
                gateway_class="envoy",
                listeners=[listener | {"hostname": "*.example.com"}],
            ),
        ),
    ]


def of_publishes(scene: Scene) -> list[Calls]:
    who = {"actor": scene.provider}
    place = {"gateway": scene.gateway, **scene.mine}
    fresh = ProductPublishFactory(cluster=scene.cluster, **place)
    elsewhere = ProductPublishFactory(cluster=scene.new_cluster(), **place)
    live = ProductPublishFactory(cluster=scene.new_cluster(), published=True, **place)
    agent = AgentFactory(cluster=live.cluster, live=True)
    return [
        (
            lambda: publishes.delete(**who, publish_id=fresh.pk),
            lambda: publishes.publish(**who, publish_id=fresh.pk),
            lambda: plans.create(**who, publish_id=fresh.pk, name="Free"),
        ),
        (
            lambda: publishes.publish(**who, publish_id=elsewhere.pk),
            lambda: clusters.delete(actor=scene.operator, cluster_id=elsewhere.cluster_id),
            lambda: products.delete(**who, product_id=elsewhere.product_id),
        ),
        (
            *[lambda: publishes.withdraw(**who, publish_id=live.pk, reason="Old")] * 2,
            lambda: agents.revoke_agent(actor=scene.operator, agent_id=agent.pk),
            lambda: publishes.publish(**who, publish_id=live.pk),
        ),
    ]


def of_subscriptions(scene: Scene) -> list[Calls]:
    who, they = {"actor": scene.consumer}, {"actor": scene.provider}
    apps = ApplicationFactory.create_batch(4, organization=scene.application.organization)
    ended = PlanFactory(publish=scene.publish)
    asked = SubscriptionFactory(application=apps[2], plan=scene.plan, pending=True).pk
    used = SubscriptionFactory(application=apps[3], plan=scene.plan).pk
    return [
        (
            lambda: plans.delete(**they, plan_id=ended.pk),
            lambda: subscriptions.subscribe(**who, application_id=apps[0].pk, plan_id=ended.pk),
        ),
        (
            lambda: applications.delete(**who, application_id=apps[1].pk),
            lambda: subscriptions.subscribe(
                **who, application_id=apps[1].pk, plan_id=scene.plan.pk
            ),
        ),
        (
            *[lambda: subscriptions.approve(**they, subscription_id=asked)] * 2,
            lambda: subscriptions.reject(**they, subscription_id=asked, reason="No"),
            lambda: subscriptions.cancel(**who, subscription_id=asked),
        ),
        (
            lambda: subscriptions.cancel(**who, subscription_id=used),
            lambda: credentials.create(**who, subscription_id=used),
            lambda: subscriptions.suspend(**they, subscription_id=used, reason="Unpaid"),
        ),
    ]


@pytest.mark.django_db(transaction=True)
def test_what_is_deleted_and_used_at_once():
    scene = Scene()
    for _ in range(ROUNDS):
        for cases in (of_clusters, of_definitions, of_publishes, of_subscriptions):
            for calls in cases(scene):
                found = together(calls)
                assert "" in found, "nobody got their way"
