"""How a cluster, an agent and what happened to them are shown: tone, icon and words in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import template
from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.dateparse import parse_datetime
from django.utils.formats import number_format
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from clusters import rules
from clusters.models import Agent, Status
from core.templatetags.ig import icon

register = template.Library()
MAX_DOTS = 8
LIVE_DOT = '<span class="ig-dot ok"></span>'
LOST_DOT = '<span class="ig-dot bad"></span>'


@dataclass(frozen=True, slots=True)
class Badge:
    tone: str  # ok | warn | bad | busy | "" (idle)
    icon: str
    label: str


CLUSTER = {
    Status.ACTIVE: ("ok", "circle-check"),
    Status.INACTIVE: ("bad", "plug-connected-x"),
    Status.MAINTENANCE: ("warn", "tool"),
    Status.PENDING: ("", "circle-dashed"),
}
# Of a publish or of its deployment, by the words of a context above this one.
PUBLISH = {
    "DRAFT": ("", "pencil", gettext_lazy("Draft")),
    "PUBLISHED": ("ok", "world-check", gettext_lazy("Published")),
    "WITHDRAWN": ("", "circle-minus", gettext_lazy("Withdrawn")),
    "QUEUED": ("warn", "hourglass-low", gettext_lazy("Queued")),
    "DISPATCHED": ("busy", "loader-2", gettext_lazy("Dispatched")),
    "APPLYING": ("busy", "loader-2", gettext_lazy("Applying")),
    "SUCCEEDED": ("ok", "check", gettext_lazy("Succeeded")),
    "FAILED": ("bad", "alert-triangle", gettext_lazy("Failed")),
    "SUPERSEDED": ("", "replace", gettext_lazy("Superseded")),
    "CANCELLED": ("", "ban", gettext_lazy("Cancelled")),
}
# Why a deployment waits or ended, as that context stores it: in English, for whoever reads it.
REASONS = [
    (re.compile(r"no agent is connected"), gettext_lazy("No agent is connected.")),
    (
        re.compile(r"no agent that drives (?P<class>\S+) is connected"),
        gettext_lazy("No agent that drives %(class)s is connected."),
    ),
    (
        re.compile(
            r"(?P<agent>\S+): connected, but gave no answer within (?P<minutes>\S+) minutes"
        ),
        gettext_lazy("%(agent)s is connected, but gave no answer within %(minutes)s minutes."),
    ),
    (
        re.compile(r"#(?P<number>\d+) took its place"),
        gettext_lazy("Deployment #%(number)s took its place."),
    ),
    (
        re.compile(r"waiting for (?P<names>.+), which may still serve it and is not connected"),
        gettext_lazy("Waiting for %(names)s: not connected, and may still serve it."),
    ),
]
EVENT = {
    "cluster.create": ("", "plus", gettext_lazy("Cluster registered")),
    "cluster.update": ("", "pencil", gettext_lazy("Settings changed")),
    "cluster.maintenance_start": ("warn", "tool", gettext_lazy("Maintenance started")),
    "cluster.maintenance_change": ("warn", "tool", gettext_lazy("Maintenance changed")),
    "cluster.maintenance_end": ("ok", "tool", gettext_lazy("Maintenance ended")),
    "cluster.delete": ("bad", "x", gettext_lazy("Cluster deleted")),
    "region.create": ("", "map-pin", gettext_lazy("Region added")),
    "registration_token.create": ("", "ticket", gettext_lazy("Registration token created")),
    "registration_token.revoke": ("", "ticket", gettext_lazy("Registration token revoked")),
    "agent.register": ("ok", "plug-connected", gettext_lazy("Agent joined")),
    "agent.revoke": ("bad", "plug-connected-x", gettext_lazy("Agent revoked")),
}
STEP = {
    "done": ("ok", "check"),
    "now": ("busy", "loader-2"),
    "bad": ("bad", "x"),
    "wait": ("", "point"),
}


@register.filter
def cluster_badge(cluster: Any) -> Badge:
    status = Status(cluster.status)
    return Badge(*CLUSTER[status], str(status.label))


@register.simple_tag
def progress(
    applied: int | None, desired: int | None, failed: Any = "", live: Any = True
) -> SafeString:
    """{% progress applied desired failed live %}: which generation of how many, and if that is all right.

    What is not live does not move: it waits.
    """
    if applied is None:
        return mark_safe('<span class="ig-3">–</span>')
    desired = desired or 0
    # Numbers and icons: nothing in it has to be escaped.
    words = f'<span class="ig-tn">{grouped(applied)} / {grouped(desired)}</span>'
    if failed:
        return SafeString(f'<span class="ig-fg-warn">{icon("clock-exclamation")} {words}</span>')
    if applied >= desired:
        return SafeString(f"{icon('check')} {words}")
    if not live:
        return SafeString(f'<span class="ig-2">{icon("hourglass-low")} {words}</span>')
    return SafeString(f'<span class="ig-fg-busy">{icon("loader-2", "icon-spin")} {words}</span>')


def grouped(number: int) -> str:
    """1234 → "1,234" as the reader writes it."""
    return str(number) if 0 <= number < 1000 else number_format(number, 0, force_grouping=True)


@register.filter
def agent_badge(agent: Agent) -> Badge:
    if agent.revoked_at is not None:
        return Badge("", "ban", _("Revoked"))
    if agent.is_live:
        return Badge("ok", "circle-check", _("Active"))
    if agent.last_heartbeat_at is None:
        return Badge("", "circle-dashed", _("Never connected"))
    return Badge("bad", "plug-connected-x", _("Inactive"))


@register.filter
def publish_state(status: str) -> Badge:
    return Badge(*PUBLISH.get(status, ("", "point", status)))


@register.filter
def reason(detail: str) -> str:
    """In the reader's language where it is ours; a gateway's own words stay as they are."""
    for pattern, words in REASONS:
        if found := pattern.fullmatch(detail):
            return str(words) % found.groupdict()
    return detail


@register.filter
def event_badge(event: Any) -> Badge:
    return Badge(*EVENT.get(event.action, ("", "point", event.action)))


# What the audit trail stores, as the pages call it.
FIELDS = {
    "name": gettext_lazy("Name"),
    "region": gettext_lazy("Region"),
    "description": gettext_lazy("Description"),
    "cloud_provider": gettext_lazy("Cloud"),
    "labels": gettext_lazy("Labels"),
    "allowed_ports": gettext_lazy("Ports"),
    "allowed_networks": gettext_lazy("Networks"),
    "trusted_hops": gettext_lazy("Proxies"),
    "open_to": gettext_lazy("Open to"),
    "open_to_all": gettext_lazy("Every provider"),
    "reason": gettext_lazy("Reason"),
    "since": gettext_lazy("Started"),
    "until": gettext_lazy("Ends"),
    "cluster": gettext_lazy("Cluster"),
    "version": gettext_lazy("Version"),
    "agents": gettext_lazy("Agents"),
    "gateway_classes": gettext_lazy("Gateway classes"),
    "token": gettext_lazy("Token"),
    "prefix": gettext_lazy("Token"),
    "max_uses": gettext_lazy("Agents that may join with it"),
    "expires_at": gettext_lazy("Expires"),
    "revoked_at": gettext_lazy("Revoked"),
}
MOMENTS = {"since", "until", "expires_at", "revoked_at"}


@dataclass(frozen=True, slots=True)
class Change:
    field: str
    before: str
    after: str


@register.filter
def changes(event: Any) -> list[Change]:
    """What an audited change was about, field by field; what stayed as it was is left out."""
    before, after = event.before or {}, event.after or {}
    found = [
        Change(str(FIELDS.get(field, field)), _told(field, before), _told(field, after))
        for field in sorted({*before, *after})
    ]
    return [change for change in found if change.before != change.after]


def _told(field: str, values: Mapping[str, Any]) -> str:
    value = values.get(field)
    if value in (None, "", [], {}):
        return ""
    if field in MOMENTS and (moment := parse_datetime(str(value))):
        return date_format(timezone.localtime(moment), "Y-m-d H:i T")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, dict):
        return ", ".join(f"{key}={content}" for key, content in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@register.filter
def step_badge(step: Any) -> Badge:
    return Badge(*STEP[step.state], step.label)


@register.simple_tag
def agent_count(cluster: Any) -> SafeString:
    """{% agent_count cluster %}: "2 / 3" and a dot for each, the live ones first; a handful must do."""
    live, joined = cluster.active_agent_count, cluster.agent_count
    shown = min(joined, MAX_DOTS)
    alive = min(live, shown)
    dots = alive * LIVE_DOT + (shown - alive) * LOST_DOT
    around = f'&ensp;<span class="ig-dots" aria-hidden="true">{dots}</span>' if joined else ""
    return SafeString(f'<span class="ig-tn">{live} / {joined}</span>{around}')


@register.filter
def port_list(cluster: Any) -> str:
    return ", ".join(map(str, rules.port_ranges(cluster.allowed_ports)))
