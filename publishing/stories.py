"""What the pages tell about publishes, in a number of queries that does not grow with the rows."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import CharField, Count, OuterRef, Prefetch, Q, Subquery, Value
from django.db.models.functions import Coalesce, JSONObject

from accounts.models import Membership, Role
from catalog.models import Listener
from clusters.models import Cluster
from core.queries import count, prepared
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    ProductPublish,
    ProductPublishQuerySet,
    PublishDraft,
    PublishDraftQuerySet,
    PublishPartQuerySet,
    PublishRevision,
)
from publishing.services import tls
from publishing.states import OPEN, Progress

RECENT = 6  # deployments on the overview; their own page has them all
TIMELINE = 20
TROUBLES = 20
OWN = [field.name for field in ProductPublish._meta.concrete_fields]
# Of the list: what a row shows, and what decides what the gateways would be sent for it.
SHOWN = ("hostname_base", "environment", "auth_mode", "status", "published_at")
COMPILED = ("hostname_base", "auth_mode", "auth_config", "gateway")
SUBSCRIBED = Q(subscriptions__status__in=["active", "suspended"])
SERVED = Q(status__in=["active", "suspended"])


def told(user: Any) -> ProductPublishQuerySet:
    """One publish with what its head and tabs show, in two queries."""
    return (
        ProductPublish.objects.visible_to(user)
        .select_related(
            "product",
            "gateway",
            "organization",
            "live_revision",
            "wanted_revision",
            "published_by",
            "withdrawn_by",
        )
        .prefetch_related(Prefetch("cluster", Cluster.objects.with_status()))
        .with_reach()
        .annotate(
            role=role_of(user),
            revision_count=count(PublishRevision.objects, "publish"),
            deployment_count=count(Deployment.objects, "publish"),
            listeners=_listeners(),
            troubles=_troubles(),
        )
    )


def role_of(user: Any) -> Any:
    """The reader's role in a row's organization, as a part of the row's own query."""
    if user.is_superuser and user.scope is None:
        return Value(Role.ADMIN, output_field=CharField())
    rows = Membership.objects.filter(user=user, organization=OuterRef("organization"))
    return Coalesce(Subquery(rows.values("role")[:1]), Value(""))


def _listeners() -> ArraySubquery:
    rows = Listener.objects.filter(gateway=OuterRef("gateway")).order_by("port", "hostname")
    shown = JSONObject(port="port", protocol="protocol", hostname="hostname")
    return ArraySubquery(rows.values(json=shown))


def _troubles() -> ArraySubquery:
    """Agents whose gateway differs from what is live, or says something about it."""
    live = OuterRef("live_revision__digest")
    rows = AgentPublish.objects.filter(publish=OuterRef("pk"), agent__revoked_at=None)
    odd = rows.annotate(live=Coalesce(live, Value(""))).filter(
        ~Q(revision=Coalesce(live, Value(""))) | ~Q(error="") | ~Q(warning="")
    )
    shown = JSONObject(
        agent="agent__name",
        revision="revision",
        live="live",
        error="error",
        warning="warning",
        at="observed_at",
    )
    return ArraySubquery(odd.order_by("agent__name").values(json=shown)[:TROUBLES])


def may_work(publish: Any) -> bool:
    return publish.role in {Role.MEMBER, Role.ADMIN}


def head(publish: Any) -> dict[str, Any]:
    """For the part that all tabs of a publish share."""
    ports = [listener["port"] for listener in publish.listeners]
    return {
        "publish": publish,
        "cluster": publish.cluster,
        "port": ports[0] if ports else None,
        "may_work": may_work(publish),
        "may_admin": publish.role == Role.ADMIN,
        "drifted": [row for row in publish.troubles if row["revision"] != row["live"]],
    }


def overview(publish: Any) -> dict[str, Any]:
    shown = deployments(publish)
    latest = shown[0] if shown else None
    bundle = bundle_of(publish)
    plans = list(publish.plans.annotate(subscribers=Count("subscriptions", filter=SUBSCRIBED)))
    return head(publish) | {
        "warnings": tls.warnings(tls.of_bundle(bundle)),
        "latest": latest,
        "deployments": shown[:RECENT],
        "proof": proof(publish, shown),
        "services": services_of(bundle),
        "plans": plans,
        "subscribed": sum(plan.subscribers for plan in plans),
        "events": publish.events.select_related("actor", "agent", "deployment__revision").defer(
            "deployment__revision__document"
        )[:TIMELINE],
    }


