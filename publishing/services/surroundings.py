"""What a publish meets on its cluster, in one query: for the page that warns, and for the publish itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, Exists, JSONField, OuterRef, Q, Subquery, When
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import Cast, JSONObject

from clusters.models import Agent, Cluster
from publishing.models import HostClaim, ProductPublish, RouteClaim
from publishing.states import Status

CLAIM = ("port", "protocol", "host", "match", "path", "method")
OCCUPYING = Q(status__in=[Status.DRAFT, Status.PUBLISHED]) | Q(wanted_revision__isnull=False)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another publish at the same target, or with the same host."""

    pk: UUID
    name: str
    shown: bool  # the asker may see it
    status: str
    occupies: bool  # the target
    claims: tuple[tuple[Any, ...], ...]  # at the host, in the order of CLAIM
    secrets: tuple[Mapping[int, str], ...]  # of what is live and wanted at the host: ids by port


@dataclass(frozen=True, slots=True)
class Surroundings:
    open: bool  # to the publish's organization
    driven: frozenset[str] | None  # classes; None while there is no agent that could say
    holder: UUID | None  # the organization that has the host
    spoken: tuple[tuple[int, str], ...]  # ports and protocols of other publishes
    neighbours: tuple[Neighbour, ...]

    @property
    def occupant(self) -> Neighbour | None:
        return next((row for row in self.neighbours if row.occupies), None)


def look(publish: ProductPublish, *, actor: Any, host: str, ports: Iterable[int]) -> Surroundings:
    """Locks nothing: who needs it to stay so holds the cluster."""
    mine = Cluster.objects.open_for(publish.organization)
    hosts = HostClaim.objects.filter(cluster=OuterRef("pk"), host=host)
    row = (
        Cluster.objects.filter(pk=publish.cluster_id)
        .annotate(
            opened=Exists(mine.filter(pk=OuterRef("pk"))),
            driven=classes(),
            holder=Subquery(hosts.values("organization")[:1]),
            spoken=_spoken(publish, ports),
            near=_near(publish, actor, host),
        )
        .values("opened", "driven", "holder", "spoken", "near")
        .get()
    )
    return Surroundings(
        open=row["opened"],
        driven=driven(row["driven"]),
        holder=row["holder"],
        spoken=tuple((each["port"], each["protocol"]) for each in row["spoken"] or ()),
        neighbours=tuple(_neighbour(each, host) for each in row["near"]),
    )


def classes() -> ArraySubquery:
    """Of a cluster's agents: what each of them drives, the same only once."""
    agents = Agent.objects.filter(cluster=OuterRef("pk"), revoked_at=None).order_by()
    return ArraySubquery(agents.values(json=JSONObject(classes="gateway_classes")).distinct())


def driven(said: list[dict[str, Any]]) -> frozenset[str] | None:
    return frozenset(name for each in said for name in each["classes"]) if said else None


def occupying(publish: ProductPublish) -> Q:
    """Who has the target: a DRAFT, a PUBLISHED one, or one that is on its way back."""
    return OCCUPYING & Q(
        product=publish.product_id,
        environment=publish.environment,
        cluster=publish.cluster_id,
        gateway=publish.gateway_id,
    )


def _spoken(publish: ProductPublish, ports: Iterable[int]) -> ArraySubquery:
    rows = RouteClaim.objects.filter(cluster=OuterRef("pk"), port__in=list(ports))
    others = rows.exclude(publish=publish.pk).order_by()
    return ArraySubquery(
        others.values(json=JSONObject(port="port", protocol="protocol")).distinct()
    )


def _near(publish: ProductPublish, actor: Any, host: str) -> ArraySubquery:
    claims = RouteClaim.objects.filter(host=host)
    claiming = claims.filter(cluster=publish.cluster_id).values("publish")
    serving = Q(hostname_base=host) & (
        Q(live_revision__isnull=False) | Q(wanted_revision__isnull=False)
    )
    rows = ProductPublish.objects.filter(cluster=OuterRef("pk")).exclude(pk=publish.pk)
    visible = ProductPublish.objects.visible_to(actor).filter(pk=OuterRef("pk"))
    told = JSONObject(
        id="pk",
        product="product__name",
        version="product__version",
        environment="environment",
        shown=Exists(visible),
        status="status",
        occupies=Exists(ProductPublish.objects.filter(occupying(publish), pk=OuterRef("pk"))),
        host="hostname_base",
        claims=ArraySubquery(
            claims.filter(publish=OuterRef("pk")).values(
                json=JSONObject(**dict(zip(CLAIM, CLAIM, strict=True)))
            )
        ),
        live=_listeners("live_revision"),
        wanted=_listeners("wanted_revision"),
    )
    near = rows.filter(Q(pk__in=claiming) | serving | occupying(publish))
    return ArraySubquery(near.order_by("-created_at", "pk").values(json=told))


def _listeners(revision: str) -> Case:
    """Read from the document only where a certificate is among them."""
    document = Cast(f"{revision}__document", JSONField())
    secured = Q(**{f"{revision}__isnull": False}) & ~Q(**{f"{revision}__secret_ids": []})
    return Case(When(secured, then=KeyTransform("listeners", document)), output_field=JSONField())


def _neighbour(row: Mapping[str, Any], host: str) -> Neighbour:
    served = [row[name] or [] for name in ("live", "wanted")] if row["host"] == host else []
    return Neighbour(
        pk=UUID(row["id"]),
        name=f"{row['product']} v{row['version']} · {row['environment']}",
        shown=row["shown"],
        status=row["status"],
        occupies=row["occupies"],
        claims=tuple(tuple(claim[name] for name in CLAIM) for claim in row["claims"]),
        secrets=tuple(
            {each["port"]: each["tls"]["secret_id"] for each in listeners if each.get("tls")}
            for listeners in served
            if listeners
        ),
    )
