"""How a publish, a deployment and an agent's part in it are shown: tone, icon and words in one place."""

from __future__ import annotations

from dataclasses import dataclass

from django import template
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from core.durations import measured
from publishing.models import Deployment, DeploymentVerdict, ProductPublish, PublishEvent
from publishing.services import drift
from publishing.states import OUTSTANDING, Kind, Outcome, Progress, Status

register = template.Library()


@dataclass(frozen=True, slots=True)
class Badge:
    tone: str  # ok | warn | bad | busy | "" (idle)
    icon: str
    label: str
    waiting: bool = False  # its deployment needs a word from it


_PUBLISH = {
    Status.DRAFT: ("", "pencil"),
    Status.PUBLISHED: ("ok", "world-check"),
    Status.WITHDRAWN: ("", "circle-minus"),
}
_DEPLOYMENT = {
    Progress.QUEUED: ("warn", "hourglass-low"),
    Progress.DISPATCHED: ("busy", "loader-2"),
    Progress.APPLYING: ("busy", "loader-2"),
    Progress.SUCCEEDED: ("ok", "check"),
    Progress.FAILED: ("bad", "alert-triangle"),
    Progress.SUPERSEDED: ("", "replace"),
    Progress.CANCELLED: ("", "ban"),
}
_OUTCOME = {
    Outcome.PENDING: ("busy", "loader-2"),
    Outcome.APPLYING: ("busy", "loader-2"),
    Outcome.APPLIED: ("ok", "check"),
    Outcome.FAILED: ("bad", "alert-triangle"),
    Outcome.STALE: ("warn", "plug-connected-x"),
    Outcome.WAIVED: ("", "minus"),
}
_EVENT = {
    "created": ("", "pencil"),
    "edited": ("", "pencil"),
    "requested": ("busy", "rocket"),
    "dispatched": ("busy", "transfer"),
    "applied": ("ok", "shield-check"),
    "refused": ("bad", "x"),
    "published": ("ok", "world-check"),
    "withdrawn": ("", "circle-minus"),
    "failed": ("bad", "alert-triangle"),
    "superseded": ("", "replace"),
    "cancelled": ("", "ban"),
    "queued": ("warn", "hourglass-low"),
    "roll_back": ("busy", "arrow-back-up"),
    "waived": ("warn", "minus"),
    "drifted": ("warn", "alert-triangle"),
    "restored": ("ok", "shield-check"),
    "restore": ("busy", "refresh"),
}


@register.filter
def publish_badge(publish: ProductPublish) -> Badge:
    status = Status(publish.status)
    return Badge(*_PUBLISH[status], status.label)


@register.filter
def kind_name(kind: str) -> str:
    """Of a deployment. As get_kind_display, which goes through all choices each time."""
    return Kind(kind).label


@register.filter
def deployment_badge(deployment: Deployment) -> Badge:
    return progress_badge(deployment.status)


@register.filter
def progress_badge(status: str) -> Badge:
    """Of a deployment's status alone."""
    progress = Progress(status)
    return Badge(*_DEPLOYMENT[progress], progress.label)


@register.filter
def outcome_badge(verdict: DeploymentVerdict) -> Badge:
    tone, icon = _OUTCOME[Outcome(verdict.outcome)]
    waiting = verdict.outcome in OUTSTANDING
    return Badge(tone, icon, verdict.get_outcome_display(), waiting)


@register.filter
def event_badge(event: PublishEvent) -> Badge:
    return Badge(*_EVENT.get(event.kind, ("", "point")), event.kind)


@dataclass(frozen=True, slots=True)
class Stage:
    tone: str
    icon: str
    label: str
    took: str


