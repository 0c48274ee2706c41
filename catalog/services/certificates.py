"""TLS certificates with their private keys: uploaded, replaced in place, read again only by gateways."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils.translation import gettext as _

from accounts import access, audit
from accounts.models import Kind, Role
from catalog import certificates as material
from catalog.models import Certificate
from catalog.services.conflicts import refused_by
from catalog.text import line
from clusters.models import ClusterState
from core import notify, versions
from core.errors import DomainError, InvalidInput
from core.sealing import Unsealable, is_current, seal, unseal

logger = logging.getLogger(__name__)
NAMED = 20


@transaction.atomic
def upload(
    *, actor: Any, organization_id: UUID, name: str, certificate: str, private_key: str
) -> Certificate:
    """Keep a PEM chain and its key, if gateways can serve them now. The key is sealed and not shown again."""
    provider = access.organization_for(actor, organization_id, kind=Kind.PROVIDER)
    row = Certificate(organization=provider, name=_name(name))
    _fill(row, material.read(certificate, private_key))
    _save(row)
    audit.note(row, actor, "certificate.upload", after=facts(row))
    return row


@transaction.atomic
def replace(
    *,
    actor: Any,
    certificate_id: UUID,
    certificate: str,
    private_key: str = "",
    name: str | None = None,
    seen: str = "",
) -> Certificate:
    """The next version, in place: gateways that serve with it take it over, and no connection drops.

    Without a key the stored one stays, if the new certificate belongs to it. Refused if a host that is
    served with it would be left without. `seen` is the version that the caller read: see core.versions.
    """
    row = _held(actor, certificate_id)
    versions.check(row.updated_at, seen)
    before = facts(row)
    if name is not None:
        row.name = _name(name)
    found = material.read(certificate, private_key or _key(row))
    _refuse_uncovered(row, found.hosts)
    renewed = _is_other(row, found)
    if renewed:
        _fill(row, found)
        row.version += 1
    elif row.name == before["name"]:
        return row
    _save(row)
    if renewed:
        _reach_gateways(row)
    audit.note(row, actor, "certificate.replace", before=before, after=facts(row))
    return row


@transaction.atomic
def rename(*, actor: Any, certificate_id: UUID, name: str, seen: str = "") -> Certificate:
    """The name is for people: gateways know a certificate by its id."""
    row = _locked(actor, certificate_id)
    versions.check(row.updated_at, seen)
    before = row.name
    row.name = _name(name)
    if row.name != before:
        _save(row)
        audit.note(
            row, actor, "certificate.rename", before={"name": before}, after={"name": row.name}
        )
    return row


@transaction.atomic
def delete(*, actor: Any, certificate_id: UUID, seen: str = "") -> None:
    """Admins only. Refused while a listener or what is live needs it, naming each."""
    row = _locked(actor, certificate_id, Role.ADMIN)
    versions.check(row.updated_at, seen)
    _refuse_used(row)
    audit.note(row, actor, "certificate.delete", before=facts(row))
    row.delete()


def reseal() -> int:
    """Seal again, with the first of ENCRYPTION_KEYS, what another one sealed. How many there were."""
    count = 0
    for pk in Certificate.objects.values_list("pk", flat=True):
        with transaction.atomic():
            row = Certificate.objects.select_for_update(no_key=True).filter(pk=pk).first()
            if row is not None and not is_current(row.sealed_key):
                row.sealed_key = seal(_key(row), place=row.sealing_place)
                row.save(update_fields=["sealed_key"])
                count += 1
    return count


def for_gateways(row: Certificate) -> dict[str, Any]:
    """As message Secret. The only way the key leaves the database."""
    return {
        "id": str(row.pk),
        "version": row.tag,
        "tls": {"certificate_chain": row.chain, "private_key": _key(row).decode()},
    }


def publishes_served_with(row: Certificate) -> QuerySet:
    """Publishes whose live or wanted revision refers to it."""
    named = [str(row.pk)]
    return row.organization.publishes.filter(
        Q(live_revision__secret_ids__contains=named)
        | Q(wanted_revision__secret_ids__contains=named)
    ).select_related("product", "cluster")


def facts(row: Certificate) -> dict[str, Any]:
    """For the audit trail: nothing of the key."""
    return {
        "name": row.name,
        "version": row.version,
        "fingerprint": row.fingerprint,
        "hosts": row.hosts[:NAMED],
        "not_after": row.not_after.isoformat(),
    }


def _fill(row: Certificate, found: material.Material) -> None:
    row.chain = found.chain
    row.sealed_key = seal(found.key, place=row.sealing_place)
    row.fingerprint, row.hosts, row.key_type = found.fingerprint, found.hosts, found.key_type
    row.subject, row.issuer = found.subject, found.issuer
    row.not_before, row.not_after = found.not_before, found.not_after


def _key(row: Certificate) -> bytes:
    try:
        return unseal(row.sealed_key, place=row.sealing_place)
    except Unsealable as error:
        logger.error("certificate %s: %s", row.pk, error)  # noqa: TRY400 - the operator's settings
        raise DomainError(
            _("The stored private key of %(name)s cannot be opened any more. Upload it again.")
            % {"name": row},
            code="key_lost",
        ) from None


def _is_other(row: Certificate, found: material.Material) -> bool:
    try:
        return (found.chain, found.key) != (row.chain, _key(row))
    except DomainError:
        return True


def _name(name: str) -> str:
    return line(name, field="name", limit=120)


def _refuse_uncovered(row: Certificate, hosts: list[str]) -> None:
    fresh = Certificate(hosts=hosts)
    lost = sorted(
        {
            publish.hostname_base
            for publish in publishes_served_with(row)
            if not fresh.covers(publish.hostname_base)
        }
        | {
            listener.hostname
            for listener in row.listeners.all()
            if listener.hostname and not fresh.fits(listener.hostname)
        }
    )
    if lost:
        raise InvalidInput(
            _("%(name)s serves %(lost)s, which the new certificate (%(hosts)s) does not cover.")
            % {"name": row, "lost": ", ".join(lost[:5]), "hosts": ", ".join(hosts[:5])},
            field=material.CHAIN,
            code="certificate_mismatch",
        )


def _refuse_used(row: Certificate) -> None:
    gateways = sorted(
        {str(listener.gateway) for listener in row.listeners.select_related("gateway")}
    )
    publishes = list(publishes_served_with(row))
    users = [*gateways, *(f"{publish} ({publish.cluster})" for publish in publishes)]
    if users:
        raise DomainError(
            _(
                "%(name)s is used by: %(users)s. Give them another certificate, publish again, then "
                "delete this one."
            )
            % {"name": row, "users": ", ".join(users[:NAMED])},
            code="certificate_in_use",
            details={
                "gateways": gateways,
                "publishes": [{"id": str(each.pk), "name": str(each)} for each in publishes],
            },
        )


def _reach_gateways(row: Certificate) -> None:
    """Agents of these clusters read the manifest again: it names the new version."""
    for cluster_id in _clusters(row):
        ClusterState.objects.filter(pk=cluster_id).update(
            desired_generation=F("desired_generation") + 1
        )
        notify.wake(cluster_id)


def _clusters(row: Certificate) -> list[UUID]:
    found = publishes_served_with(row).order_by("cluster_id")
    return list(found.values_list("cluster_id", flat=True).distinct())


def _held(actor: Any, certificate_id: UUID) -> Certificate:
    """Lock it for a new version: the clusters before it, as publishing does.

    A publish that came between may serve it on one cluster more. That one must not be locked now, since the
    next publish there holds it and waits for the certificate: so all is let go and taken again.
    """
    row = _visible(actor, certificate_id)
    while True:
        before = transaction.savepoint()
        clusters = _clusters(row)
        list(ClusterState.objects.filter(pk__in=clusters).order_by("pk").select_for_update())
        locked = _locked(actor, certificate_id)
        if set(_clusters(row)) <= set(clusters):
            transaction.savepoint_commit(before)
            return locked
        transaction.savepoint_rollback(before)


def _locked(actor: Any, certificate_id: UUID, role: Role = Role.MEMBER) -> Certificate:
    _visible(actor, certificate_id, role)
    rows = Certificate.objects.select_related("organization").select_for_update(of=("self",))
    return rows.get(pk=certificate_id)


def _visible(actor: Any, certificate_id: UUID, role: Role = Role.MEMBER) -> Certificate:
    row = Certificate.objects.visible_to(actor).get(pk=certificate_id)
    access.require(actor, row.organization_id, role)
    return row


def _save(row: Certificate) -> None:
    taken = InvalidInput(
        _("You already have a certificate named %(name)s.") % {"name": row.name},
        field="name",
        code="duplicate",
    )
    with refused_by("catalog_certificate_name_once", taken):
        row.save()
