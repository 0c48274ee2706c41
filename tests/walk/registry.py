"""Every route of the portal and what it is about. A route that is missing fails tests/test_router_walk.py.

`owner` is the kind of organization whose members see the object. `ids` names the attributes of `World` that
fill the path. `body` passes validation, so that the permission is what refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.walk.world import World

Body = Callable[[World], Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    owner: str
    ids: Mapping[str, str] = field(default_factory=dict)
    body: Body = lambda world: {}


def operator(body: Body = lambda world: {}, **ids: str) -> Target:
    return Target("operator", ids, body)


def provider(body: Body = lambda world: {}, **ids: str) -> Target:
    return Target("provider", ids, body)


def consumer(body: Body = lambda world: {}, **ids: str) -> Target:
    return Target("consumer", ids, body)


def same(**values: Any) -> Body:
    return lambda world: values


def subscriptions(**more: Any) -> Body:
    return lambda world: {"ids": [str(world.subscription.pk)]} | more


SERVICE = same(name="New", version="1", base_path="/new")
ROUTE = same(path="/new", methods=["GET"])
BACKEND = same(host="backend.example.com", port=8443)
POLICY = same(config={"request": {"x-team": "payments"}})
DOCUMENT = same(document='{"openapi": "3.0.0", "paths": {"/a": {"get": {}}}}', url="")
PRODUCT = same(name="New", version="2", service_ids=[])
GATEWAY = same(name="new", gateway_class="envoy", listeners=[{"port": 8081, "protocol": "HTTP"}])
CERTIFICATE = same(name="New", certificate="-----BEGIN", private_key="-----BEGIN")
PLAN = same(name="New", rate_per_minute=10)


def publish(world: World) -> Mapping[str, Any]:
    return {
        "product_id": str(world.product.pk),
        "cluster_id": str(world.cluster.pk),
        "gateway_id": str(world.gateway.pk),
        "environment": "dev",
        "hostname_base": "new.example.com",
        "auth_mode": "api-key",
    }


def waiver(world: World) -> Mapping[str, Any]:
    return {"agent_id": str(world.agent.pk), "name": world.agent.name}


API = {
    # accounts
    "auth/tokens": provider(same(name="CI")),
    "auth/tokens/<uuid:pk>/revoke": provider(pk="api_token"),
    # clusters
    "operator/clusters": operator(same(name="new", region="kr")),
    "operator/clusters/<uuid:pk>": operator(same(name="new", region="kr"), pk="cluster"),
    "operator/clusters/<uuid:pk>/maintenance": operator(same(enabled=True), pk="cluster"),
    "operator/clusters/<uuid:cluster_pk>/registration-tokens": operator(cluster_pk="cluster"),
    "operator/clusters/<uuid:cluster_pk>/registration-tokens/<uuid:pk>": operator(
        cluster_pk="cluster", pk="registration_token"
    ),
    "operator/agents/<uuid:pk>": operator(pk="agent"),
    "operator/agents/<uuid:pk>/revoke": operator(pk="agent"),
    "operator/overview": operator(),
    "operator/agents": operator(),
    "operator/clusters/<uuid:pk>/events": operator(pk="cluster"),
    "operator/regions": operator(same(name="kr-busan")),
    "operator/product-publishes": operator(),
    "operator/product-publishes/<uuid:pk>": operator(pk="publish"),
    "operator/deployments": operator(),
    "operator/deployments/<uuid:pk>": operator(pk="deployment"),
    "provider/clusters": provider(),
    # whoever works in an organization: its notices, and what a word finds
    "notices": operator(),
    "search": operator(),
    # catalog
    "provider/api-services": provider(SERVICE),
    "provider/api-services/<uuid:pk>": provider(SERVICE, pk="service"),
    "provider/api-services/<uuid:pk>/routes": provider(ROUTE, pk="service"),
    "provider/api-services/<uuid:pk>/backends": provider(BACKEND, pk="service"),
    "provider/api-services/<uuid:pk>/policies": provider(pk="service"),
    "provider/api-services/<uuid:pk>/policies/<slug:kind>": provider(
        POLICY, pk="service", kind="policy_kind"
    ),
    "provider/api-services/imports": provider(DOCUMENT),
    "provider/api-services/imports/<uuid:pk>": provider(pk="api_import"),
    "provider/api-services/imports/<uuid:pk>/apply": provider(pk="api_import"),
    "provider/api-services/imports/<uuid:pk>/retry": provider(pk="api_import"),
    "provider/routes/<uuid:pk>": provider(ROUTE, pk="route"),
    "provider/backends/<uuid:pk>": provider(BACKEND, pk="backend"),
    "provider/products": provider(PRODUCT),
    "provider/products/<uuid:pk>": provider(PRODUCT, pk="product"),
    "provider/products/<uuid:pk>/logo": provider(pk="product"),
    "provider/gateways": provider(GATEWAY),
    "provider/gateways/<uuid:pk>": provider(GATEWAY, pk="gateway"),
    "provider/certificates": provider(CERTIFICATE),
    "provider/certificates/<uuid:pk>": provider(CERTIFICATE, pk="certificate"),
    # publishing
    "provider/overview": provider(),
    "provider/products/<uuid:product_pk>/publishes": provider(publish, product_pk="product"),
    "provider/product-publishes": provider(publish),
    "provider/product-publishes/<uuid:pk>": provider(publish, pk="publish"),
    "provider/product-publishes/<uuid:pk>/publish": provider(pk="publish"),
    "provider/product-publishes/<uuid:pk>/withdraw": provider(same(reason="x"), pk="publish"),
    "provider/product-publishes/<uuid:pk>/deployments": provider(pk="publish"),
    "provider/product-publishes/<uuid:pk>/revisions": provider(pk="publish"),
    "provider/product-publishes/<uuid:pk>/events": provider(pk="publish"),
    "provider/product-publishes/<uuid:pk>/changes": provider(pk="publish"),
    "provider/product-publishes/<uuid:pk>/rollback": provider(same(revision=1), pk="publish"),
    "provider/product-publishes/<uuid:pk>/restore": provider(pk="publish"),
    "provider/product-publishes/<uuid:pk>/revisions/<int:number>/compare": provider(
        pk="publish", number="revision_number"
    ),
    "provider/product-publishes/preview": provider(publish),
    "provider/publish-drafts": provider(),
    "provider/products/<uuid:product_pk>/publish-draft": provider(
        lambda world: {"step": "cluster", "cluster_id": str(world.cluster.pk), "version": 0},
        product_pk="product",
    ),
    "provider/products/<uuid:product_pk>/publish-draft/create": provider(
        same(version=0), product_pk="product"
    ),
    "provider/deployments": provider(),
    "provider/deployments/<uuid:pk>": provider(pk="deployment"),
    "provider/deployments/<uuid:pk>/waivers": provider(waiver, pk="deployment"),
    "provider/deployments/<uuid:pk>/cancel": provider(pk="deployment"),
    # subscriptions
    "customer/applications": consumer(same(name="New")),
    "customer/applications/<uuid:pk>": consumer(pk="application"),
    "customer/subscriptions": consumer(
        lambda world: {
            "application_id": str(world.application.pk),
            "plan_id": str(world.plan.pk),
        }
    ),
    "customer/subscriptions/<uuid:pk>": consumer(pk="subscription"),
    "customer/subscriptions/<uuid:pk>/cancel": consumer(pk="subscription"),
    "customer/subscriptions/<uuid:pk>/plan": consumer(
        lambda world: {"plan_id": str(world.plan.pk)}, pk="subscription"
    ),
    "customer/credentials": consumer(lambda world: {"subscription_id": str(world.subscription.pk)}),
    "customer/credentials/<uuid:pk>": consumer(pk="credential"),
    "customer/credentials/<uuid:pk>/revoke": consumer(pk="credential"),
    "provider/product-publishes/<uuid:publish_id>/plans": provider(PLAN, publish_id="publish"),
    "provider/plans/<uuid:pk>": provider(PLAN, pk="plan"),
    "provider/subscriptions": provider(),
    "provider/subscriptions/approve": provider(subscriptions()),
    "provider/subscriptions/reject": provider(subscriptions(reason="x")),
    "provider/subscriptions/suspend": provider(subscriptions(reason="x")),
    "provider/subscriptions/resume": provider(subscriptions()),
    "provider/subscriptions/<uuid:pk>": provider(pk="subscription"),
    "provider/subscriptions/<uuid:pk>/approve": provider(pk="subscription"),
    "provider/subscriptions/<uuid:pk>/reject": provider(same(reason="x"), pk="subscription"),
    "provider/subscriptions/<uuid:pk>/suspend": provider(same(reason="x"), pk="subscription"),
    "provider/subscriptions/<uuid:pk>/resume": provider(pk="subscription"),
}

PAGES = {
    "account/tokens": provider(same(name="CI", lifetime="30")),
    "account/tokens/<uuid:pk>/revoke": provider(pk="api_token"),
    "operator/clusters": operator(),
    "notices": operator(),
    "search": operator(),
    "operator/clusters/check-name": operator(),
    "operator/": operator(),
    "operator/agents": operator(),
    "operator/deployments": operator(),
    "operator/publishes/<uuid:pk>": operator(pk="publish"),
    "operator/clusters/<uuid:pk>/events": operator(pk="cluster"),
    "operator/clusters/new": operator(same(name="new", region="kr")),
    "operator/clusters/<uuid:pk>": operator(pk="cluster"),
    "operator/clusters/<uuid:pk>/edit": operator(same(name="new", region="kr"), pk="cluster"),
    "operator/clusters/<uuid:pk>/maintenance": operator(same(enabled="on"), pk="cluster"),
    "operator/clusters/<uuid:pk>/delete": operator(same(name="cluster-0"), pk="cluster"),
    "operator/clusters/<uuid:pk>/tokens": operator(pk="cluster"),
    "operator/tokens/<uuid:pk>/revoke": operator(pk="registration_token"),
    "operator/agents/<uuid:pk>/revoke": operator(pk="agent"),
    "provider/products/<uuid:pk>/publish/": provider(same(step="cluster"), pk="product"),
    "provider/products/<uuid:pk>/publish/discard": provider(pk="product"),
    "provider/api-services": provider(),
    "provider/api-services/new": provider(SERVICE),
    "provider/api-services/import": provider(DOCUMENT),
    "provider/api-services/<uuid:pk>": provider(pk="service"),
    "provider/api-services/<uuid:pk>/uses": provider(pk="service"),
    "provider/api-services/<uuid:pk>/edit": provider(SERVICE, pk="service"),
    "provider/api-services/<uuid:pk>/delete": provider(pk="service"),
    "provider/api-services/<uuid:pk>/import": provider(DOCUMENT, pk="service"),
    "provider/api-services/<uuid:pk>/routes/new": provider(ROUTE, pk="service"),
    "provider/api-services/<uuid:pk>/backends/new": provider(BACKEND, pk="service"),
    "provider/api-services/<uuid:pk>/policies/<slug:kind>": provider(
        same(request="x-team: payments"), pk="service", kind="policy_kind"
    ),
    "provider/api-services/<uuid:pk>/policies/<slug:kind>/remove": provider(
        pk="service", kind="policy_kind"
    ),
    "provider/routes/<uuid:pk>/edit": provider(ROUTE, pk="route"),
    "provider/routes/<uuid:pk>/remove": provider(pk="route"),
    "provider/backends/<uuid:pk>/edit": provider(BACKEND, pk="backend"),
    "provider/backends/<uuid:pk>/remove": provider(pk="backend"),
    "provider/api-services/imports/<uuid:pk>": provider(pk="api_import"),
    "provider/api-services/imports/<uuid:pk>/apply": provider(pk="api_import"),
    "provider/api-services/imports/<uuid:pk>/retry": provider(pk="api_import"),
    "provider/api-services/imports/<uuid:pk>/discard": provider(pk="api_import"),
    "provider/products": provider(),
    "provider/products/new": provider(same(name="New", version="2")),
    "provider/products/<uuid:pk>": provider(pk="product"),
    "provider/products/<uuid:pk>/waiting": provider(pk="product"),
    "provider/products/<uuid:pk>/edit": provider(same(name="New", version="2"), pk="product"),
    "provider/products/<uuid:pk>/delete": provider(pk="product"),
    "provider/subscriptions": provider(),
    "provider/subscriptions/approve": provider(subscriptions()),
    "provider/subscriptions/reject": provider(subscriptions(reason="x")),
    "provider/subscriptions/suspend": provider(subscriptions(reason="x")),
    "provider/subscriptions/resume": provider(subscriptions()),
    "provider/publishes/<uuid:pk>/plans": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/plans/new": provider(PLAN, pk="publish"),
    "provider/plans/<uuid:pk>/edit": provider(PLAN, pk="plan"),
    "provider/plans/<uuid:pk>/delete": provider(pk="plan"),
    "provider/": provider(),
    "provider/gateways": provider(),
    "provider/gateways/new": provider(same(name="new", gateway_class="envoy")),
    "provider/gateways/<uuid:pk>": provider(pk="gateway"),
    "provider/gateways/<uuid:pk>/edit": provider(same(name="new"), pk="gateway"),
    "provider/gateways/<uuid:pk>/delete": provider(pk="gateway"),
    "provider/certificates": provider(),
    "provider/certificates/new": provider(CERTIFICATE),
    "provider/certificates/<uuid:pk>": provider(pk="certificate"),
    "provider/certificates/<uuid:pk>/replace": provider(CERTIFICATE, pk="certificate"),
    "provider/certificates/<uuid:pk>/rename": provider(same(name="New"), pk="certificate"),
    "provider/certificates/<uuid:pk>/delete": provider(pk="certificate"),
    "provider/publishes": provider(),
    "provider/publishes/<uuid:pk>": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/changes": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/revisions": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/revisions/<int:number>": provider(
        pk="publish", number="revision_number"
    ),
    "provider/publishes/<uuid:pk>/revisions/<int:number>/rollback": provider(
        pk="publish", number="revision_number"
    ),
    "provider/publishes/<uuid:pk>/settings": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/restore": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/delete": provider(pk="publish"),
    "provider/deployments": provider(),
    "provider/deployments/<uuid:pk>": provider(pk="deployment"),
    "provider/deployments/<uuid:pk>/waive/<uuid:agent_pk>": provider(
        same(name="x"), pk="deployment", agent_pk="agent"
    ),
    "provider/publishes/<uuid:pk>/publish": provider(pk="publish"),
    "provider/publishes/<uuid:pk>/withdraw": provider(same(reason="x"), pk="publish"),
    "provider/deployments/<uuid:pk>/cancel": provider(pk="deployment"),
}

SOCKETS = {
    "ws/clusters": operator(),
    "ws/clusters/<uuid:pk>": operator(pk="cluster"),
    "ws/imports/<uuid:pk>": provider(pk="api_import"),
    "ws/gateways/<uuid:pk>": provider(pk="gateway"),
    "ws/products/<uuid:pk>": provider(pk="product"),
    "ws/subscriptions": provider(),
    "ws/publishes": provider(),
    "ws/publishes/<uuid:pk>": provider(pk="publish"),
}

# Routes with rules of their own, and where those are tested.
ELSEWHERE = {
    "api/v1/auth/login": "no account needed: tests/accounts/test_api.py",
    "api/v1/auth/refresh": "no account needed: tests/accounts/test_api.py",
    "api/v1/auth/logout": "no account needed: tests/accounts/test_api.py",
    "api/v1/auth/me": "about the caller: tests/accounts/test_api.py",
    "api/v1/agent/manifest": "agents only: tests/agents",
    "api/v1/agent/bundles/<sha256:digest>": "agents only: tests/agents",
    "api/v1/agent/secrets/<uuid:pk>": "agents only: tests/agents",
    "api/v1/agent/access": "agents only: tests/agents",
    "api/v1/public/products": "for everybody: tests/subscriptions",
    "api/v1/public/products/<uuid:pk>": "for everybody: tests/subscriptions",
    "api/schema": "for everybody",
    "api/docs": "for everybody",
    "agent/ca.pem": "for everybody: tests/agents",
    "logos/<uuid:pk>.png": "for everybody: tests/catalog/test_logos.py",
    "login": "for everybody: tests/accounts/test_web.py",
    "logout": "about the caller: tests/accounts/test_web.py",
    "organization": "about the caller: tests/accounts/test_web.py",
    "notices/<uuid:pk>/read": "the reader's own mark: tests/accounts/test_notices.py",
    "api/v1/notices/<uuid:pk>/read": "the reader's own mark: tests/accounts/test_notices.py",
    "language": "about the caller: tests/accounts/test_web.py",
    "": "about the caller: tests/accounts/test_web.py",
    "i18n/setlang/": "Django's",
    "^api(?:/|$)": "unknown paths: tests/core/test_api_envelope.py",
}
