"""A busy portal: two persons' worth of trouble on one screen each, so that pages show what they can."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from accounts.models import ApiToken, Organization, User
from clusters.models import Agent, Cluster
from clusters.services import clusters as cluster_services
from clusters.services import tokens as token_services
from publishing.models import ProductPublish
from publishing.services.deployments import NO_AGENT
from publishing.states import Happening, Kind, Outcome, Progress
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.catalog import (
    ApiServiceFactory,
    BackendFactory,
    CertificateFactory,
    GatewayFactory,
    ProductFactory,
    RouteFactory,
)
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import (
    AgentPublishFactory,
    DeploymentFactory,
    DeploymentVerdictFactory,
    ProductPublishFactory,
    PublishEventFactory,
    PublishRevisionFactory,
)
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory

LONGEST = "kr-central-production-payments-and-settlement-blue-green-pool01"  # 63 characters
ENVOY_SAYS = (
    "gRPC config for type.googleapis.com/envoy.config.route.v3.RouteConfiguration rejected: "
    "Proto constraint validation failed (RouteValidationError.Match: embedded message failed "
    'validation | caused by field: "regex", reason: invalid pattern "/refunds/(?<id>[0-9]+": '
    "missing closing parenthesis)"
)


def ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)


class Scene:
    """Rows by the names that the tests use. Everything is committed when the constructor is done."""

    def __init__(self) -> None:
        self.clusters: dict[str, Cluster] = {}
        self.publishes: dict[str, ProductPublish] = {}
        self.people: dict[str, User] = {}
        self.platform: Organization = OrganizationFactory(operator=True, name="Platform Team")
        self.payments: Organization = OrganizationFactory(provider=True, name="Payments")
        self.shop: Organization = OrganizationFactory(consumer=True, name="Saebom Commerce")
        self._meet_people()
        self._register_clusters()
        self._offer_products()
        self._make_tokens()

    def _meet_people(self) -> None:
        for email, name, organization, role in [
            ("dohyun.kim", "Dohyun Kim", self.platform, "admin"),
            ("sora.han", "Sora Han", self.platform, "viewer"),
            ("jihoon.park", "Jihoon Park", self.payments, "admin"),
            ("minji.lee", "Minji Lee", self.payments, "viewer"),
            ("yuna.choi", "Yuna Choi", self.shop, "member"),
        ]:
            self.people[email] = UserFactory(
                email=f"{email}@example.com", name=name, member_of=organization, role=role
            )
        self.people["newcomer"] = UserFactory(email="newcomer@example.com", name="New Comer")
        # Somebody in two organizations has the switcher.
        MembershipFactory(user=self.people["jihoon.park"], organization=self.shop)

    # --- the operator's side ---

    def _register_clusters(self) -> None:
        main = self._cluster("kr-central-main", "kr-central", "AWS EKS", agents=3)
        Agent.objects.filter(cluster=main).update(applied_generation=418, settled_generation=418)
        stuck = main.agents.order_by("-name")[0]
        Agent.objects.filter(pk=stuck.pk).update(applied_generation=417, last_error=ENVOY_SAYS)
        main.state.desired_generation = 418
        main.state.save()
        self._cluster("us-east-primary", "us-east", "GCP GKE", agents=2)
        self._cluster("ap-northeast-dr", "ap-northeast", "AWS EKS", agents=1, lost=1)
        edge = self._cluster("eu-west-edge", "eu-west", "Bare metal", agents=2)
        cluster_services.set_maintenance(
            actor=self.people["dohyun.kim"],
            cluster_id=edge.pk,
            enabled=True,
            reason="Kernel upgrade of all nodes",
            until=timezone.now() + timedelta(hours=2),
        )
        pilot = self._cluster("jp-tokyo-pilot", "jp-tokyo", "GCP GKE", agents=0)
        token_services.create_token(actor=self.people["dohyun.kim"], cluster_id=pilot.pk)
        self._cluster("empty", "kr-central", "", agents=0)
        self._crowd()

    def _cluster(self, name: str, region: str, cloud: str, *, agents: int, lost: int = 0) -> Any:
        cluster = cluster_services.create(
            actor=self.people["dohyun.kim"],
            organization_id=self.platform.pk,
            name=name,
            region=region,
            cloud_provider=cloud,
            description=f"Gateways of {region}",
            labels={"tier": "production", "owner": "platform-team"},
            allowed_ports=[80, 443, "8000-8999"],
        )
        for number in range(agents):
            AgentFactory(
                cluster=cluster,
                name=f"agent-{name}-{number + 1:02}",
                live=number >= lost,
                stale=number < lost,
            )
        Cluster.objects.filter(pk=cluster.pk).update(first_active_at=ago(days=41))
        self.clusters[name] = cluster
        return cluster

    def _crowd(self) -> None:
        """As much as the rules allow: a name of 63 characters, 30 labels, agents in every state."""
        crowd = ClusterFactory(
            organization=self.platform,
            name=LONGEST,
            region="kr-central",
            description="Blue and green pools of the payment gateways, " * 6,
            labels={f"team.example.com/cost-center-{n:02}": f"value-{n:02}" for n in range(30)},
            first_active_at=ago(days=400),
        )
        for number in range(8):
            AgentFactory(
                cluster=crowd,
                name=f"agent-with-a-name-as-long-as-they-come-in-the-blue-pool-{number:02}",
                live=number < 6,
                disconnected=number == 6,
                gateway_classes=["envoy", "gateway-api"],
            )
        self.clusters["crowd"] = crowd

    # --- the provider's side ---

    def _offer_products(self) -> None:
        main = self.clusters["kr-central-main"]
        self.gateway = GatewayFactory(organization=self.payments, name="prod-gateway")
        self.certificate = CertificateFactory(organization=self.payments, name="wildcard")
        self._live(main)
        self._refused(main)
        self._partly(main)
        self._applying(main)
        self._waiting(self.clusters["ap-northeast-dr"])
        frozen = self._publish(
            "frozen", "Loyalty API", self.clusters["eu-west-edge"], published=True
        )
        for agent in frozen.cluster.agents.all():
            AgentPublishFactory(publish=frozen, agent=agent)
        self._publish("draft", "Receipt API", main, environment="stage", auth_mode="none")
        gone = self._publish("withdrawn", "Legacy API", main, withdrawn=True)
        ProductPublish.objects.filter(pk=gone.pk).update(
            withdraw_reason="Replaced by Payment API v2.0", withdrawn_by=self.people["jihoon.park"]
        )
        self._publish(
            "long",
            "Payment, settlement and reconciliation API for partner banks 2026",
            self.clusters["crowd"],
            hostname_base=f"{LONGEST}.{LONGEST}.example.com",
        )

    def _publish(self, name: str, product: str, cluster: Cluster, **values: Any) -> ProductPublish:
        service = ApiServiceFactory(
            organization=self.payments,
            name=f"{product.partition(',')[0]} service"[:60],
            base_path=f"/{name}",
        )
        RouteFactory(service=service, path="/", methods=["GET", "POST"])
        RouteFactory(service=service, path="/health", methods=["GET"])
        BackendFactory(service=service, host=f"{name}.payments.svc.cluster.local")
        row = ProductPublishFactory(
            organization=self.payments,
            product=ProductFactory(
                organization=self.payments, name=product, version="2.0", services=[service]
            ),
            cluster=cluster,
            gateway=self.gateway,
            created_by=self.people["jihoon.park"],
            hostname_base=values.pop("hostname_base", f"{name}.payments.example"),
            **values,
        )
        PublishEventFactory(publish=row, actor=self.people["jihoon.park"], created_at=ago(days=9))
        self.publishes[name] = row
        return row

    def _live(self, cluster: Cluster) -> None:
        row = self._publish("live", "Payment API", cluster, published=True)
        self._deploy(row, row.live_revision, Progress.SUCCEEDED, note="Production release v2.0")
        for agent in cluster.agents.all():
            AgentPublishFactory(publish=row, agent=agent)
        basic = PlanFactory(publish=row, name="Basic", price="29.00", quota_per_day=10_000)
        PlanFactory(publish=row, name="Enterprise", price="299.00", rate_per_minute=1_000)
        for _number in range(3):
            SubscriptionFactory(plan=basic)

    def _refused(self, cluster: Cluster) -> None:
        row = self._publish("refused", "Settlement API", cluster, published=True)
        self._deploy(row, row.live_revision, Progress.SUCCEEDED)
        RouteFactory(service=row.product.services.get(), path="/refunds", methods=["POST"])
        newer = PublishRevisionFactory(publish=row)
        self._deploy(row, newer, Progress.FAILED, note="Faster refund timeouts")

    def _partly(self, cluster: Cluster) -> None:
        row = self._publish("partly", "User API", cluster, published=True)
        self._deploy(row, row.live_revision, Progress.SUCCEEDED)
        AgentPublishFactory(publish=row, agent=cluster.agents.order_by("name")[0])

    def _applying(self, cluster: Cluster) -> None:
        row = self._publish("applying", "Order API", cluster)
        ProductPublish.objects.filter(pk=row.pk).update(
            wanted_revision=(revision := PublishRevisionFactory(publish=row))
        )
        self._deploy(row, revision, Progress.APPLYING)

    def _waiting(self, cluster: Cluster) -> None:
        row = self._publish("waiting", "Tax API", cluster)
        revision = PublishRevisionFactory(publish=row)
        ProductPublish.objects.filter(pk=row.pk).update(wanted_revision=revision)
        deployment = DeploymentFactory(
            publish=row,
            revision=revision,
            detail=NO_AGENT,
            requested_by=self.people["jihoon.park"],
        )
        for kind in (Happening.REQUESTED, Happening.QUEUED):
            PublishEventFactory(
                publish=row, kind=kind, deployment=deployment, actor=self.people["jihoon.park"]
            )

    def _deploy(self, row: ProductPublish, revision: Any, status: str, note: str = "") -> None:
        """With the verdict that each agent of the cluster gave by then, and the timeline's lines."""
        over = status not in {Progress.DISPATCHED, Progress.APPLYING}
        deployment = DeploymentFactory(
            publish=row,
            revision=revision,
            kind=Kind.PUBLISH,
            status=status,
            note=note,
            generation=418,
            requested_by=self.people["jihoon.park"],
            detail=f"agent-03: {ENVOY_SAYS}" if status == Progress.FAILED else "",
            finished_at=ago(minutes=2) if over else None,
        )
        agents = list(row.cluster.agents.order_by("name"))
        for agent, outcome in zip(agents, OUTCOMES[Progress(status)], strict=True):
            self._verdict(deployment, agent, outcome)
        for kind in TOLD[Progress(status)]:
            PublishEventFactory(
                publish=row,
                kind=kind,
                deployment=deployment,
                actor=self.people["jihoon.park"],
                agent=agents[-1],
                note=note if kind == Happening.REQUESTED else "",
                created_at=ago(minutes=2),
            )

    def _verdict(self, deployment: Any, agent: Agent, outcome: Outcome) -> None:
        done = outcome == Outcome.APPLIED
        path = f"/{deployment.publish.hostname_base.split('.')[0]}"
        DeploymentVerdictFactory(
            deployment=deployment,
            agent=agent,
            outcome=outcome,
            error=ENVOY_SAYS if outcome == Outcome.FAILED else "",
            timings={"fetch_ms": 18, "apply_ms": 66, "probe_ms": 12} if done else {"fetch_ms": 20},
            probe=_proof(path, deployment.revision.digest) if done else [],
            updated_at=ago(minutes=2),
        )

    # --- people's tokens ---

    def _make_tokens(self) -> None:
        for name, owner, more in [
            ("CI pipeline", "dohyun.kim", {"last_used_at": ago(minutes=4)}),
            ("Terraform", "dohyun.kim", {"expires_at": ago(days=1), "created_at": ago(days=90)}),
            ("Old laptop", "dohyun.kim", {"revoked_at": ago(days=3), "created_at": ago(days=9)}),
        ]:
            person = self.people[owner]
            ApiToken.objects.create(
                user=person,
                organization=self.platform,
                name=name,
                prefix=name[:8].lower().replace(" ", "x").ljust(8, "0"),
                digest=name.encode().hex().ljust(64, "0"),
                **more,
            )


OUTCOMES = {
    Progress.SUCCEEDED: (Outcome.APPLIED, Outcome.APPLIED, Outcome.APPLIED),
    Progress.FAILED: (Outcome.APPLIED, Outcome.STALE, Outcome.FAILED),
    Progress.APPLYING: (Outcome.APPLIED, Outcome.APPLYING, Outcome.PENDING),
}
TOLD = {
    Progress.SUCCEEDED: (
        Happening.REQUESTED,
        Happening.DISPATCHED,
        Happening.APPLIED,
        Happening.PUBLISHED,
    ),
    Progress.FAILED: (
        Happening.REQUESTED,
        Happening.DISPATCHED,
        Happening.REFUSED,
        Happening.FAILED,
    ),
    Progress.APPLYING: (Happening.REQUESTED, Happening.DISPATCHED, Happening.APPLIED),
}


def _proof(path: str, digest: str) -> list[dict[str, Any]]:
    call = {"method": "GET", "path": path, "latency_ms": 3.4}
    body = f"publish@{digest[:8]}"
    return [
        call | {"with_credential": False, "expected": 401, "got": 401, "body": ""},
        call | {"with_credential": True, "expected": 200, "got": 200, "body": body},
    ]
