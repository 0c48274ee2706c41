"""What the tests of publishing play with: a provider, a cluster with agents, and their words."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import Role, User
from clusters.models import Agent, Cluster
from publishing import services
from publishing.models import Deployment, ProductPublish
from publishing.services import agents
from publishing.states import OPEN
from tests.factories.accounts import UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import ProductPublishFactory

PROOF = {
    "method": "GET",
    "host": "api.example.com",
    "port": 8080,
    "path": "/",
    "with_credential": True,
    "expected": 200,
    "got": 200,
    "body": "publish@revision",
    "latency_ms": 1.5,
}
HOURS_AGO = timedelta(hours=2)


def gone(agent: Agent, ago: timedelta = HOURS_AGO) -> None:
    """Not heard of since."""
    Agent.objects.filter(pk=agent.pk).update(last_heartbeat_at=timezone.now() - ago)


def back(agent: Agent) -> None:
    Agent.objects.filter(pk=agent.pk).update(last_heartbeat_at=timezone.now(), disconnected_at=None)


def revoked(agent: Agent) -> None:
    Agent.objects.filter(pk=agent.pk).update(revoked_at=timezone.now())


@dataclass
class Stage:
    """One publish of one provider, on a cluster with as many live agents as asked for."""

    agent_count: int = 1
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster: Cluster = self.settings.pop("cluster", None) or ClusterFactory()
        self.agents = [
            AgentFactory(cluster=self.cluster, live=True) for _each in range(self.agent_count)
        ]
        self.publish: ProductPublish = ProductPublishFactory(cluster=self.cluster, **self.settings)
        self.user: User = UserFactory(
            member_of=self.publish.organization, role=Role.ADMIN, name="Pia"
        )

    # --- what people do ---

    def click(self, note: str = "") -> Deployment:
        return services.publish(actor=self.user, publish_id=self.publish.pk, note=note)

    def withdraw(self, reason: str = "") -> Deployment:
        return services.withdraw(actor=self.user, publish_id=self.publish.pk, reason=reason)

    def change(self) -> None:
        """Anything that makes another revision."""
        route = self.publish.product.services.get().routes.get()
        route.timeout_ms += 1
        route.save()

    # --- what agents do ---

    def dispatch(self) -> None:
        agents.dispatch(cluster_id=self.cluster.pk)

    def sweep(self) -> None:
        agents.sweep(cluster_ids=[self.cluster.pk])

    def say(self, outcome: str, agent: Agent | None = None, **fields: Any) -> None:
        """One agent's word on the deployment that is open, or on `deployment`."""
        agent = agent or self.agents[0]
        deployment = fields.pop("deployment", None) or self.open
        values = {
            "agent_id": agent.pk,
            "epoch": agent.session_epoch,
            "deployment_id": deployment.pk,
            "revision": deployment.revision.digest if deployment.revision else "",
            "outcome": outcome,
            "error": "Address already in use" if outcome == "failed" else "",
            "probe": [PROOF] if outcome == "applied" else [],
            "timings": {"fetch_ms": 1.0, "apply_ms": 2.0, "probe_ms": 3.0},
        }
        agents.record_result(**values | fields)

    def report(self, agent: Agent | None = None, **fields: Any) -> None:
        agent = agent or self.agents[0]
        values = {
            "agent_id": agent.pk,
            "epoch": agent.session_epoch,
            "applied_generation": 1,
            "settled_generation": 1,
            "access_version": 0,
            "publishes": [],
            "last_error": "",
        }
        agents.record_state(**values | fields)

    def serve(self, *serving: Agent) -> Deployment:
        """All of it: click, dispatch, every agent applies."""
        deployment = self.click()
        self.dispatch()
        for agent in serving or self.agents:
            self.say("applied", agent, deployment=deployment)
        return deployment

    # --- what is there ---

    @property
    def open(self) -> Deployment:
        return self.publish.deployments.get(status__in=OPEN)

    def fresh(self) -> ProductPublish:
        return ProductPublish.objects.select_related("live_revision", "wanted_revision").get(
            pk=self.publish.pk
        )

    def latest(self) -> Deployment:
        return self.publish.deployments.order_by("-number").first()

    def outcomes(self, deployment: Deployment | None = None) -> dict[str, str]:
        rows = (deployment or self.latest()).verdicts.all()
        return {verdict.agent.name: verdict.outcome for verdict in rows}

    def generation(self) -> int:
        self.cluster.state.refresh_from_db()
        return self.cluster.state.desired_generation

    def happenings(self) -> list[str]:
        """The timeline, oldest first."""
        return list(self.publish.events.order_by("created_at").values_list("kind", flat=True))

    def commanded(self) -> set[UUID]:
        return set(agents.pending_commands(agent_ids=[agent.pk for agent in self.agents]))
