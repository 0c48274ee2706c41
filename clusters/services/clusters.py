"""Registering, describing, pausing and removing clusters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, ProtectedError, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts import access, audit, notices
from accounts.models import Kind, Organization, Role
from clusters import rules
from clusters.models import Agent, Cluster, ClusterState
from clusters.rules import Settings
from clusters.services import regions
from core import notify, versions
from core.errors import DomainError, InvalidInput

STARTED = gettext_noop(
    "%(cluster)s is in maintenance: new publishes are refused, what is live keeps serving."
)
STARTED_WHY = gettext_noop(
    "%(cluster)s is in maintenance (%(reason)s): new publishes are refused, what is live keeps serving."
)


@transaction.atomic
def create(*, actor: Any, organization_id: UUID, **settings: Unpack[Settings]) -> Cluster:
    """Register a cluster of an operator. Its name is unique there and follows Kubernetes' rule."""
    operator = access.organization_for(actor, organization_id, kind=Kind.OPERATOR)
    cluster = Cluster(organization=operator, created_by=actor, **rules.clean(settings))
    _save(cluster)
    cluster.open_to.set(_providers(settings.get("open_to", ())))
    ClusterState.objects.create(cluster=cluster)
    regions.remember(organization_id=operator.pk, name=cluster.region)
    audit.note(cluster, actor, "cluster.create", after=describe(cluster))
    announce(cluster)
    return cluster


@transaction.atomic
def update(
    *, actor: Any, cluster_id: UUID, version: str = "", **settings: Unpack[Settings]
) -> Cluster:
    """Describe the cluster anew (PUT): whatever is left out goes back to its default.

    `version` is what the caller read: see core.versions.
    """
    cluster = _locked(actor, cluster_id)
    versions.check(cluster.updated_at, version)
    before = describe(cluster)
    for field, value in rules.clean(settings).items():
        setattr(cluster, field, value)
    _save(cluster)
    cluster.open_to.set(_providers(settings.get("open_to", ())))
    after = describe(cluster)
    if after == before:
        return cluster
    regions.remember(organization_id=cluster.organization_id, name=cluster.region)
    if any(after[field] != before[field] for field in ("allowed_networks", "trusted_hops")):
        _bump(cluster)
    audit.note(cluster, actor, "cluster.update", **audit.differing(before, after))
    announce(cluster)
    return cluster


@transaction.atomic
def set_maintenance(
    *,
    actor: Any,
    cluster_id: UUID,
    enabled: bool,
    reason: str = "",
    until: datetime | None = None,
    version: str = "",
) -> Cluster:
    """Maintenance blocks new publishes, keeps what is live and never blocks a withdrawal.

    Starting it again while it lasts changes reason and end, not since when. `version` as in update.
    """
    cluster = _locked(actor, cluster_id)
    versions.check(cluster.updated_at, version)
    was = cluster.maintained
    if not enabled and not was and cluster.maintenance_since is None:
        return cluster
    before = _maintenance(cluster)
    now = timezone.now()
    if enabled:
        cluster.maintenance_since = cluster.maintenance_since if was else now
        cluster.maintenance_until = _future(until, now)
        cluster.maintenance_reason = rules.text(reason, field="reason", limit=rules.MAX_REASON)
    else:
        cluster.maintenance_since = cluster.maintenance_until = None
        cluster.maintenance_reason = ""
    cluster.save(
        update_fields=["maintenance_since", "maintenance_until", "maintenance_reason", "updated_at"]
    )
    step = ("change" if was else "start") if enabled else "end"
    action = f"cluster.maintenance_{step}"
    audit.note(cluster, actor, action, before=before, after=_maintenance(cluster))
    _tell_providers(cluster)
    announce_to_providers(cluster)
    announce(cluster)
    notify.wake(cluster.pk)
    return cluster


@transaction.atomic
def delete(*, actor: Any, cluster_id: UUID, version: str = "") -> None:
    """Admins only. Refused while an agent is live or a publish is here, naming what is in the way."""
    cluster = _locked(actor, cluster_id, role=Role.ADMIN, whole=True)
    versions.check(cluster.updated_at, version)
    agents, publishes = in_the_way(cluster)
    if agents or publishes:
        raise _in_use(cluster, agents, publishes)
    pk, before = cluster.pk, describe(cluster)
    before["agents"] = list(cluster.agents.values_list("name", flat=True))
    try:
        with transaction.atomic():
            cluster.agents.all().delete()
            cluster.delete()
    except ProtectedError as error:
        withdrawn = list(_publishes(cluster))
        others = [] if withdrawn else sorted(map(str, error.protected_objects))
        raise _in_use(cluster, [], withdrawn, others) from None
    cluster.pk = pk
    audit.note(cluster, actor, "cluster.delete", before=before)
    announce(cluster)


def in_the_way(cluster: Cluster) -> tuple[list[Agent], list[Any]]:
    """What keeps the cluster from being deleted: live agents, and publishes that are not withdrawn."""
    publishes = _publishes(cluster).exclude(status="WITHDRAWN")
    return list(cluster.agents.live()), list(publishes)


