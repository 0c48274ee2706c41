"""What an operator sees of the publishes on its clusters: what runs there and how each change went.

Plans, subscribers and drafts that never reached a cluster are the provider's own business.
"""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet

from clusters.models import Agent, Cluster
from core.queries import prepared
from publishing import stories
from publishing.models import (
    AgentPublish,
    Deployment,
    ProductPublish,
    ProductPublishQuerySet,
    PublishPartQuerySet,
    should_serve,
)
from publishing.states import Status

RECENT = 10
AGENTS = 100


def publishes(user: Any, among: ProductPublishQuerySet) -> ProductPublishQuerySet:
    """Those on the clusters of the operators that the user works for, once something was sent there."""
    mine = among.tenants_of(user, "cluster__organization")
    sent = Deployment.objects.filter(publish=OuterRef("pk"))
    return mine.filter(~Q(status=Status.DRAFT) | Exists(sent))


def deployments(user: Any, among: PublishPartQuerySet) -> PublishPartQuerySet:
    """Those to the clusters of the operators that the user works for."""
    return among.tenants_of(user, "publish__cluster__organization")


@prepared
def listed() -> PublishPartQuerySet:
    """What a row of the list shows: whose publish it is, too."""
    return stories.listed().annotate(provider=F("publish__organization__name"))


@prepared
def rows() -> ProductPublishQuerySet:
    """With what one answer shows."""
    return (
        ProductPublish.objects.select_related("product", "cluster", "organization", "live_revision")
        .defer("live_revision__document")
        .prefetch_related(stories.under_way())
        .with_reach()
    )


def told(user: Any) -> ProductPublishQuerySet:
    """One publish with what its page shows."""
    return (
        publishes(user, ProductPublish.objects.all())
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
