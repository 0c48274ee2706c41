"""What an operator may write about a cluster. Each rule names the field it is about."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Required, TypedDict
from uuid import UUID

from django.utils.translation import gettext as _

from clusters.models import DNS_LABEL, MAX_HOPS
from core.errors import InvalidInput

MAX_LABELS = 64
MAX_RANGES = 64
MAX_NETWORKS = 64
MAX_REASON = 300
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
RANGE = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")


class Settings(TypedDict, total=False):
    """What a cluster is described by. Whatever is left out gets its default."""

    name: Required[str]
    region: Required[str]
    description: str
    cloud_provider: str
    labels: Mapping[str, str]
    allowed_ports: Iterable[int | str]
    allowed_networks: Iterable[str]
    trusted_hops: int
    open_to_all: bool
    open_to: Iterable[UUID]


def clean(settings: Settings) -> dict[str, Any]:
    """The model's values, but for `open_to`, which is rows."""
    return {
        "name": name(settings["name"]),
        "region": text(settings["region"], field="region", limit=100, required=True),
        "description": text(settings.get("description", ""), field="description", limit=500),
        "cloud_provider": text(
            settings.get("cloud_provider", ""), field="cloud_provider", limit=50
        ),
        "labels": labels(settings.get("labels", {})),
        "allowed_ports": ports(settings.get("allowed_ports", ())),
        "allowed_networks": networks(settings.get("allowed_networks", ())),
        "trusted_hops": hops(settings.get("trusted_hops", 0)),
        "open_to_all": settings.get("open_to_all", True),
    }


def hops(value: int) -> int:
    """How many proxies before the gateways say truly who called them. More is an open door."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_HOPS:
        raise InvalidInput(
            _("Enter a whole number from 0 to %(high)d.") % {"high": MAX_HOPS}, field="trusted_hops"
        )
    return value


def name(value: str) -> str:
    """RFC 1123, as Kubernetes takes it. Nothing is repaired: the name is typed into commands."""
    if not re.fullmatch(DNS_LABEL, value):
        raise InvalidInput(
            _(
                "“%(name)s” is not a valid name. Use 1 to 63 lower-case letters, digits and "
                "hyphens; start and end with a letter or digit (the Kubernetes rule)."
            )
            % {"name": value[:80]},
            field="name",
        )
    return value


def text(value: str, *, field: str, limit: int, required: bool = False) -> str:
    value = value.strip()
    if required and not value:
        raise InvalidInput(_("This field is required."), field=field)
    if len(value) > limit:
        raise InvalidInput(
            _("At most %(limit)d characters; this has %(length)d.")
            % {"limit": limit, "length": len(value)},
            field=field,
        )
    if "\x00" in value:
        raise InvalidInput(_("NUL characters are not allowed."), field=field)
    return value


def labels(value: Mapping[str, str]) -> dict[str, str]:
    """A flat map within Kubernetes' limits, so that a label here can be one there."""
    if not isinstance(value, Mapping):
        raise InvalidInput(_("Labels map text to text."), field="labels")
    if len(value) > MAX_LABELS:
        raise InvalidInput(_("At most %(limit)d labels.") % {"limit": MAX_LABELS}, field="labels")
    for key, content in value.items():
        _label(key, content)
    return dict(sorted(value.items()))


def _label(key: Any, content: Any) -> None:
    if not isinstance(key, str) or not isinstance(content, str):
        raise InvalidInput(_("Labels map text to text."), field="labels")
    prefix, slash, bare = key.rpartition("/")
    if not LABEL_NAME.fullmatch(bare) or (
        slash and (len(prefix) > 253 or not LABEL_PREFIX.fullmatch(prefix))
    ):
        raise InvalidInput(
            _(
                "“%(key)s” is not a valid label key. Use up to 63 letters, digits, “-”, “_” and "
                "“.”, starting and ending with a letter or digit; a DNS name and “/” may precede it."
            )
            % {"key": key[:80]},
            field="labels",
        )
    if content and not LABEL_NAME.fullmatch(content):
        raise InvalidInput(
            _(
                "“%(value)s” is not a valid value of the label %(key)s. Use up to 63 letters, "
                "digits, “-”, “_” and “.”, starting and ending with a letter or digit."
            )
            % {"key": key, "value": content[:80]},
            field="labels",
        )


def ports(value: Iterable[int | str]) -> list[int]:
    """Numbers and "first-last" ranges, as sorted pairs without overlap: [80, 80, 8000, 8999]."""
    pairs = sorted(_range(item) for item in value)
    merged: list[list[int]] = []
    for low, high in pairs:
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    if len(merged) > MAX_RANGES:
        raise InvalidInput(
            _("At most %(limit)d ranges.") % {"limit": MAX_RANGES}, field="allowed_ports"
        )
    return [port for pair in merged for port in pair]


def _range(item: int | str) -> tuple[int, int]:
    match = None if isinstance(item, bool) else RANGE.fullmatch(str(item).strip())
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= low <= high <= 65535:
        raise InvalidInput(
            _(
                "“%(item)s” is not a port. Write numbers from 1 to 65535, or ranges such as 8000-8999."
            )
            % {"item": str(item)[:40]},
            field="allowed_ports",
        )
    return low, high


def port_ranges(flat: list[int]) -> list[int | str]:
    """The inverse of `ports`: [80, "8000-8999"]."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return [low if low == high else f"{low}-{high}" for low, high in pairs]


def networks(value: Iterable[str]) -> list[str]:
    found = sorted(set(map(_network, value)))
    if len(found) > MAX_NETWORKS:
        raise InvalidInput(
            _("At most %(limit)d networks.") % {"limit": MAX_NETWORKS}, field="allowed_networks"
        )
    return found


def _network(item: str) -> str:
    try:
        return str(ipaddress.ip_network(str(item).strip()))
    except ValueError as error:
        raise InvalidInput(
            _("“%(item)s” is not a network in CIDR notation, such as 127.0.0.0/8: %(why)s.")
            % {"item": str(item)[:60], "why": error},
            field="allowed_networks",
        ) from None


def bounded(value: int, *, field: str, low: int, high: int, say: Callable[[int], str] = str) -> int:
    if not low <= value <= high:
        raise InvalidInput(
            _("Must be between %(low)s and %(high)s.") % {"low": say(low), "high": say(high)},
            field=field,
        )
    return value