def _publishes(cluster: Cluster) -> QuerySet[Any]:
    rows = cluster.publishes  # of a context above this one
    return rows.select_related("product", "organization").order_by("product__name", "pk")


def _tell_providers(cluster: Cluster) -> None:
    """Those who have something here that is not withdrawn."""
    topic = f"cluster.maintenance:{cluster.pk}"
    if not cluster.maintained:
        notices.end(topic=topic)
        return
    rows = _publishes(cluster).exclude(status="WITHDRAWN").order_by()
    notices.tell(
        organization_ids=set(rows.values_list("organization", flat=True)),
        topic=topic,
        text=STARTED_WHY if cluster.maintenance_reason else STARTED,
        params={"cluster": cluster.name, "reason": cluster.maintenance_reason},
        url=f"{reverse('publishing:list')}?cluster_id={cluster.pk}",
        until=cluster.maintenance_until,
    )


def describe(cluster: Cluster) -> dict[str, Any]:
    """For the audit trail."""
    return {
        "name": cluster.name,
        "region": cluster.region,
        "description": cluster.description,
        "cloud_provider": cluster.cloud_provider,
        "labels": cluster.labels,
        "allowed_ports": rules.port_ranges(cluster.allowed_ports),
        "allowed_networks": cluster.allowed_networks,
        "trusted_hops": cluster.trusted_hops,
        "open_to_all": cluster.open_to_all,
        "open_to": sorted(str(pk) for pk in cluster.open_to.values_list("pk", flat=True)),
    }


def announce(cluster: Cluster) -> None:
    """Have open pages re-read themselves once the transaction is committed."""
    notify.on_commit(f"clusters.org.{cluster.organization_id}")
    notify.on_commit(f"cluster.{cluster.pk}")


def announce_to_providers(cluster: Cluster) -> None:
    """The same for the pages of what is published there: they say that it is in maintenance."""
    rows = _publishes(cluster).exclude(status="WITHDRAWN").order_by()
    here = list(rows.values_list("pk", "organization"))
    for organization_id in {organization_id for _pk, organization_id in here}:
        notify.on_commit(f"publishes.org.{organization_id}")
    for pk, _organization_id in here:
        notify.on_commit(f"publish.{pk}")


def _locked(
    actor: Any, cluster_id: UUID, role: Role = Role.MEMBER, *, whole: bool = False
) -> Cluster:
    """Whoever inserts a row that refers to the cluster need not wait, but for a deletion: `whole`."""
    rows = Cluster.objects.visible_to(actor)
    cluster = rows.select_for_update(of=("self",), no_key=not whole).get(pk=cluster_id)
    access.require(actor, cluster.organization_id, role)
    return cluster


def _save(cluster: Cluster) -> None:
    try:
        with transaction.atomic():
            cluster.save()
    except IntegrityError as error:
        if "clusters_cluster_name_per_operator" not in str(error):
            raise
        raise InvalidInput(name_taken(cluster.name), field="name", code="duplicate") from None


def name_taken(name: str) -> str:
    return _("You already have a cluster named %(name)s. Choose another name.") % {"name": name}


def _providers(ids: Iterable[UUID]) -> list[Organization]:
    wanted = set(ids)
    found = list(Organization.objects.filter(pk__in=wanted, kind=Kind.PROVIDER))
    missing = wanted - {row.pk for row in found}
    if missing:
        names = ", ".join(sorted(map(str, missing)))
        raise InvalidInput(
            _("Not a provider organization: %(names)s.") % {"names": names}, field="open_to"
        )
    return found


def _bump(cluster: Cluster) -> None:
    """The manifest carries the allowed networks, so agents must read it again."""
    ClusterState.objects.filter(cluster=cluster).update(
        desired_generation=F("desired_generation") + 1
    )
    notify.wake(cluster.pk)


def _future(until: datetime | None, now: datetime) -> datetime | None:
    if until is None:
        return None
    if timezone.is_naive(until):
        raise InvalidInput(_("Name the time zone, for instance +09:00 or Z."), field="until")
    if until <= now:
        raise InvalidInput(_("The end of maintenance must be in the future."), field="until")
    return until


def _maintenance(cluster: Cluster) -> dict[str, Any]:
    return {
        "since": cluster.maintenance_since,
        "until": cluster.maintenance_until,
        "reason": cluster.maintenance_reason,
    }


def _in_use(
    cluster: Cluster, agents: list[Agent], publishes: list[Any], others: Iterable[str] = ()
) -> DomainError:
    names = [*map(str, agents), *map(str, publishes), *others]
    sentences = [
        _("%(cluster)s is still in use: %(names)s.")
        % {"cluster": cluster.name, "names": ", ".join(names)}
    ]
    if agents:
        sentences.append(_("Stop or revoke its agents."))
    if publishes:
        sentences.append(_("The provider of a publish must withdraw it and delete it."))
    return DomainError(
        " ".join(sentences),
        code="cluster_in_use",
        details={
            "agents": [{"id": str(row.pk), "name": row.name} for row in agents],
            "publishes": [
                {"id": str(row.pk), "name": str(row), "status": row.status} for row in publishes
            ],
        },
    )
