"""Two providers who share the clusters, and a consumer: what they may do, through REST."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from deploy.local.smoke.portal import Portal
from deploy.local.smoke.scene import HOST, Scene
from deploy.local.stack import Stack

PROVIDER, RIVAL = "provider", "rival"
HOSTS = {PROVIDER: HOST, RIVAL: "rival.smoke.test"}
PUBLISHES = "/api/v1/provider/product-publishes"
# One start of Django for all of them; the demo's people have one provider only.
MAKE = """
from django.core.management import call_command
from accounts import services
call_command("seed_demo", stage="accounts", json=True)
rival = services.create_organization(actor=None, kind="provider", name="Rival")
services.create_user(actor=None, email={email!r}, password={password!r}, name="Rita Rival")
services.add_member(actor=None, organization_id=rival.pk, email={email!r}, role="admin")
"""
EMAIL, PASSWORD = "rival@demo.example", "demo-gateway-2026"


@dataclass(frozen=True, slots=True)
class People:
    """Signed in. A browser each would only cost time: what they do is what counts."""

    providers: dict[str, Portal]
    consumer: Portal


@dataclass
class Side:
    """One provider, with the operator and the consumer beside it."""

    scene: Scene
    host: str
    login: dict[str, str]
    application: str = ""
    _gateways: dict[int, str] = field(default_factory=dict)

    def offer(
        self,
        label: str,
        mode: str,
        port: int,
        clusters: list[str],
        *,
        host: str = "",
        name: str = "",
    ) -> tuple[str, list[str]]:
        """A product on a path of its own, for each cluster: its service, and the publishes' ids."""
        provider = self.scene.provider
        product = self.scene.define(name or label, f"/{label}", ["GET"])
        service = provider.get(f"/api/v1/provider/products/{product}")["api_services"][0]
        if port not in self._gateways:
            self._gateways[port] = self.scene.make_gateway(f"gateway {port}", port)
        rows = [
            provider.post(
                PUBLISHES,
                product_id=product,
                cluster_id=cluster,
                gateway_id=self._gateways[port],
                environment="dev",
                hostname_base=host or self.host,
                auth_mode=mode,
            )
            for cluster in clusters
        ]
        return str(service), [row["id"] for row in rows]

    def publish(self, pk: str) -> None:
        self.scene.provider.post(f"{PUBLISHES}/{pk}/publish")

    def add_plan(self, pk: str, rate: int) -> str:
        body = {"name": "Basic", "rate_per_minute": rate, "price": "0"}
        return str(self.scene.provider.post(f"{PUBLISHES}/{pk}/plans", **body)["id"])

    def open_application(self) -> None:
        app = self.scene.consumer.post("/api/v1/customer/applications", name="faults")
        self.application = app["id"]

    def subscribe(self, plan: str) -> dict[str, Any]:
        """A subscription and its first key, with the secret."""
        subscription = self.scene.consumer.post(
            "/api/v1/customer/subscriptions", application_id=self.application, plan_id=plan
        )
        return dict(new_key(self.scene.consumer, subscription["id"]))


def enter(stack: Stack) -> dict[str, Side]:
    lines = stack.manage("shell", "-v", "0", "-c", MAKE.format(email=EMAIL, password=PASSWORD))
    known = next(line for line in lines.splitlines() if line.startswith("{"))
    logins = json.loads(known)["logins"]
    rivals = [row for row in logins if row["role"] != "provider"]
    rival = {"role": "provider", "email": EMAIL, "password": PASSWORD}
    return {
        PROVIDER: Side(Scene.enter(stack, logins), HOSTS[PROVIDER], _of(logins, "provider")),
        RIVAL: Side(Scene.enter(stack, [*rivals, rival]), HOSTS[RIVAL], rival),
    }


def sign_in(stack: Stack, sides: dict[str, Side]) -> People:
    def portal(login: dict[str, str]) -> Portal:
        return Portal(stack.url, login["email"], login["password"])

    return People(
        providers={who: portal(side.login) for who, side in sides.items()},
        consumer=portal(sides[PROVIDER].scene.logins["consumer"]),
    )


def new_key(consumer: Portal, subscription: str) -> dict[str, Any]:
    key = consumer.post(
        "/api/v1/customer/credentials", subscription_id=subscription, name="another"
    )
    return dict(key)


def _of(logins: list[dict[str, str]], role: str) -> dict[str, str]:
    return next(login for login in logins if login["role"] == role)