def deployments(publish: ProductPublish) -> list[Deployment]:
    """The newest, and the one that proved what is live."""
    rows = Deployment.objects.filter(publish=publish)
    newest = rows.order_by("-number").values("pk")[:RECENT]
    proving = rows.filter(revision=publish.live_revision_id, status=Progress.SUCCEEDED)
    wanted = Q(pk__in=newest) | Q(pk__in=proving.order_by("-number").values("pk")[:1])
    return list(with_verdicts(rows.filter(wanted)).order_by("-number"))


def with_verdicts(rows: Any) -> Any:
    verdicts = DeploymentVerdict.objects.select_related("agent")
    return (
        rows.select_related("revision", "requested_by")
        .defer("revision__document")
        .prefetch_related(Prefetch("verdicts", verdicts))
    )


@prepared
def listed() -> PublishPartQuerySet:
    """What a row of a list of deployments shows: of the verdicts only how many there are of each outcome."""
    verdicts = DeploymentVerdict.objects.filter(deployment=OuterRef("pk")).order_by()
    return (
        Deployment.objects.select_related(
            "publish__product", "publish__cluster", "revision", "requested_by"
        )
        .only(
            *("number", "kind", "status", "note", "detail", "created_at", "finished_at"),
            *("publish__environment", "publish__product__name", "publish__product__version"),
            *("publish__cluster__name", "revision__number"),
            *("requested_by__name", "requested_by__email"),
        )
        .annotate(outcomes=ArraySubquery(verdicts.values("outcome")))
    )


def proof(publish: ProductPublish, shown: list[Deployment]) -> list[dict[str, Any]]:
    """What the gateways answered when the live revision was last proved, agent by agent."""
    if publish.live_revision_id is None:
        return []
    proving = next(
        (
            row
            for row in shown
            if row.revision_id == publish.live_revision_id and row.status == Progress.SUCCEEDED
        ),
        None,
    )
    return [
        call | {"agent": verdict.agent, "at": verdict.updated_at}
        for verdict in (proving.verdicts.all() if proving else ())
        for call in verdict.probe
    ]


def bundle_of(publish: ProductPublish) -> dict[str, Any]:
    """What is live, else what is on its way; what would be sent now is another page's matter."""
    revision = publish.live_revision or publish.wanted_revision
    return json.loads(revision.document) if revision else {}


@prepared
def rows() -> ProductPublishQuerySet:
    """What a row of the list shows, and what the gateways would be sent for it."""
    opened = Deployment.objects.filter(publish=OuterRef("pk"), status__in=OPEN)
    return named(*SHOWN, *COMPILED).annotate(
        subscribers=_subscribers(), under_way=Subquery(opened.values("status"))
    )


def named(*fields: str) -> ProductPublishQuerySet:
    """These fields, with what every list shows to their provider: the names, the revisions, and how far
    the live one reaches."""
    return (
        ProductPublish.objects.select_related(
            "product", "cluster", "live_revision", "wanted_revision"
        )
        .only(
            *fields,
            *("product__name", "product__version", "cluster__name"),
            *("live_revision__number", "live_revision__digest"),
            *("wanted_revision__number", "wanted_revision__digest"),
        )
        .with_reach()
    )


@prepared
def unfinished() -> PublishDraftQuerySet:
    return PublishDraft.objects.select_related("product").only(
        "step", "updated_at", "product__name", "product__version"
    )


def under_way() -> Prefetch:
    """As open_deployments: a list of one at most."""
    opened = Deployment.objects.filter(status__in=OPEN).select_related("revision")
    return Prefetch("deployments", opened.defer("revision__document"), to_attr="open_deployments")


def _subscribers() -> Any:
    model = ProductPublish._meta.get_field("subscriptions").related_model
    return count(model.objects.filter(SERVED), "publish")


def services_of(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    """A bundle's upstreams by name, each with its routes: what a provider calls API services."""
    routes: dict[str, list[dict[str, Any]]] = {}
    for route in bundle.get("routes", []):
        routes.setdefault(route["upstream_id"], []).append(route)
    found = [
        upstream | {"routes": sorted(routes.get(upstream["id"], []), key=lambda r: r["path"])}
        for upstream in bundle.get("upstreams", [])
    ]
    return sorted(found, key=lambda upstream: upstream.get("name", ""))