@register.filter
def stages(verdict: DeploymentVerdict) -> list[Stage]:
    """Fetch, apply, prove: done ones with their time, the running one turning, the rest waiting."""
    names = [
        (_("Fetched"), _("Fetch"), "fetch_ms"),
        (_("Applied"), _("Apply"), "apply_ms"),
        (_("Proved"), _("Prove"), "probe_ms"),
    ]
    timings = verdict.timings or {}
    reached = _reached(verdict, timings)
    return [
        _stage(verdict, index, reached, done, todo, timings.get(key))
        for index, (done, todo, key) in enumerate(names)
    ]


def _reached(verdict: DeploymentVerdict, timings: dict[str, float]) -> int:
    """How many stages are behind this agent."""
    if verdict.outcome == Outcome.APPLIED:
        return 3
    if verdict.outcome == Outcome.APPLYING:
        return 1
    if verdict.outcome == Outcome.FAILED:
        return 2 if timings.get("probe_ms") else 1
    return 0


def _stage(
    verdict: DeploymentVerdict, index: int, reached: int, done: str, todo: str, took: float | None
) -> Stage:
    words = f"{took:.0f} ms" if took else ""
    if index < reached:
        return Stage("ok", "check", done, words)
    if index > reached or verdict.outcome in {Outcome.STALE, Outcome.WAIVED}:
        return Stage("", "point", todo, _("not run") if verdict.outcome == Outcome.FAILED else "")
    if verdict.outcome == Outcome.FAILED:
        return Stage("bad", "x", _("Refused"), words)
    return Stage("busy", "loader-2", todo, "")


@register.filter
def took(deployment: Deployment) -> str:
    """From the click to the end; nothing while it is open."""
    if deployment.finished_at is None:
        return ""
    return measured(deployment.finished_at - deployment.created_at, get_language() or "en")


@register.filter
def tally(deployment: Deployment) -> dict[str, int]:
    """How many agents are where, for the summary line above the bar."""
    known = getattr(deployment, "outcomes", None)  # stories.listed
    outcomes = [each.outcome for each in deployment.verdicts.all()] if known is None else known
    return {
        "total": len(outcomes),
        "applied": outcomes.count(Outcome.APPLIED),
        "failed": outcomes.count(Outcome.FAILED),
        "busy": outcomes.count(Outcome.PENDING) + outcomes.count(Outcome.APPLYING),
    }


@register.filter
def event_note(event: PublishEvent) -> str:
    return drift.in_words(event)


@register.filter
def event_text(event: PublishEvent) -> str:
    """One line of the timeline, with who and which revision where that is known."""
    who = str(event.actor) if event.actor else ""
    agent = event.agent.name if event.agent else ""
    deployment = event.deployment
    revision = f"r{deployment.revision.number}" if deployment and deployment.revision else ""
    number = f"#{deployment.number}" if deployment else ""
    words = {
        "created": _("Draft created by %(who)s"),
        "edited": _("Settings changed by %(who)s"),
        "requested": _("Deployment %(number)s started by %(who)s"),
        "queued": _("Deployment %(number)s waits for an agent"),
        "dispatched": _("Deployment %(number)s sent to the agents"),
        "applied": _("Proved on %(agent)s") if revision else _("Removed from %(agent)s"),
        "refused": _("%(agent)s refused %(revision)s") if revision else _("%(agent)s failed"),
        "published": _("%(revision)s is live"),
        "withdrawn": _("Withdrawn"),
        "failed": _("Deployment %(number)s failed"),
        "superseded": _("Deployment %(number)s superseded"),
        "cancelled": _("Deployment %(number)s cancelled by %(who)s"),
        "roll_back": _("Deployment %(number)s started by %(who)s: back to %(revision)s"),
        "waived": _("%(who)s let the withdrawal go on without %(agent)s"),
        "drifted": _("%(agent)s no longer serves what is live"),
        "restored": _("%(agent)s serves what is live again"),
        "restore": _("%(who)s asked the agents to restore what is live"),
    }
    text = words.get(event.kind, event.kind)
    return text % {"who": who, "agent": agent, "revision": revision, "number": number}
