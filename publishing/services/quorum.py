"""Whose verdicts a deployment waits for: who is asked, who leaves, and who owes an answer for too long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_noop

from clusters.models import HEARTBEAT_WINDOW, Agent, live_agents
from publishing.models import AgentPublish, Deployment, DeploymentVerdict, ProductPublish
from publishing.states import OUTSTANDING, Kind, Outcome

# Details are stored in English: whoever caused them does not read them.
NO_AGENT = gettext_noop("no agent is connected")
NO_DRIVER = "no agent that drives {} is connected"
NAMED = 5  # agents named in a sentence


@dataclass(frozen=True, slots=True)
class Tally:
    applied: int
    live: int  # owe a verdict and are connected
    reachable: int  # owe a verdict and were heard of within 90 s
    absent: int  # owe a verdict and were not: only withdrawals wait for them


def absent_agents(now: datetime, prefix: str = "") -> Q:
    """Not heard of for 90 s. A dropped connection alone is no absence: agents come back in seconds."""
    return Q(**{f"{prefix}last_heartbeat_at": None}) | Q(
        **{f"{prefix}last_heartbeat_at__lte": now - HEARTBEAT_WINDOW}
    )


def tally(deployment: Deployment, now: datetime) -> Tally:
    owing, absent = Q(outcome__in=OUTSTANDING), absent_agents(now, "agent__")
    counts = deployment.verdicts.filter(agent__revoked_at=None).aggregate(
        applied=Count("pk", filter=Q(outcome=Outcome.APPLIED)),
        live=Count("pk", filter=owing & live_agents("agent__", now=now)),
        reachable=Count("pk", filter=owing & ~absent),
        absent=Count("pk", filter=owing & absent),
    )
    return Tally(**counts)


def enlist(publish: ProductPublish, deployment: Deployment, now: datetime) -> bool:
    """Ask every live agent that drives it and was not asked yet, or had been lost; a withdrawal asks all
    that served it."""
    live = Agent.objects.filter(
        live_agents(now=now), drives(publish), cluster_id=publish.cluster_id
    )
    asked = live | served_by(publish) if deployment.kind == Kind.WITHDRAW else live
    new = asked.exclude(pk__in=deployment.verdicts.values("agent")).values_list("pk", flat=True)
    rows = [
        DeploymentVerdict(deployment=deployment, agent_id=pk, created_at=now, updated_at=now)
        for pk in new
    ]
    DeploymentVerdict.objects.bulk_create(rows, ignore_conflicts=True)
    back = deployment.verdicts.filter(outcome=Outcome.STALE, agent__in=live)
    found = back.update(outcome=Outcome.PENDING, updated_at=now)
    return bool(rows or found)


def let_go(publish: ProductPublish, deployment: Deployment, now: datetime) -> bool:
    """Absent and revoked agents leave the quorum, but for those whose gateway may still serve
    what a withdrawal takes away."""
    gone = deployment.verdicts.filter(outcome__in=OUTSTANDING).filter(
        absent_agents(now, "agent__") | Q(agent__revoked_at__isnull=False)
    )
    if deployment.kind == Kind.WITHDRAW:
        gone = gone.exclude(agent__in=served_by(publish))
    return bool(gone.update(outcome=Outcome.STALE, updated_at=now))


def served_by(publish: ProductPublish) -> QuerySet[Agent]:
    """Unrevoked agents that ever applied it, live or not."""
    proved = DeploymentVerdict.objects.filter(
        agent=OuterRef("pk"),
        deployment__publish=publish,
        deployment__kind=Kind.PUBLISH,
        outcome=Outcome.APPLIED,
    )
    seen = AgentPublish.objects.filter(agent=OuterRef("pk"), publish=publish).exclude(revision="")
    return Agent.objects.filter(
        Exists(proved) | Exists(seen), cluster_id=publish.cluster_id, revoked_at=None
    )


def missing(deployment: Deployment, now: datetime) -> str:
    """The agents that a withdrawal waits for although they are away."""
    rows = deployment.verdicts.filter(absent_agents(now, "agent__"), outcome__in=OUTSTANDING)
    names = list(rows.order_by("agent__name").values_list("agent__name", flat=True)[: NAMED + 1])
    more = ", …" if len(names) > NAMED else ""
    return f"waiting for {', '.join(names[:NAMED])}{more}, which may still serve it and is not connected"


def drives(publish: ProductPublish) -> Q:
    """Agents that know the publish's gateway class; the others never hear of it."""
    return Q(gateway_classes__contains=[publish.gateway.gateway_class])


def lacking(publish: ProductPublish, now: datetime) -> str:
    """Why nobody can be asked now; "" when somebody can."""
    live = Agent.objects.filter(live_agents(now=now), cluster_id=publish.cluster_id)
    if not live.exists():
        return NO_AGENT
    known = live.filter(drives(publish)).exists()
    return "" if known else NO_DRIVER.format(publish.gateway.gateway_class)


def overdue_verdicts(now: datetime) -> Q:
    """Of agents that are connected, were asked long ago, and do not answer. Whoever came back has its
    time anew."""
    asked = now - timedelta(seconds=settings.DEPLOYMENT_DEADLINE_SECONDS)
    return (
        live_agents("agent__", now=now)
        & Q(outcome__in=OUTSTANDING, updated_at__lte=asked)
        & (Q(agent__connected_at=None) | Q(agent__connected_at__lte=asked))
    )


def overdue(deployment: Deployment, now: datetime) -> DeploymentVerdict | None:
    rows = deployment.verdicts.filter(overdue_verdicts(now)).select_related("agent")
    return rows.order_by("agent__name").first()
