"""What the listeners of one gateway must agree on, and the certificates that they may serve with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from catalog.models import Certificate, Gateway
from core.errors import DomainError, InvalidInput

Values = dict[str, Any]


def check(gateway: Gateway, values: Sequence[Values]) -> None:
    """One host of a port belongs to one listener, a port speaks one protocol, certificates are ours."""
    _check_places(values)
    _check_protocols(values)
    _check_certificates(gateway, values)


def _check_places(values: Sequence[Values]) -> None:
    seen = set()
    for item in values:
        place = (item["port"], item["hostname"])
        if place in seen:
            raise DomainError(
                _("Port %(port)d is listened on twice for the same hosts. Give each a hostname.")
                % {"port": item["port"]},
                code="listener_exists",
                details={"port": item["port"], "hostname": item["hostname"]},
            )
        seen.add(place)


def _check_protocols(values: Sequence[Values]) -> None:
    spoken: dict[int, str] = {}
    for place, item in enumerate(values):
        if spoken.setdefault(item["port"], item["protocol"]) != item["protocol"]:
            raise InvalidInput(
                _("Port %(port)d speaks %(protocol)s in another listener of this gateway.")
                % {"port": item["port"], "protocol": spoken[item["port"]]},
                field=f"listeners.{place}.protocol",
            )


def _check_certificates(gateway: Gateway, values: Sequence[Values]) -> None:
    """Locked until the commit: none is deleted, or replaced by one for other hosts, meanwhile."""
    wanted = {item["certificate_id"] for item in values if item["certificate_id"]}
    rows = Certificate.objects.filter(organization=gateway.organization_id, pk__in=wanted)
    found: dict[UUID, Certificate] = {
        row.pk: row for row in rows.order_by("pk").select_for_update(no_key=True)
    }
    for place, item in enumerate(values):
        if item["certificate_id"]:
            _check_certificate(found.get(item["certificate_id"]), item["hostname"], place)


def _check_certificate(certificate: Certificate | None, hostname: str, place: int) -> None:
    field = f"listeners.{place}.certificate_id"
    if certificate is None:
        raise InvalidInput(_("There is no such certificate of yours."), field=field)
    if hostname and not certificate.fits(hostname):
        raise InvalidInput(
            _("Certificate %(name)s is for %(hosts)s, not for %(host)s.")
            % {
                "name": certificate,
                "hosts": ", ".join(certificate.hosts[:5]),
                "host": hostname,
            },
            field=field,
            code="certificate_mismatch",
        )
