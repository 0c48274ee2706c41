"""What an operator sees of the publishes on its clusters: what runs there and how each change went.

Plans, subscribers and drafts that never reached a cluster are the provider's own business.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet

from clusters.models import Agent, Cluster
from publishing import stories
from publishing.models import (
    AgentPublish,
    Deployment,
    ProductPublish,
    ProductPublishQuerySet,
    should_serve,
)
from publishing.states import Status

RECENT = 10
AGENTS = 100


def publishes(user: Any) -> ProductPublishQuerySet:
    """On the clusters of the operators that the user works for, once something was sent there."""
    rows = ProductPublish.objects.tenants_of(user, "cluster__organization")
    sent = Deployment.objects.filter(publish=OuterRef("pk"))
    return rows.filter(~Q(status=Status.DRAFT) | Exists(sent))


def deployments(user: Any) -> QuerySet[Deployment]:
    return Deployment.objects.tenants_of(user, "publish__cluster__organization")


def rows(publishes: ProductPublishQuerySet) -> ProductPublishQuerySet:
    """With what one answer shows."""
    return (
        publishes.select_related("product", "cluster", "organization", "live_revision")
        .defer("live_revision__document")
        .prefetch_related(stories.under_way())
        .with_reach()
    )


def told(user: Any) -> ProductPublishQuerySet:
    """One publish with what its page shows."""
    return (
        publishes(user)
        .select_related("product", "gateway", "organization", "live_revision", "wanted_revision")
        .prefetch_related(Prefetch("cluster", Cluster.objects.with_status()))
        .with_reach()
        .annotate(role=stories.role_of(user))  # in the provider's organization
    )


def story(publish: Any) -> dict[str, Any]:
    """For the page of one."""
    rows = list(stories.with_verdicts(publish.deployments.all()).order_by("-number")[:RECENT])
    claims = publish.route_claims.order_by().values("port", "protocol", "host")
    agents = should_serve(publish.cluster_id, publish.gateway.gateway_class)
    serves = AgentPublish.objects.filter(publish=publish)
    return {
        "publish": publish,
        "cluster": publish.cluster,
        "deployments": [(row, refusals(row)) for row in rows],
        "addresses": claims.annotate(routes=Count("path", distinct=True)).order_by("host", "port"),
        "services": stories.services_of(stories.bundle_of(publish)),
        "agents": _serving(publish, agents.order_by("name")[:AGENTS], serves),
    }


def refusals(deployment: Deployment) -> dict[str, list[str]]:
    """What gateways said against it, and which agents' did: mostly all say the same."""
    said: dict[str, list[str]] = {}
    for verdict in deployment.verdicts.all():
        if verdict.error:
            said.setdefault(verdict.error, []).append(verdict.agent.name)
    return said


def _serving(
    publish: ProductPublish, agents: QuerySet[Agent], serves: QuerySet[AgentPublish]
) -> list[dict[str, Any]]:
    """Each agent and what it said of the publish; who should serve nothing and says nothing is left out."""
    said = {row.agent_id: row for row in serves}
    rows = [{"agent": agent, "said": said.get(agent.pk)} for agent in agents]
    return rows if publish.live_revision_id else [row for row in rows if row["said"]]
