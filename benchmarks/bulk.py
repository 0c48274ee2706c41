"""Rows by the thousand, where clicking takes hours; through services where rules or versions hang on it."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction

BATCH = 2000


def people() -> list[dict[str, str]]:
    """Operator, provider and consumer, each with an organization, as logins."""
    from accounts.models import Kind, Membership, Organization, Role, User

    logins = []
    for kind in Kind:
        password = secrets.token_urlsafe(16)
        user = User.objects.create_user(f"{kind}@bench.example.com", password)
        organization = Organization.objects.create(kind=kind, name=f"Bench {kind}")
        Membership.objects.create(user=user, organization=organization, role=Role.ADMIN)
        logins.append({"role": str(kind), "email": user.email, "password": password})
    return logins


def member(kind: str) -> tuple[Any, Any]:
    """The person and organization of a kind."""
    from accounts.models import Membership

    found = Membership.objects.select_related("user", "organization").get(organization__kind=kind)
    return found.user, found.organization


def clusters(count: int) -> list[UUID]:
    from clusters.services import clusters as services

    user, organization = member("operator")
    return [
        services.create(
            actor=user, organization_id=organization.pk, name=f"bench-{number}", region="local"
        ).pk
        for number in range(count)
    ]


def agents(cluster_ids: list[UUID], count: int, into: Path) -> None:
    """Joined agents, spread evenly over the clusters; their keys as JSON lines."""
    from clusters.models import Agent

    rows, lines = [], []
    for number in range(count):
        key, cluster = Ed25519PrivateKey.generate(), number % len(cluster_ids)
        row = Agent(
            cluster_id=cluster_ids[cluster],
            name=f"sim-{number}",
            public_key=key.public_key().public_bytes_raw(),
            gateway_classes=["envoy"],
            version="0.1.0",
        )
        rows.append(row)
        known = {"id": str(row.pk), "cluster": cluster, "key": key.private_bytes_raw().hex()}
        lines.append(json.dumps(known))
    Agent.objects.bulk_create(rows, batch_size=BATCH)
    into.touch(mode=0o600)
    into.write_text("\n".join(lines) + "\n")


@transaction.atomic
def move_on(cluster_ids: list[UUID]) -> None:
    """As if each cluster's desired state had changed: a generation further, and a wake."""
    from django.db.models import F

    from clusters.models import ClusterState
    from core import notify

    rows = ClusterState.objects.filter(cluster__in=cluster_ids)
    rows.update(desired_generation=F("desired_generation") + 1)
    for cluster_id in cluster_ids:
        notify.wake(cluster_id)


def subscriptions(plan_id: str, count: int) -> list[UUID]:
    """Active ones, each of an application of its own."""
    from django.utils import timezone

    from subscriptions.models import Application, Plan, Subscription
    from subscriptions.states import Status

    user, organization = member("consumer")
    plan, now = Plan.objects.get(pk=plan_id), timezone.now()
    applications = [
        Application(organization=organization, name=f"bench {number}") for number in range(count)
    ]
    rows = [
        Subscription(
            application=application,
            plan=plan,
            publish_id=plan.publish_id,
            status=Status.ACTIVE,
            requested_by=user,
            decided_at=now,
        )
        for application in applications
    ]
    Application.objects.bulk_create(applications, batch_size=BATCH)
    Subscription.objects.bulk_create(rows, batch_size=BATCH)
    return [row.pk for row in rows]


def keys(subscription_ids: list[UUID], count: int) -> list[tuple[UUID, str]]:
    """So many keys, spread over the subscriptions: (credential, secret)."""
    found = []
    for number, subscription_id in enumerate(subscription_ids):
        share = len(range(number, count, len(subscription_ids)))
        if share:
            found += _keys_of(subscription_id, share)
    return found


@transaction.atomic
def _keys_of(subscription_id: UUID, count: int) -> list[tuple[UUID, str]]:
    from subscriptions.models import Credential, Subscription
    from subscriptions.services import access

    rows, found = [], []
    for number in range(count):
        prefix = secrets.token_hex(8)
        secret = f"ik_{prefix}_{secrets.token_urlsafe(32)}"
        row = Credential(
            subscription_id=subscription_id,
            name=f"bench {number}",
            prefix=prefix,
            digest=hashlib.sha256(secret.encode()).hexdigest(),
        )
        rows.append(row)
        found.append((row.pk, secret))
    Credential.objects.bulk_create(rows, batch_size=BATCH)
    access.put_keys(Subscription.objects.select_related("publish").get(pk=subscription_id), rows)
    return found


def publishes(gateway_id: str, cluster_id: str, count: int, upstream: int) -> None:
    """Live ones, each of a product and host of its own. Their verdicts are given here, not by an agent."""
    from catalog.services import apis, products
    from publishing.services import publishes as services

    user, organization = member("provider")
    service = apis.create(
        actor=user,
        organization_id=organization.pk,
        name="Bulk",
        base_path="/bulk",
        routes=[{"path": "/", "match": "prefix", "methods": ["GET"]}],
        backends=[{"host": "127.0.0.1", "port": upstream}],
    )
    with transaction.atomic():  # the agent hears of all of them at once
        for number in range(count):
            product = products.create(
                actor=user,
                organization_id=organization.pk,
                name=f"Bulk {number}",
                service_ids=[service.pk],
            )
            row = services.create(
                actor=user,
                organization_id=organization.pk,
                product_id=product.pk,
                cluster_id=UUID(cluster_id),
                gateway_id=UUID(gateway_id),
                environment="dev",
                hostname_base=f"h{number}.bench.test",
                auth_mode="none",
                auth_config={},
                visibility="private",
                approval_required=False,
            )
            services.publish(actor=user, publish_id=row.pk)
        _settle()


def _settle() -> None:
    from django.db.models import F
    from django.utils import timezone

    from publishing.models import Deployment, ProductPublish
    from publishing.states import OPEN, Progress, Status

    now = timezone.now()
    opened = Deployment.objects.filter(status__in=OPEN)
    ProductPublish.objects.filter(deployments__in=opened).update(
        status=Status.PUBLISHED, live_revision=F("wanted_revision"), published_at=now
    )
    opened.update(status=Progress.SUCCEEDED, dispatched_at=now, finished_at=now)
