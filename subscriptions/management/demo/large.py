"""A portal that has grown: hundreds of clusters, thousands of agents and publishes.

It shows how the pages look and how fast they are then. What people define goes through the services.
What agents would have said is written as rows, since no gateway stands behind it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from catalog.models import Gateway, Product
from catalog.services import apis, gateways, products
from clusters.models import Agent, Cluster
from clusters.services import clusters
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    PublishEvent,
)
from publishing.services import publishes
from publishing.states import OPEN, Happening, Outcome, Progress, Status
from subscriptions.management.demo.people import People
from subscriptions.models import Application, Plan, Subscription
from subscriptions.services import plans
from subscriptions.states import Status as Subscribed

BATCH = 2000
PREFIX = "fleet"
REGIONS = (
    "kr-central",
    "kr-south",
    "ap-northeast",
    "ap-southeast",
    "eu-west",
    "us-east",
    "us-west",
)
PROVIDERS = ("AWS", "Azure", "Google Cloud", "On-premises")
TOPICS = ("payments", "orders", "identity", "shipping", "search", "billing", "catalog", "reports")
VERSIONS = ("0.1.0", "0.1.0", "0.1.0", "0.0.9", "0.0.8")
ENVIRONMENTS = ("dev", "stage", "prod", "prod")


@dataclass(frozen=True, slots=True)
class Size:
    clusters: int = 200
    agents: int = 2000
    products: int = 500
    publishes: int = 2000
    subscriptions: int = 2000


def exists(people: People) -> bool:
    return Cluster.objects.filter(
        organization=people.platform, name__startswith=f"{PREFIX}-"
    ).exists()


def grow(people: People, size: Size, *, seed: int = 1) -> Iterator[str]:
    """Make everything, and say after each part what there is now. The same seed gives the same names."""
    chance = random.Random(seed)  # noqa: S311 - believable numbers, no secrets
    places = _clusters(people, size, chance)
    yield f"{len(places)} clusters"
    with transaction.atomic():
        goods = _products(people, size, chance)
    yield f"{len(goods)} products"
    template = _gateway(people)
    for start in range(0, size.publishes, 100):
        with transaction.atomic():
            for number in range(start, min(start + 100, size.publishes)):
                _publish(people, number, places, goods, template)
        yield f"{min(start + 100, size.publishes)} publishes"
    with transaction.atomic():
        _join(places, size, chance)
        _settle(chance)
        _rest(people, places, chance)
    yield f"{size.agents} agents and what they said"
    with transaction.atomic():
        _subscribe(people, size, chance)
    yield f"{size.subscriptions} subscriptions"


def beat() -> int:
    """As if every agent of the fleet that is not lost had just sent its heartbeat."""
    living = Agent.objects.filter(name__startswith=f"{PREFIX}-", disconnected_at=None)
    return living.update(last_heartbeat_at=timezone.now())


def _clusters(people: People, size: Size, chance: random.Random) -> list[Cluster]:
    return [
        clusters.create(
            actor=people.operator,
            organization_id=people.platform.pk,
            name=f"{PREFIX}-{number:03}",
            region=chance.choice(REGIONS),
            cloud_provider=chance.choice(PROVIDERS),
            description=f"Number {number} of the fleet.",
            labels={
                "tier": chance.choice(("production", "staging", "edge")),
                "rack": f"r{number % 12}",
            },
        )
        for number in range(size.clusters)
    ]


def _products(people: People, size: Size, chance: random.Random) -> list[Product]:
    who: dict[str, Any] = {"actor": people.provider, "organization_id": people.payments.pk}
    services = [
        apis.create(
            **who,
            name=f"{topic.title()} service {number}",
            base_path=f"/{topic}-{number}",
            routes=[
                {"path": "/", "methods": ["GET", "POST"]},
                {"path": "/status", "match": "exact", "methods": ["GET"]},
                {"path": "/items", "methods": ["DELETE", "GET", "PUT"]},
            ],
            backends=[{"host": f"{topic}-{number}.internal.example", "port": 8080}],
        )
        for number in range(max(2, size.products // 5))
        for topic in (TOPICS[number % len(TOPICS)],)
    ]
    return [
        products.create(
            **who,
            name=f"{TOPICS[number % len(TOPICS)].title()} API {number:03}",
            description="One of many.",
            categories=[TOPICS[number % len(TOPICS)]],
            service_ids=[each.pk for each in chance.sample(services, 2)],
        )
        for number in range(size.products)
    ]


def _gateway(people: People) -> Gateway:
    return gateways.create(
        actor=people.provider,
        organization_id=people.payments.pk,
        name=f"{PREFIX} edge",
        gateway_class="envoy",
        listeners=[{"port": 8080}],
    )


def _publish(
    people: People, number: int, places: list[Cluster], goods: list[Product], template: Gateway
) -> None:
    turn, product = divmod(number, len(goods))
    row = publishes.create(
        actor=people.provider,
        organization_id=people.payments.pk,
        product_id=goods[product].pk,
        cluster_id=places[(product + turn * 7) % len(places)].pk,
        gateway_id=template.pk,
        environment=ENVIRONMENTS[turn % len(ENVIRONMENTS)],
        hostname_base=f"p{product}-{turn}.apis.example",
        auth_mode="api-key",
        auth_config={},
        visibility="public",
        approval_required=number % 5 == 0,
    )
    plans.create(
        actor=people.provider, publish_id=row.pk, name="Basic", price=29, rate_per_minute=100
    )
    if number % 20:  # the others stay drafts
        publishes.publish(actor=people.provider, publish_id=row.pk, note=f"Release {number}")


def _join(places: list[Cluster], size: Size, chance: random.Random) -> None:
    """Every tenth cluster has no agent yet, and every twelfth has lost its own."""
    now, homes = timezone.now(), [each for at, each in enumerate(places) if at % 10]
    rows = []
    for number in range(size.agents):
        home = number % len(homes)
        lost = home % 12 == 5
        since = now - timedelta(hours=chance.uniform(1, 900))
        rows.append(
            Agent(
                cluster=homes[home],
                name=f"{PREFIX}-{number:04}",
                public_key=chance.randbytes(32),
                gateway_classes=["envoy"],
                version=chance.choice(VERSIONS),
                session_epoch=1,
                created_at=since,
                connected_at=since,
                last_heartbeat_at=now - timedelta(hours=2) if lost else now,
                disconnected_at=now - timedelta(hours=2) if lost else None,
            )
        )
    Agent.objects.bulk_create(rows, batch_size=BATCH)
    Cluster.objects.filter(pk__in={row.cluster_id for row in rows}).update(first_active_at=now)


def _settle(chance: random.Random) -> None:
    """Each deployment gets its verdicts; one in twenty was refused and leaves a draft."""
    now = timezone.now()
    agents: dict[Any, list[Agent]] = {}
    for agent in Agent.objects.filter(name__startswith=f"{PREFIX}-"):
        agents.setdefault(agent.cluster_id, []).append(agent)
    opened = Deployment.objects.filter(
        status__in=OPEN,
        publish__cluster__in=agents,
        publish__cluster__name__startswith=f"{PREFIX}-",
    ).select_related("publish", "revision")
    refused, proved, verdicts, served, events = [], [], [], [], []
    for number, row in enumerate(opened):
        failed = number % 20 == 7
        (refused if failed else proved).append(row.pk)
        at = now - timedelta(hours=chance.uniform(0, 200))
        for agent in agents[row.publish.cluster_id]:
            outcome = Outcome.FAILED if failed else Outcome.APPLIED
            verdicts.append(
                DeploymentVerdict(
                    deployment=row,
                    agent=agent,
                    outcome=outcome,
                    error="Address already in use" if failed else "",
                    created_at=at,
                    updated_at=at,
                )
            )
            if not failed and row.revision:
                served.append(
                    AgentPublish(agent=agent, publish=row.publish, revision=row.revision.digest)
                )
        told = Happening.FAILED if failed else Happening.PUBLISHED
        events.append(PublishEvent(publish=row.publish, kind=told, deployment=row, created_at=at))
    DeploymentVerdict.objects.bulk_create(verdicts, batch_size=BATCH)
    AgentPublish.objects.bulk_create(served, batch_size=BATCH)
    PublishEvent.objects.bulk_create(events, batch_size=BATCH)
    _close(proved, refused)


def _close(proved: list[Any], refused: list[Any]) -> None:
    now = timezone.now()
    ended = {"dispatched_at": now, "finished_at": now}
    ProductPublish.objects.filter(deployments__in=proved).update(
        status=Status.PUBLISHED, live_revision=F("wanted_revision"), published_at=now
    )
    ProductPublish.objects.filter(deployments__in=refused).update(wanted_revision=None)
    Deployment.objects.filter(pk__in=proved).update(status=Progress.SUCCEEDED, detail="", **ended)
    Deployment.objects.filter(pk__in=refused).update(
        status=Progress.FAILED, detail="Address already in use", **ended
    )


def _rest(people: People, places: list[Cluster], chance: random.Random) -> None:
    for each in chance.sample(places, max(1, len(places) // 40)):
        clusters.set_maintenance(
            actor=people.operator, cluster_id=each.pk, enabled=True, reason="Kernel update"
        )


def _subscribe(people: People, size: Size, chance: random.Random) -> None:
    """One in five still waits for the provider's word."""
    offered = list(Plan.objects.filter(publish__organization=people.payments)[: size.publishes])
    now = timezone.now()
    applications = [
        Application(organization=people.shop, name=f"{PREFIX} app {number:04}")
        for number in range(size.subscriptions)
    ]
    rows = []
    for number, application in enumerate(applications):
        plan, waits = chance.choice(offered), number % 5 == 0
        rows.append(
            Subscription(
                application=application,
                plan=plan,
                publish_id=plan.publish_id,
                status=Subscribed.PENDING if waits else Subscribed.ACTIVE,
                requested_by=people.consumer,
                decided_at=None if waits else now,
            )
        )
    Application.objects.bulk_create(applications, batch_size=BATCH)
    Subscription.objects.bulk_create(rows, batch_size=BATCH)
