"""What the pages tell about clusters, in a number of queries that does not grow with the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    CharField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Cast, JSONObject, Now
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import AuditEvent
from clusters.models import (
    Agent,
    AgentQuerySet,
    Cluster,
    ClusterQuerySet,
    RegistrationToken,
    Status,
    in_maintenance,
    live_agents,
)
from core.queries import count, prepared

SHOWN = 50  # agents; the API has them all
PUBLISHES = 25
RECENT = 8
# A finished join stays on the page for a while, so that whoever pasted the command sees the end of it.
JOIN_SHOWN = timedelta(minutes=15)
# What each number of `attention` means for the status.
STATUSES = [Status.INACTIVE, Status.ACTIVE, Status.MAINTENANCE, Status.PENDING, Status.ACTIVE]


def attention() -> Case:
    """0: inactive, 1: active in trouble, 2: in maintenance, 3: pending, 4: all is well.

    The same rules as the status, said in the order in which they are found out.
    """
    agents = Agent.objects.filter(cluster=OuterRef("pk"))
    live = agents.filter(live_agents())
    return Case(
        When(in_maintenance(), then=Value(2)),
        When(Exists(live.exclude(last_error="")), then=Value(1)),
        When(Exists(live), then=Value(4)),
        When(Exists(agents.filter(last_heartbeat_at__isnull=False)), then=Value(0)),
        default=Value(3),
    )


@prepared
def rows() -> ClusterQuerySet:
    """What a row of the list shows: status, progress, products; to be ordered by `attention`."""
    here = OuterRef("pk")
    published = publish_model().objects.filter(status="PUBLISHED")
    told = _with_trouble(Cluster.objects.with_status().with_progress()).annotate(
        product_count=count(published, "cluster"),
        token_expires_at=Subquery(
            usable_tokens().filter(cluster=here).order_by("-expires_at").values("expires_at")[:1]
        ),
    )
    return told.alias(attention=attention())


@prepared
def counted() -> ClusterQuerySet:
    """To count how many there are of each status."""
    return Cluster.objects.with_bare_status()


@prepared
def in_trouble() -> ClusterQuerySet:
    """What the overview says of a cluster that needs attention."""
    return _with_trouble(Cluster.objects.with_dated_status().with_progress())


def _with_trouble(clusters: ClusterQuerySet) -> ClusterQuerySet:
    """Annotate the first live agent that could not apply everything, and what it said."""
    rows = Agent.objects.live().filter(~Q(last_error=""), cluster=OuterRef("pk"))
    shown = rows.order_by("name").values(json=JSONObject(agent="name", error="last_error"))
    return clusters.annotate(trouble=Subquery(shown[:1]))


def usable_tokens() -> QuerySet[RegistrationToken]:
    return RegistrationToken.objects.filter(
        revoked_at=None, expires_at__gt=Now(), use_count__lt=F("max_uses")
    )


@prepared
def agent_rows() -> AgentQuerySet:
    """What a row of a list of agents shows; to be ordered by `alive`."""
    told = Agent.objects.annotate(
        cluster_name=F("cluster__name"), desired=F("cluster__state__desired_generation")
    )
    return told.alias(alive=_alive())


def agents(cluster: Cluster) -> list[Agent]:
    """The unrevoked ones, those that need a look first."""
    mine = cluster.agents.filter(revoked_at=None)
    return list(mine.order_by(_alive(), "name", "pk")[:SHOWN])


def _alive() -> Case:
    return Case(When(live_agents(), then=True), default=False)


def publishes(cluster: Any) -> list[Any]:
    """What providers run or are about to run here."""
    deployments = deployment_model().objects.filter(publish=OuterRef("pk"))
    under_way = deployments.filter(finished_at=None)
    mine = cluster.publishes.annotate(
        under_way=Subquery(under_way.values("status")[:1]),
        since=Case(
            When(status="PUBLISHED", then=F("published_at")),
            When(status="WITHDRAWN", then=F("withdrawn_at")),
            default=F("created_at"),
        ),
        rank=Case(When(status="PUBLISHED", then=Value(0)), default=Value(1)),
    ).exclude(status="DRAFT", under_way=None)
    ordered = mine.select_related("product", "organization").order_by(
        "rank", "product__name", "environment", "pk"
    )
    return list(ordered[:PUBLISHES])


def activity(cluster: Cluster) -> list[Any]:
    """The newest deployments of any publish here."""
    mine = deployment_model().objects.filter(publish__cluster=cluster)
    ordered = mine.select_related("publish__product", "revision", "requested_by")
    return list(ordered.order_by("-created_at", "-number")[:RECENT])


def events(cluster: Any) -> list[AuditEvent]:
    return list(trail(cluster)[:RECENT])


def trail(cluster: Any) -> QuerySet[AuditEvent]:
    """The audit trail of the cluster and of its agents and tokens, revoked ones too."""
    mine = Q(object_id=str(cluster.pk))
    for parts in (cluster.agents, cluster.registration_tokens):
        mine |= Q(object_id__in=parts.order_by().values(as_text=Cast("pk", CharField())))
    return AuditEvent.objects.filter(mine, organization_id=cluster.organization_id)


@dataclass(frozen=True, slots=True)
class Step:
    state: str  # done | now | bad | wait
    label: str
    at: datetime | None = None
    detail: str = ""
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """How far the newest token got. Nothing is stored for it: the rows tell."""

    token: RegistrationToken
    steps: list[Step]

    @property
    def done(self) -> bool:
        return all(step.state == "done" for step in self.steps)


def tokens(cluster: Any) -> list[RegistrationToken]:
    """The newest ones: those still good, and the last used."""
    return list(cluster.registration_tokens.filter(revoked_at=None)[:RECENT])


def join(cluster: Any, tokens: list[RegistrationToken]) -> Join | None:
    newest = tokens[0] if tokens else None
    if newest is None or _settled(newest):
        return None
    agent = None
    if newest.last_used_at:
        joined = cluster.agents.filter(created_at__gte=newest.last_used_at)
        agent = joined.order_by("created_at").first()
    return Join(newest, [_token_step(newest), *_agent_steps(agent, cluster.desired_generation)])


def _settled(token: RegistrationToken) -> bool:
    end = token.last_used_at if token.use_count >= token.max_uses else token.expires_at
    return end is not None and end < timezone.now() - JOIN_SHOWN


def _token_step(token: RegistrationToken) -> Step:
    if token.use_count:
        return Step("done", _("Token used"), at=token.last_used_at)
    if not token.usable:
        return Step("bad", _("Token expired"), detail=_("Nobody used it. Create a new one."))
    return Step("now", _("Waiting for the command to run"), until=token.expires_at)


def _agent_steps(agent: Agent | None, desired: int) -> list[Step]:
    """Registered, connected, heard, converged; the first open one is what happens now."""
    steps: list[Step] = []
    open_state = "now"
    if agent is None:
        open_state = "wait"
    elif agent.revoked_at or agent.last_error:
        open_state = "bad"
    for label, at, detail in _facts(agent, desired):
        if at is not None:
            steps.append(Step("done", label, at=at, detail=detail))
        else:
            steps.append(Step(open_state, label, detail=detail))
            open_state = "wait"
    return steps


def _facts(agent: Agent | None, desired: int) -> list[tuple[str, datetime | None, str]]:
    labels = [_("Agent registered"), _("Connected"), _("First heartbeat"), _("Converged")]
    if agent is None:
        return [(label, None, "") for label in labels]
    return [
        (labels[0], agent.created_at, agent.name),
        (labels[1], agent.connected_at, ""),
        (labels[2], agent.last_heartbeat_at, ""),
        (labels[3], *_converged(agent, desired)),
    ]


def _converged(agent: Agent, desired: int) -> tuple[datetime | None, str]:
    if agent.last_heartbeat_at is None:
        return None, ""
    if agent.applied_generation >= desired and not agent.last_error:
        return agent.last_heartbeat_at, _("generation %(number)d") % {"number": desired}
    if agent.last_error:
        return None, agent.last_error
    return None, _("%(applied)d of %(desired)d") % {
        "applied": agent.applied_generation,
        "desired": desired,
    }


def publish_model() -> Any:
    """Publishing is above this context: its models are reached through the reverse relation."""
    publishes: Any = Cluster.publishes  # type: ignore[attr-defined]
    return publishes.rel.related_model


def deployment_model() -> Any:
    return publish_model().deployments.rel.related_model
