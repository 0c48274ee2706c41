"""Publishes of complete products; a published one is live with its real bundle and claims."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from publishing.compile import compile_publish
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    HostClaim,
    ProductPublish,
    PublishDraft,
    PublishEvent,
    PublishRevision,
    RouteClaim,
)
from publishing.services import claims
from publishing.states import Happening, Kind, Progress, Status
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import GatewayFactory, ProductFactory
from tests.factories.clusters import AgentFactory, ClusterFactory


class ProductPublishFactory(DjangoModelFactory):
    """A DRAFT. `published=True`: live since an hour; `withdrawn=True`: was live, and is gone."""

    class Meta:
        model = ProductPublish

    organization = factory.SubFactory(OrganizationFactory, provider=True)
    product = factory.SubFactory(
        ProductFactory, organization=factory.SelfAttribute("..organization"), complete=True
    )
    gateway = factory.SubFactory(
        GatewayFactory, organization=factory.SelfAttribute("..organization")
    )
    cluster = factory.SubFactory(ClusterFactory)
    environment = "prod"
    hostname_base = factory.Sequence("api-{}.example.com".format)
    auth_mode = "api-key"

    @classmethod
    def _create(
        cls,
        model_class: type[ProductPublish],
        *_args: Any,
        published: bool = False,
        withdrawn: bool = False,
        **values: Any,
    ) -> ProductPublish:
        publish = model_class.objects.create(**values)
        then = timezone.now() - timedelta(hours=1)
        if published or withdrawn:
            revision = PublishRevisionFactory(publish=publish)
            publish.status, publish.published_at = Status.PUBLISHED, then
            publish.wanted_revision = publish.live_revision = revision
        if withdrawn:
            publish.status, publish.withdrawn_at = Status.WITHDRAWN, then
            publish.wanted_revision = publish.live_revision = None
        publish.save()
        claims.sync(publish)
        return publish


class PublishRevisionFactory(DjangoModelFactory):
    """What the publish compiles to now."""

    class Meta:
        model = PublishRevision
        exclude = ["compiled"]

    publish = factory.SubFactory(ProductPublishFactory)
    number = factory.LazyAttribute(lambda row: row.publish.revisions.count() + 1)
    compiled = factory.LazyAttribute(lambda row: compile_publish(row.publish))
    digest = factory.LazyAttribute(lambda row: row.compiled.digest)
    document = factory.LazyAttribute(lambda row: row.compiled.document)


class DeploymentFactory(DjangoModelFactory):
    """A publish that waits for an agent."""

    class Meta:
        model = Deployment

    publish = factory.SubFactory(ProductPublishFactory)
    number = factory.LazyAttribute(lambda row: row.publish.deployments.count() + 1)
    kind = Kind.PUBLISH
    revision = factory.SubFactory(
        PublishRevisionFactory, publish=factory.SelfAttribute("..publish")
    )
    generation = 1

    class Params:
        withdrawal = factory.Trait(kind=Kind.WITHDRAW, revision=None)
        succeeded = factory.Trait(
            status=Progress.SUCCEEDED, finished_at=factory.LazyFunction(timezone.now)
        )


class DeploymentVerdictFactory(DjangoModelFactory):
    class Meta:
        model = DeploymentVerdict

    deployment = factory.SubFactory(DeploymentFactory)
    agent = factory.SubFactory(
        AgentFactory, cluster=factory.SelfAttribute("..deployment.publish.cluster"), live=True
    )


class AgentPublishFactory(DjangoModelFactory):
    """An agent that serves what is live."""

    class Meta:
        model = AgentPublish

    publish = factory.SubFactory(ProductPublishFactory, published=True)
    agent = factory.SubFactory(
        AgentFactory, cluster=factory.SelfAttribute("..publish.cluster"), live=True
    )
    revision = factory.LazyAttribute(
        lambda row: row.publish.live_revision.digest if row.publish.live_revision else ""
    )


class PublishEventFactory(DjangoModelFactory):
    class Meta:
        model = PublishEvent

    publish = factory.SubFactory(ProductPublishFactory)
    kind = Happening.CREATED


class HostClaimFactory(DjangoModelFactory):
    class Meta:
        model = HostClaim

    cluster = factory.SubFactory(ClusterFactory)
    host = factory.Sequence("host-{}.example.com".format)
    organization = factory.SubFactory(OrganizationFactory, provider=True)


class RouteClaimFactory(DjangoModelFactory):
    class Meta:
        model = RouteClaim

    publish = factory.SubFactory(ProductPublishFactory)
    cluster = factory.SelfAttribute("publish.cluster")
    port = 8080
    protocol = "HTTP"
    host = factory.SelfAttribute("publish.hostname_base")
    match = "prefix"
    path = factory.Sequence("/path-{}".format)
    method = "GET"


class PublishDraftFactory(DjangoModelFactory):
    class Meta:
        model = PublishDraft

    product = factory.SubFactory(ProductFactory, complete=True)
    user = factory.SubFactory(UserFactory)
