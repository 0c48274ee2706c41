"""Much of everything around the world of tests/walk, written at once: lists cost what they cost by rows."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from accounts.models import ApiToken, AuditEvent, Kind
from catalog.models import Product
from clusters.models import Cluster
from publishing.models import ProductPublish, PublishRevision
from publishing.states import Progress, Status
from tests.factories import accounts, catalog, clusters, publishing, subscriptions
from tests.factories.tls import issue
from tests.walk.world import World


def crowd(world: World, count: int) -> None:
    """`count` rows for each list there is."""
    _operator(world, count)
    _provider(world, count)
    _publishes(world, count)
    _consumer(world, count)
    for organization in world.organizations.values():
        _many(accounts.NoticeFactory, count, organization=organization)


def _many(factory: Any, count: int, **values: Any) -> list[Any]:
    rows = factory.build_batch(count, **values)
    return list(factory._meta.model.objects.bulk_create(rows))


def _each(factory: Any, name: str, owners: list[Any], **values: Any) -> list[Any]:
    rows = [factory.build(**{name: owner}, **values) for owner in owners]
    return list(factory._meta.model.objects.bulk_create(rows))


def _operator(world: World, count: int) -> None:
    more = _many(
        clusters.ClusterFactory,
        count,
        organization=world.organizations[Kind.OPERATOR],
        state=None,
        labels={"tier": "edge"},
    )
    _each(clusters.ClusterStateFactory, "cluster", more)
    _each(clusters.AgentFactory, "cluster", more, live=True)
    _many(clusters.AgentFactory, count, cluster=world.cluster, live=True)
    _many(clusters.RegistrationTokenFactory, count, cluster=world.cluster)
    about = {"object_type": "clusters.cluster", "object_id": str(world.cluster.pk)}
    AuditEvent.objects.bulk_create(
        AuditEvent(
            organization_id=world.cluster.organization_id,
            actor_label="Somebody",
            action="cluster.update",
            before={"name": "old"},
            after={"name": "new"},
            **about,
        )
        for _ in range(count)
    )


def _provider(world: World, count: int) -> None:
    mine = {"organization": world.organizations[Kind.PROVIDER]}
    services = _many(catalog.ApiServiceFactory, count, **mine)
    _each(catalog.RouteFactory, "service", services)
    _each(catalog.BackendFactory, "service", services)
    world.product.services.add(*services[:40])
    paths = [f"/more/{number}" for number in range(count)]
    _each(catalog.RouteFactory, "path", paths, service=world.service)
    _many(catalog.BackendFactory, min(count, 40), service=world.service)
    gateways = _many(catalog.GatewayFactory, count, listener=None, **mine)
    _each(catalog.ListenerFactory, "gateway", gateways)
    _many(catalog.CertificateFactory, count, issued=issue("*.example.com"), **mine)
    _many(catalog.ApiImportFactory, count, **mine)
    products = _many(catalog.ProductFactory, count, **mine)
    through = Product.services.through
    through.objects.bulk_create(
        through(product=product, apiservice=service)
        for product, service in zip(products, services, strict=True)
    )
    drafts = [publishing.PublishDraftFactory.build(product=product) for product in products]
    user = world.api_token.user
    for draft in drafts:
        draft.user = user
    publishing.PublishDraftFactory._meta.model.objects.bulk_create(drafts)
    ApiToken.objects.bulk_create(
        ApiToken(user=user, name="CI", prefix=f"crowd{number}", digest=f"{number:064}", **mine)
        for number in range(count)
    )


def _publishes(world: World, count: int) -> None:
    """Each of another product on another cluster, live, and much about the world's own."""
    places = list(Cluster.objects.exclude(pk=world.cluster.pk)[:count])
    products = list(Product.objects.exclude(pk=world.product.pk)[:count])
    rows = [
        ProductPublish(
            organization=world.publish.organization,
            product=product,
            cluster=cluster,
            gateway=world.gateway,
            environment="prod",
            hostname_base=f"crowd-{uuid.uuid4().hex}.example.com",
            auth_mode="api-key",
        )
        for product, cluster in zip(products, places, strict=True)
    ]
    ProductPublish.objects.bulk_create(rows)
    live = world.publish.live_revision
    revisions = PublishRevision.objects.bulk_create(
        PublishRevision(publish=row, number=1, digest=live.digest, document=live.document)
        for row in rows
    )
    PublishRevision.objects.bulk_create(_other(live, number + 2) for number in range(count))
    newest = PublishRevision.objects.filter(publish=OuterRef("pk")).values("pk")[:1]
    ProductPublish.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Status.PUBLISHED,
        published_at=timezone.now(),
        live_revision=Subquery(newest),
        wanted_revision=Subquery(newest),
    )
    _deployments(world, revisions)
    _each(subscriptions.PlanFactory, "publish", rows)


def _other(live: PublishRevision, number: int) -> PublishRevision:
    document = live.document.replace('"name":"Service', f'"name":"{number} Service')
    digest = hashlib.sha256(document.encode()).hexdigest()
    return PublishRevision(publish=live.publish, number=number, digest=digest, document=document)


def _deployments(world: World, revisions: list[PublishRevision]) -> None:
    own = list(world.publish.revisions.exclude(pk=world.publish.live_revision_id))
    ended = {"status": Progress.SUCCEEDED, "finished_at": timezone.now()}
    made = [
        publishing.DeploymentFactory.build(
            publish=revision.publish, revision=revision, number=number + 100, **ended
        )
        for number, revision in enumerate([*revisions, *own])
    ]
    publishing.DeploymentFactory._meta.model.objects.bulk_create(made)
    _each(publishing.DeploymentVerdictFactory, "deployment", made, agent=world.agent)
    agents = list(world.cluster.agents.exclude(pk=world.agent.pk))
    _each(publishing.DeploymentVerdictFactory, "agent", agents, deployment=world.deployment)
    _each(publishing.AgentPublishFactory, "agent", agents, publish=world.publish)
    _many(publishing.PublishEventFactory, len(own), publish=world.publish, agent=world.agent)


def _consumer(world: World, count: int) -> None:
    plans = _many(subscriptions.PlanFactory, count, publish=world.publish)
    programs = _many(
        subscriptions.ApplicationFactory, count, organization=world.application.organization
    )
    made = [
        subscriptions.SubscriptionFactory.build(
            application=program, plan=plan, publish=world.publish, pending=number % 2 == 0
        )
        for number, (program, plan) in enumerate(zip(programs, plans, strict=True))
    ]
    subscriptions.SubscriptionFactory._meta.model.objects.bulk_create(made)
    _each(subscriptions.CredentialFactory, "subscription", made)
