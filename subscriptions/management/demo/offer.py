"""What is published: the Payment API with its three services, and two plans."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from catalog.models import ApiService, Gateway, Product
from catalog.services import apis, gateways, products
from clusters.models import Cluster
from core.errors import DomainError
from publishing.compile import compile_publish
from publishing.models import ProductPublish
from publishing.services import publishes
from publishing.states import Progress, Status
from subscriptions.management.demo.people import People
from subscriptions.models import Plan
from subscriptions.services import plans

SERVICES = {
    "Billing": ("/billing", ["GET", "POST", "PUT", "DELETE"]),
    "Invoice": ("/invoices", ["GET", "POST"]),
    "Refund": ("/refunds", ["POST"]),
}
PLANS: tuple[dict[str, Any], ...] = (
    {"name": "Basic", "price": 29, "quota_per_day": 10_000, "rate_per_minute": 100},
    {"name": "Enterprise", "price": 299, "quota_per_day": None, "rate_per_minute": 1000},
)
PATH = "/billing"
GIVEN_UP = (Progress.FAILED, Progress.CANCELLED)


@dataclass(frozen=True, slots=True)
class Where:
    upstream_host: str
    upstream_port: int
    gateway_port: int
    hostname: str


def ensure(people: People, cluster: Cluster, where: Where) -> ProductPublish:
    """Edits made since the last run stay. Only ports that moved are followed, and published anew."""
    product = _product(people, [_service(people, name, where) for name in SERVICES])
    gateway = _gateway(people, where)
    moved = _follow(people, product, gateway, where)
    found = ProductPublish.objects.filter(
        product=product, cluster=cluster, gateway=gateway, environment="prod"
    )
    publish = found.first() or publishes.create(
        actor=people.provider,
        organization_id=people.payments.pk,
        product_id=product.pk,
        cluster_id=cluster.pk,
        gateway_id=gateway.pk,
        environment="prod",
        hostname_base=where.hostname,
        auth_mode="api-key",
        auth_config={},
        visibility="public",
        approval_required=False,
    )
    for settings in PLANS:
        if not Plan.objects.filter(publish=publish, name=settings["name"]).exists():
            plans.create(actor=people.provider, publish_id=publish.pk, **settings)
    _request(people, publish, moved=moved)
    return publish


def wait_until_published(publish: ProductPublish, seconds: float) -> ProductPublish:
    """Until every agent has proved it; raises DomainError with the gateway's words, or when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        publish = ProductPublish.objects.get(pk=publish.pk)
        last = publish.deployments.order_by("-number").first()
        if last is not None and last.status in GIVEN_UP:
            raise DomainError(f"Deployment #{last.number} is {last.status}: {last.detail}")
        if publish.status == Status.PUBLISHED and (last is None or not last.is_open):
            return publish
        if time.monotonic() > deadline:
            state = f"deployment #{last.number} is {last.status}. {last.detail}" if last else ""
            raise DomainError(f"Not published after {seconds:.0f} s: {state}".strip())
        time.sleep(0.1)


def _service(people: People, name: str, where: Where) -> ApiService:
    base_path, methods = SERVICES[name]
    found = ApiService.objects.filter(organization=people.payments, name=name, version="1.0")
    return found.first() or apis.create(
        actor=people.provider,
        organization_id=people.payments.pk,
        name=name,
        description=f"{name} of the Payment API, answered by the sample backend.",
        base_path=base_path,
        routes=[{"path": "/", "methods": methods}],
        backends=[{"host": where.upstream_host, "port": where.upstream_port}],
    )


def _product(people: People, services: list[ApiService]) -> Product:
    found = Product.objects.filter(organization=people.payments, name="Payment API", version="2.0")
    return found.first() or products.create(
        actor=people.provider,
        organization_id=people.payments.pk,
        name="Payment API",
        version="2.0",
        description="Bill customers, send invoices and refund payments.",
        categories=["payments", "finance"],
        service_ids=[service.pk for service in services],
    )


def _gateway(people: People, where: Where) -> Gateway:
    found = Gateway.objects.filter(organization=people.payments, name="edge")
    return found.first() or gateways.create(
        actor=people.provider,
        organization_id=people.payments.pk,
        name="edge",
        description="The public door.",
        gateway_class="envoy",
        listeners=[{"port": where.gateway_port}],
    )


def _follow(people: People, product: Product, gateway: Gateway, where: Where) -> bool:
    """Whether the sample backend or the gateway's port is another one than in the last run."""
    backend = {"host": where.upstream_host, "port": where.upstream_port}
    lost = [
        row
        for row in product.services.filter(name__in=SERVICES)
        if not row.backends.filter(**backend).exists()
    ]
    for service in lost:
        apis.update(actor=people.provider, service_id=service.pk, backends=[backend])
    listener = {"port": where.gateway_port}
    if gateway.listeners.filter(**listener).exists():
        return bool(lost)
    gateways.update(actor=people.provider, gateway_id=gateway.pk, listeners=[listener])
    return True


def _request(people: People, publish: ProductPublish, *, moved: bool) -> None:
    """Unless it is live, or on its way."""
    wanted = publish.wanted_revision
    if wanted is None or (moved and wanted.digest != compile_publish(publish).digest):
        publishes.publish(actor=people.provider, publish_id=publish.pk, note="Demo data")
