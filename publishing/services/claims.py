"""Which host, port and path belongs to whom on a cluster.

A publish holds the claims of what it wants and of what is live, no more and no less: while a new revision
is on its way it holds both, and after a withdrawal none. Callers hold the publish's lock, then the
ClusterState's: two publishes of a cluster never look and take at the same time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from catalog.addresses import canonical
from core.errors import DomainError
from publishing.models import HostClaim, ProductPublish, PublishRevision, RouteClaim
from publishing.services import surroundings
from publishing.services.surroundings import Neighbour, Surroundings

NAMED = 20  # conflicts listed in an error


class Claim(NamedTuple):
    port: int
    protocol: str
    host: str
    match: str
    path: str
    method: str

    @property
    def place(self) -> tuple[int, str, str, str, str]:
        """What can belong to one publish only."""
        return self.port, self.host, self.match, self.path, self.method

    def __str__(self) -> str:
        path = self.path.replace("{}", "{…}")
        return f"{self.method} {self.host}:{self.port}{path}"


def check(publish: ProductPublish, bundle: dict[str, Any], around: Surroundings) -> None:
    """Refuse what another publish holds. Its name is told only to those who may see it anyway."""
    _refuse_twice(bundle)
    _refuse_foreign_host(publish, bundle["host"], around)
    _refuse_other_protocol(publish, bundle, around)
    _refuse_taken_routes(bundle, around)


def look_around(publish: ProductPublish, bundle: dict[str, Any], *, actor: Any) -> Surroundings:
    """Where this bundle would be served."""
    ports = [listener["port"] for listener in bundle.get("listeners", [])]
    return surroundings.look(publish, actor=actor, host=bundle["host"], ports=ports)


def sync(publish: ProductPublish) -> None:
    """Make the rows match what is wanted and what is live."""
    needed = _needed(publish)
    held = {_of_row(row): row.pk for row in publish.route_claims.all()}
    hosts = {claim.host for claim in [*needed, *held]}
    if dropped := [pk for claim, pk in held.items() if claim not in needed]:
        RouteClaim.objects.filter(pk__in=dropped).delete()
    for host in {claim.host for claim in needed}:
        HostClaim.objects.get_or_create(
            cluster_id=publish.cluster_id,
            host=host,
            defaults={"organization_id": publish.organization_id},
        )
    RouteClaim.objects.bulk_create(
        [
            RouteClaim(cluster_id=publish.cluster_id, publish=publish, **claim._asdict())
            for claim in sorted(needed - held.keys())
        ],
        batch_size=1000,
    )
    _release_hosts(publish, hosts)


def claims_of(bundle: dict[str, Any]) -> list[Claim]:
    """In the order of the bundle; a claim that is there twice is a conflict of the product with itself.

    What a parameter is called means nothing: /users/{id} and /users/{name} are one place, of one publish.
    /users/me is another; that it goes before /users/{id} is the gateway's to know, and no conflict.
    """
    return [
        Claim(
            port=listener["port"],
            protocol=listener["protocol"],
            host=bundle["host"],
            match=route["match"],
            path=canonical(route["path"]),
            method=method,
        )
        for listener in bundle.get("listeners", [])
        for route in bundle.get("routes", [])
        for method in route["methods"]
    ]


def _needed(publish: ProductPublish) -> set[Claim]:
    """A place is claimed once: while a port changes its protocol, by what is wanted."""
    live = {claim.place: claim for claim in _of_revision(publish.live_revision)}
    wanted = {claim.place: claim for claim in _of_revision(publish.wanted_revision)}
    return set((live | wanted).values())


def _of_revision(revision: PublishRevision | None) -> set[Claim]:
    return set(claims_of(json.loads(revision.document))) if revision else set()


def _of_row(row: RouteClaim) -> Claim:
    return Claim(row.port, row.protocol, row.host, row.match, row.path, row.method)


def _release_hosts(publish: ProductPublish, hosts: Iterable[str]) -> None:
    """A host without a route is free again."""
    rows = RouteClaim.objects.filter(cluster_id=publish.cluster_id, host__in=list(hosts))
    used = set(rows.values_list("host", flat=True).distinct())
    HostClaim.objects.filter(
        cluster_id=publish.cluster_id, host__in=[host for host in hosts if host not in used]
    ).delete()


def _refuse_twice(bundle: dict[str, Any]) -> None:
    counts = Counter(claims_of(bundle))
    twice = [claim for claim, count in counts.items() if count > 1]
    if twice:
        raise DomainError(
            _(
                "Two routes of this product answer %(route)s. Change the base path of one service, "
                "or take the route out of one of them."
            )
            % {"route": twice[0]},
            code="route_conflict",
            details={"routes": _named(twice)},
        )


def _refuse_foreign_host(publish: ProductPublish, host: str, around: Surroundings) -> None:
    if around.holder is None or around.holder == publish.organization_id:
        return
    other = next((row for row in around.neighbours if row.claims and row.shown), None)
    raise DomainError(
        _("%(host)s on cluster %(cluster)s already belongs to %(who)s. Choose another hostname.")
        % {
            "host": host,
            "cluster": publish.cluster.name,
            "who": other.name if other else _("another organization"),
        },
        code="host_taken",
        details={"hostname_base": host} | _naming(other),
    )


def _refuse_other_protocol(
    publish: ProductPublish, bundle: dict[str, Any], around: Surroundings
) -> None:
    """Gateways of several providers share one listener per port: it can speak one protocol only."""
    protocols = {listener["port"]: listener["protocol"] for listener in bundle["listeners"]}
    for port, spoken in around.spoken:
        if protocols[port] != spoken:
            raise DomainError(
                _(
                    "Port %(port)d of cluster %(cluster)s speaks %(spoken)s for other publishes, and "
                    "the gateway asks for %(asked)s. Choose a gateway with another port."
                )
                % {
                    "port": port,
                    "cluster": publish.cluster.name,
                    "spoken": spoken,
                    "asked": protocols[port],
                },
                code="protocol_conflict",
                details={"port": port, "protocol": spoken},
            )


def _refuse_taken_routes(bundle: dict[str, Any], around: Surroundings) -> None:
    taken = {Claim(*claim).place: row for row in around.neighbours for claim in row.claims}
    clashes = [claim for claim in claims_of(bundle) if claim.place in taken]
    if not clashes:
        return
    holder = taken[clashes[0].place]
    other = holder if holder.shown else None
    raise DomainError(
        _(
            "%(route)s already belongs to %(who)s. Withdraw that, or change the base path or the "
            "hostname of this one."
        )
        % {"route": clashes[0], "who": other.name if other else _("another publish")},
        code="route_conflict",
        details={"routes": _named(clashes)} | _naming(other),
    )


def _naming(other: Neighbour | None) -> dict[str, Any]:
    return {"publish_id": str(other.pk), "publish": other.name} if other else {}


def _named(claims: list[Claim]) -> list[str]:
    return [str(claim) for claim in claims[:NAMED]]
