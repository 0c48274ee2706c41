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
    ports: list[int] = field(default_factory=list)
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

    # --- the operator's part ---

    def register_cluster(self) -> None:
        self.ports = [self.stack.ports.gateway]
        self.cluster, self.agent_token = self.new_cluster("smoke")

    def new_cluster(self, name: str) -> tuple[str, str]:
        """A cluster and a token for its first agent. Only the operator may open loopback to backends."""
        cluster = self.operator.post("/api/v1/operator/clusters", **self._cluster(name))
        return cluster["id"], self.new_token(cluster["id"])

    def new_token(self, cluster: str) -> str:
        return self.operator.post(f"/api/v1/operator/clusters/{cluster}/registration-tokens")[
            "token"
        ]

    def allow_port(self, port: int) -> None:
        self.ports.append(port)
        self.operator.put(f"/api/v1/operator/clusters/{self.cluster}", **self._cluster("smoke"))

    def cluster_status(self) -> str:
        return self.operator.get(f"/api/v1/operator/clusters/{self.cluster}")["status"]

    def live_agents(self, cluster: str) -> int:
        return self.operator.get(f"/api/v1/operator/clusters/{cluster}")["active_agent_count"]

    def _cluster(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "region": "local",
            "allowed_networks": ["127.0.0.0/8"],
            # The first cluster proves that the range is enforced; the others take any port.
            "allowed_ports": self.ports if name == "smoke" else [],
        }

    # --- the provider's part ---

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

    def make_gateway(self, name: str, port: int) -> str:
        gateway = self.provider.post(
            "/api/v1/provider/gateways",
            name=name,
            gateway_class="envoy",
            listeners=[{"port": port, "protocol": "HTTP"}],
        )
        return gateway["id"]

    def create(
        self, name: str, product: str, auth_mode: str, *, gateway: str = "", cluster: str = ""
    ) -> None:
        row = self.provider.post(
            "/api/v1/provider/product-publishes",
            product_id=product,
            cluster_id=cluster or self.cluster,
            gateway_id=gateway or self.template,
            environment="dev",
            hostname_base=HOST,
            auth_mode=auth_mode,
        )
        self.publishes[name] = row["id"]

    def publish(self, name: str, note: str = "") -> float:
        """Click, and wait until the page would say PUBLISHED; milliseconds."""
        self.send(name, "publish", note=note)
        return self.arrival(name, "PUBLISHED")

    def withdraw(self, name: str, reason: str = "") -> float:
        self.send(name, "withdraw", reason=reason)
        return self.arrival(name, "WITHDRAWN")

    def send(self, name: str, verb: str, **words: str) -> None:
        self.provider.post(f"{self.path(name)}/{verb}", **words)

    def detail(self, name: str) -> dict[str, Any]:
        return self.provider.get(self.path(name))

    def deployment(self, name: str) -> dict[str, Any]:
        """The newest one."""
        return self.provider.rows(f"{self.path(name)}/deployments")[0]

    def path(self, name: str) -> str:
        return f"/api/v1/provider/product-publishes/{self.publishes[name]}"

    def add_plan(self, name: str, plan: str, rate: int) -> str:
        body = {"name": plan, "rate_per_minute": rate, "price": "0"}
        return self.provider.post(f"{self.path(name)}/plans", **body)["id"]

    # --- the consumer's part ---

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
        self.consumer.post(f"{self._key(secret)}/revoke")

    def receipts(self, secret: str) -> set[str]:
        """What the receipt of a revocation says of each gateway."""
        receipt = self.consumer.get(self._key(secret))["receipt"]
        return {each["status"] for each in receipt["gateways"]}

    def _key(self, secret: str) -> str:
        return f"/api/v1/customer/credentials/{self.keys[secret]['id']}"

    def arrival(self, name: str, target: str) -> float:
        """Wait for a click's end; milliseconds, and the deployment's words if it does not come."""

        def arrived() -> bool:
            row = self.detail(name)
            return row["status"] == target and row["open_deployment"] is None

        try:
            return wait_until(arrived, f"{name} becoming {target}")
        except SmokeError as error:
            raise SmokeError(f"{error}: {str(self.deployment(name))[:1500]}") from error
