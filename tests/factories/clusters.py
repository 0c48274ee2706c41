"""Clusters, agents and tokens. Without traits: a cluster that no agent ever joined, a token nobody used."""

from __future__ import annotations

import secrets
from datetime import timedelta

import factory
from django.utils import timezone
from factory.django import DjangoModelFactory

from clusters.models import Agent, Cluster, ClusterState, RegistrationToken
from tests.factories.accounts import OrganizationFactory


def past(**span: float):
    return factory.LazyFunction(lambda: timezone.now() - timedelta(**span))


class ClusterFactory(DjangoModelFactory):
    class Meta:
        model = Cluster
        skip_postgeneration_save = True

    organization = factory.SubFactory(OrganizationFactory, operator=True)
    name = factory.Sequence("cluster-{}".format)
    region = "kr-central"
    state = factory.RelatedFactory(
        "tests.factories.clusters.ClusterStateFactory", factory_related_name="cluster"
    )

    class Params:
        active = factory.Trait(
            agent=factory.RelatedFactory(
                "tests.factories.clusters.AgentFactory", factory_related_name="cluster", live=True
            )
        )
        inactive = factory.Trait(
            agent=factory.RelatedFactory(
                "tests.factories.clusters.AgentFactory", factory_related_name="cluster", stale=True
            )
        )
        maintenance = factory.Trait(
            maintenance_since=past(hours=1), maintenance_reason="Kernel upgrade"
        )


class ClusterStateFactory(DjangoModelFactory):
    class Meta:
        model = ClusterState

    cluster = factory.SubFactory(ClusterFactory, state=None)


class AgentFactory(DjangoModelFactory):
    """Joined and never connected. The key is random: nobody holds its private half."""

    class Meta:
        model = Agent

    cluster = factory.SubFactory(ClusterFactory)
    name = factory.Sequence("agent-{}".format)
    public_key = factory.LazyFunction(lambda: secrets.token_bytes(32))
    gateway_classes = ["envoy"]
    version = "0.1.0"

    class Params:
        live = factory.Trait(
            session_epoch=1,
            connected_at=past(hours=3),
            last_heartbeat_at=past(seconds=5),
        )
        stale = factory.Trait(
            session_epoch=1,
            connected_at=past(hours=3),
            last_heartbeat_at=past(hours=1),
        )
        disconnected = factory.Trait(
            session_epoch=1,
            connected_at=past(hours=3),
            last_heartbeat_at=past(seconds=40),
            disconnected_at=past(seconds=30),
        )
        revoked = factory.Trait(revoked_at=past(minutes=1))


class RegistrationTokenFactory(DjangoModelFactory):
    """Its digest matches no secret; clusters.services.tokens.create_token makes one that works."""

    class Meta:
        model = RegistrationToken

    cluster = factory.SubFactory(ClusterFactory)
    prefix = factory.Sequence("prefix{}".format)
    digest = "0" * 64
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(hours=1))

    class Params:
        used = factory.Trait(use_count=1, last_used_at=past(minutes=1))
        expired = factory.Trait(expires_at=past(minutes=1))
        revoked = factory.Trait(revoked_at=past(minutes=1))
