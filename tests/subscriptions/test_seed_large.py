"""The large data, small: every kind of row is there, and the constraints of the database hold."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command

from clusters.models import Agent, Cluster
from publishing.models import AgentPublish, Deployment, ProductPublish
from publishing.states import OPEN, Progress, Status
from subscriptions.models import Subscription

pytestmark = pytest.mark.django_db
SIZE = {"clusters": 20, "agents": 40, "products": 5, "publishes": 40, "subscriptions": 10}


def test_it_makes_what_it_says_and_a_second_run_adds_nothing(settings):
    settings.DEBUG = True
    for _ in range(2):
        call_command("seed_large", **SIZE)

    assert Cluster.objects.count() == SIZE["clusters"]
    assert Agent.objects.count() == SIZE["agents"]
    assert Subscription.objects.count() == SIZE["subscriptions"]
    assert set(ProductPublish.objects.values_list("status", flat=True)) == {
        Status.DRAFT,
        Status.PUBLISHED,
    }
    assert Deployment.objects.filter(status=Progress.FAILED).exists()
    assert AgentPublish.objects.exists()


def test_clusters_are_in_every_status(settings):
    settings.DEBUG = True
    call_command("seed_large", **SIZE)

    found = set(Cluster.objects.with_status().values_list("status", flat=True))
    assert found == {"pending", "active", "inactive", "maintenance"}


def test_what_waits_waits_for_an_agent(settings):
    """Deployments stay open only where no agent has joined."""
    settings.DEBUG = True
    call_command("seed_large", **SIZE)

    waiting = Deployment.objects.filter(status__in=OPEN)
    assert waiting.exists()
    assert not Agent.objects.filter(cluster__in=waiting.values("publish__cluster")).exists()


def test_production_refuses(settings):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG"):
        call_command("seed_large")
