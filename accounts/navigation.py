"""The side menu of each kind of organization.

To put a page in the menu, add an Entry where it belongs in ENTRIES: pages are named by their URL names, so
that nothing has to be imported from the contexts above. An entry is current for all paths below its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import Kind, Organization


@dataclass(frozen=True, slots=True)
class Entry:
    label: Any
    icon: str  # a name of static/ui/icons.txt
    url_name: str
    # Shown above it, unless the entry before it has the same.
    heading: Any = ""
    # Work to do, not a total; one query on every page. Reach other contexts through reverse relations.
    count: Callable[[Organization], int] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    label: Any
    icon: str
    url: str
    current: bool
    heading: Any
    count: int


def _open_requests(organization: Any) -> int:
    subscriptions = organization.publishes.model.subscriptions.rel.related_model.objects
    return subscriptions.filter(publish__organization=organization, status="pending").count()


ENTRIES = {
    Kind.OPERATOR: [
        Entry(_("Overview"), "layout-dashboard", "clusters:overview"),
        Entry(_("Clusters"), "server-2", "clusters:list"),
        Entry(_("Agents"), "plug-connected", "clusters:agents"),
        Entry(_("Deployments"), "rocket", "publishing:operated-deployments"),
    ],
    Kind.PROVIDER: [
        Entry(_("Overview"), "layout-dashboard", "publishing:overview"),
        Entry(_("Products"), "package", "catalog:products"),
        Entry(_("API services"), "route", "catalog:services"),
        Entry(_("Gateways"), "door", "catalog:gateways"),
        Entry(_("Certificates"), "lock", "catalog:certificates"),
        Entry(_("Publishes"), "world-upload", "publishing:list", _("Publishing")),
        Entry(_("Deployments"), "rocket", "publishing:deployments", _("Publishing")),
        Entry(_("Subscriptions"), "user-check", "subscriptions:requests", count=_open_requests),
    ],
    Kind.CONSUMER: [
        Entry(_("Start"), "layout-dashboard", "home"),
    ],
}
OF_A_PERSON = [Entry(_("API tokens"), "key", "accounts:tokens", _("Account"))]
OF_STAFF = [Entry(_("Administration"), "settings", "admin:index", _("Account"))]


def links(
    request: HttpRequest, organization: Organization | None, *, counts: bool = True
) -> list[Link]:
    kind = Kind(organization.kind) if organization else Kind.CONSUMER
    entries = [*ENTRIES[kind], *OF_A_PERSON, *(OF_STAFF if request.user.is_staff else [])]
    urls = [reverse(entry.url_name) for entry in entries]
    current = _current(request.path, urls)
    headings = ["", *(entry.heading for entry in entries)]
    return [
        Link(
            label=entry.label,
            icon=entry.icon,
            url=url,
            current=url == current,
            heading=entry.heading if entry.heading != before else "",
            count=entry.count(organization) if counts and entry.count and organization else 0,
        )
        for entry, url, before in zip(entries, urls, headings, strict=False)
    ]


def _current(path: str, urls: list[str]) -> str:
    """The longest one that the path is below: an overview at /operator/ is not current everywhere."""
    above = [url for url in urls if path == url or path.startswith(f"{url.rstrip('/')}/")]
    within = [url for url in above if path == url or not url.endswith("/")]
    return max(within, key=len, default="")
