"""What the smoke test needs to exist, made through REST: cluster, services, products, publishes, keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from deploy.local.smoke.portal import Gateway, Portal, SmokeError, wait_until
from deploy.local.stack import Stack

HOST = "api.smoke.test"
LIMIT = 5  # calls per minute of the small plan


@dataclass
class Scene:
    stack: Stack
    logins: dict[str, dict[str, str]]
    operator: Portal
    provider: Portal
    consumer: Portal
    gateway: Gateway
    cluster: str = ""
    agent_token: str = ""
    template: str = ""
    publishes: dict[str, str] = field(default_factory=dict)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def enter(cls, stack: Stack, logins: list[dict[str, str]]) -> Scene:
        by_role = {login["role"]: login for login in logins}

        def sign_in(role: str) -> Portal:
            return Portal(stack.url, by_role[role]["email"], by_role[role]["password"])

        return cls(
            stack=stack,
            logins=by_role,
            operator=sign_in("operator"),
            provider=sign_in("provider"),
            consumer=sign_in("consumer"),
            gateway=Gateway(stack.gateway_url, HOST),
        )

    def register_cluster(self) -> None:
        """The sample upstream is on loopback, which only the operator may open."""
        cluster = self.operator.post(
            "/api/v1/operator/clusters",
            name="smoke",
            region="local",
            allowed_networks=["127.0.0.0/8"],
            allowed_ports=[self.stack.ports.gateway],
        )
        self.cluster = cluster["id"]
        tokens = f"/api/v1/operator/clusters/{self.cluster}/registration-tokens"
        self.agent_token = self.operator.post(tokens)["token"]

    def cluster_status(self) -> str:
        return self.operator.get(f"/api/v1/operator/clusters/{self.cluster}")["status"]

    def define(self, name: str, path: str, methods: list[str]) -> str:
        """A service with one route and the sample upstream, in a product of its own."""
        service = self.provider.post(
            "/api/v1/provider/api-services",
            name=f"{name} service",
            base_path=path,
            routes=[{"path": "/", "match": "prefix", "methods": methods}],
            backends=[{"host": "127.0.0.1", "port": self.stack.ports.upstream}],
        )
        product = self.provider.post(
            "/api/v1/provider/products", name=name, version="1.0", service_ids=[service["id"]]
        )
        return product["id"]

    def make_gateway(self) -> None:
        gateway = self.provider.post(
            "/api/v1/provider/gateways",
            name="smoke gateway",
            gateway_class="envoy",
            listeners=[{"port": self.stack.ports.gateway, "protocol": "HTTP"}],
        )
        self.template = gateway["id"]

    def create(self, name: str, product: str, auth_mode: str) -> None:
        row = self.provider.post(
            "/api/v1/provider/product-publishes",
            product_id=product,
            cluster_id=self.cluster,
            gateway_id=self.template,
            environment="dev",
            hostname_base=HOST,
            auth_mode=auth_mode,
        )
        self.publishes[name] = row["id"]

    def publish(self, name: str, note: str = "") -> float:
        """Click, and wait until the page would say PUBLISHED; milliseconds."""
        return self._deploy(name, "publish", "PUBLISHED", note=note)

    def withdraw(self, name: str, reason: str = "") -> float:
        return self._deploy(name, "withdraw", "WITHDRAWN", reason=reason)

    def detail(self, name: str) -> dict[str, Any]:
        return self.provider.get(self.path(name))

    def path(self, name: str) -> str:
        return f"/api/v1/provider/product-publishes/{self.publishes[name]}"

    def add_plan(self, name: str, plan: str, rate: int) -> str:
        body = {"name": plan, "rate_per_minute": rate, "price": "0"}
        return self.provider.post(f"{self.path(name)}/plans", **body)["id"]

    def subscribe(self, plan_id: str, application: str) -> str:
        """An application of its own each time; the new key's secret. Its row is kept by the secret."""
        app = self.consumer.post("/api/v1/customer/applications", name=application)
        subscription = self.consumer.post(
            "/api/v1/customer/subscriptions", application_id=app["id"], plan_id=plan_id
        )
        key = self.consumer.post(
            "/api/v1/customer/credentials", subscription_id=subscription["id"], name=application
        )
        self.keys[key["key"]] = key
        return key["key"]

    def revoke(self, secret: str) -> None:
        self.consumer.post(f"/api/v1/customer/credentials/{self.keys[secret]['id']}/revoke")

    def _deploy(self, name: str, verb: str, target: str, **words: str) -> float:
        self.provider.post(f"{self.path(name)}/{verb}", **words)

        def arrived() -> bool:
            row = self.detail(name)
            return row["status"] == target and row["open_deployment"] is None

        try:
            return wait_until(arrived, f"{verb} {name}")
        except SmokeError as error:
            history = self.provider.get(f"{self.path(name)}/deployments")
            raise SmokeError(f"{error}: {str(history)[:1500]}") from error
