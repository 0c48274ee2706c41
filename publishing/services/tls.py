"""The certificates that a publish serves with: whether they may, and how long they still can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from catalog.models import Certificate, Validity
from core.errors import DomainError
from publishing.models import ProductPublish, PublishRevision
from publishing.services.surroundings import Surroundings

Bundle = Mapping[str, Any]


def check(
    publish: ProductPublish,
    bundle: Bundle,
    around: Surroundings,
    *,
    at_hand: Iterable[Certificate] | None = None,
) -> None:
    """Refuse what clients would refuse: a certificate that is gone, has expired or is for other hosts.

    Unless they are at hand, they are locked, and stay as they are until the commit; after the cluster's
    state, as everywhere.
    """
    named = secrets_of(bundle)
    if not named:
        return
    if at_hand is None:
        rows = Certificate.objects.filter(pk__in=named.values())
        at_hand = rows.order_by("pk").select_for_update(no_key=True)
    found = {str(row.pk): row for row in at_hand if row.organization_id == publish.organization_id}
    for port, secret_id in named.items():
        _check_one(found.get(secret_id), port, bundle["host"])
    _check_agreement(around, bundle["host"], named)


def secrets_of(bundle: Bundle) -> dict[int, str]:
    """By port: the id of the certificate that it serves with."""
    listeners = bundle.get("listeners", [])
    return {row["port"]: row["tls"]["secret_id"] for row in listeners if row.get("tls")}


def serving(publishes: Iterable[ProductPublish]) -> dict[UUID, list[Certificate]]:
    """The certificates of what is live or wanted, by publish: two queries for any number."""
    wanted = list(publishes)
    revisions = {
        revision: publish.pk
        for publish in wanted
        for revision in (publish.live_revision_id, publish.wanted_revision_id)
        if revision
    }
    named: dict[UUID, set[str]] = {publish.pk: set() for publish in wanted}
    rows = PublishRevision.objects.filter(pk__in=revisions)
    for pk, ids in rows.order_by().values_list("pk", "secret_ids"):
        named[revisions[pk]].update(ids)
    ids = set().union(*named.values())
    known = Certificate.objects.defer("sealed_key", "chain").filter(pk__in=ids) if ids else ()
    return {pk: [row for row in known if str(row.pk) in mine] for pk, mine in named.items()}


def of_bundle(bundle: Bundle | None) -> list[Certificate]:
    """Those that it refers to and that are still there."""
    named = set(secrets_of(bundle or {}).values())
    rows = Certificate.objects.defer("sealed_key", "chain").filter(pk__in=named)
    return list(rows) if named else []


def warnings(certificates: Iterable[Certificate]) -> list[dict[str, Any]]:
    """What somebody must do soon: each with a code, and with words for people."""
    return [
        {
            "code": f"certificate_{row.status}",
            "message": _warning(row),
            "details": {
                "certificate_id": str(row.pk),
                "not_after": row.not_after.isoformat(),
                "days_left": row.days_left,
            },
        }
        for row in certificates
        if row.status != Validity.VALID
    ]


def _warning(row: Certificate) -> str:
    words = {"name": row, "day": _day(row), "days": row.days_left}
    if row.status == Validity.EXPIRED:
        return _("Certificate %(name)s expired on %(day)s: clients refuse it. Replace it.") % words
    return (
        ngettext(
            "Certificate %(name)s expires in %(days)d day (%(day)s). Replace it.",
            "Certificate %(name)s expires in %(days)d days (%(day)s). Replace it.",
            row.days_left,
        )
        % words
    )


def _check_one(certificate: Certificate | None, port: int, host: str) -> None:
    if certificate is None:
        raise DomainError(
            _(
                "The certificate that port %(port)d serves with was deleted. "
                "Choose another one in the gateway, then publish."
            )
            % {"port": port},
            code="certificate_gone",
            details={"port": port},
        )
    words = {"name": certificate, "day": _day(certificate), "host": host}
    details = {"certificate_id": str(certificate.pk), "port": port, "hosts": certificate.hosts[:20]}
    if certificate.not_after <= timezone.now():
        raise DomainError(
            _("Certificate %(name)s expired on %(day)s. Replace it, then publish.") % words,
            code="certificate_expired",
            details=details,
        )
    if not certificate.covers(host):
        words["hosts"] = ", ".join(certificate.hosts[:5])
        raise DomainError(
            _(
                "Certificate %(name)s is for %(hosts)s, not for %(host)s. Choose another certificate "
                "in the gateway, or another hostname."
            )
            % words,
            code="certificate_mismatch",
            details=details,
        )


def _check_agreement(around: Surroundings, host: str, named: Mapping[int, str]) -> None:
    """Publishes may share a host and a port; the handshake knows no more than these."""
    for other in around.neighbours:
        for served in other.secrets:
            clash = [port for port in named if served.get(port, named[port]) != named[port]]
            if clash:
                raise DomainError(
                    _(
                        "%(other)s serves %(host)s on port %(port)d with another certificate, and a "
                        "host has one. Use that one, or replace its content."
                    )
                    % {"other": other.name, "host": host, "port": clash[0]},
                    code="certificate_conflict",
                    details={"port": clash[0], "certificate_id": served[clash[0]]},
                )


def _day(row: Certificate) -> str:
    return date_format(timezone.localtime(row.not_after), "Y-m-d")
