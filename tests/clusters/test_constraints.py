"""What the database refuses, whoever asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from clusters.models import Cluster
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


@pytest.mark.parametrize("name", ["Foo_Bar", "-a", "a-", "", "a.b", "a\n", "ä"])
def test_names_are_dns_labels(name):
    with refused("clusters_cluster_name_dns_label"):
        ClusterFactory(name=name)


def test_a_name_is_used_once_per_operator():
    cluster = ClusterFactory()
    ClusterFactory(name=cluster.name)
    with refused("clusters_cluster_name_per_operator"):
        ClusterFactory(name=cluster.name, organization=cluster.organization)


def test_maintenance_ends_after_it_starts():
    now = timezone.now()
    with refused("clusters_cluster_maintenance_ends_after_start"), transaction.atomic():
        ClusterFactory(maintenance_since=now, maintenance_until=now - timedelta(seconds=1))
    with refused("clusters_cluster_maintenance_ends_after_start"):
        ClusterFactory(maintenance_until=now)


def test_a_cluster_with_agents_stays():
    cluster = ClusterFactory(active=True)
    with pytest.raises(ProtectedError):
        Cluster.objects.filter(pk=cluster.pk).delete()


def test_agent_names_and_keys_are_used_once_until_revoked():
    agent = AgentFactory(live=True)
    with refused("clusters_agent_name_per_cluster"), transaction.atomic():
        AgentFactory(cluster=agent.cluster, name=agent.name)
    with refused("clusters_agent_key_once"), transaction.atomic():
        AgentFactory(public_key=agent.public_key)
    agent.revoked_at = timezone.now()
    agent.save()
    AgentFactory(cluster=agent.cluster, name=agent.name, public_key=agent.public_key)


def test_agent_names_are_dns_labels():
    with refused("clusters_agent_name_dns_label"):
        AgentFactory(name="Agent_1")


def test_a_token_is_never_used_more_often_than_allowed():
    with refused("clusters_registrationtoken_uses_bounded"):
        RegistrationTokenFactory(use_count=2)
