"""Where backends lead, looked up before Envoy hears of them. Nothing is reached here."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from agents.edge.drivers.envoy.clusters import literal
from agents.edge.drivers.envoy.kinds import ContentError
from agents.edge.model import Publish
from agents.wire import bundle_pb2

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOK_UP_SECONDS = 3.0
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")
# Resolvers read "127.1", "0x7f.1" and "2130706433" as addresses, each in its own way.
_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?(\d+|0[xX][0-9a-fA-F]*)\.?")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Networks:
    """The operator's rule: no backend in `denied`, but for those in `allowed`."""

    denied: tuple[_Network, ...]
    allowed: tuple[_Network, ...]

    @classmethod
    def parse(cls, denied: Iterable[str], allowed: Iterable[str]) -> Networks:
        """An empty or unreadable list of denied networks denies everything: fail closed."""
        try:
            rule = cls(
                denied=tuple(map(ipaddress.ip_network, denied)),
                allowed=tuple(map(ipaddress.ip_network, allowed)),
            )
        except ValueError as error:
            raise ContentError(f"the cluster's networks are unreadable: {error}") from error
        if not rule.denied:
            raise ContentError("the cluster's denied networks are unknown: nothing is applied")
        return rule

    def forbids(self, address: _Address) -> bool:
        real = _unwrapped(address)
        if any(real in network for network in self.allowed):
            return False
        # Connecting to "any address" reaches this machine, whatever the list says.
        nowhere = real.is_unspecified or real.is_multicast
        return nowhere or any(real in network for network in self.denied)


async def vet(publish: Publish, networks: Networks) -> str:
    """Raise ContentError for a forbidden backend; return a warning for names without address."""
    backends = {
        (backend.host, backend.port): backend
        for upstream in publish.bundle.upstreams
        for backend in upstream.backends
    }
    warnings = await asyncio.gather(*(_vet(each, networks) for each in backends.values()))
    return "; ".join(sorted(warning for warning in warnings if warning))


async def _vet(backend: bundle_pb2.Backend, networks: Networks) -> str:
    address = literal(backend.host)
    if address:
        addresses = [address]
    else:
        _check_name(backend.host)
        addresses = await _look_up(backend.host, backend.port)
    for found in addresses:
        if networks.forbids(found):
            raise ContentError(
                f"backend {backend.host}:{backend.port} leads to {found}, "
                "which the operator of this cluster does not allow"
            )
    return "" if addresses else f"backend {backend.host} does not resolve"


def _check_name(host: str) -> None:
    if not _NAME.fullmatch(host) or _ENDS_IN_A_NUMBER.fullmatch(host):
        raise ContentError(f"backend {host!r} is neither a host name nor an address")


async def _look_up(host: str, port: int) -> list[_Address]:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_LOOK_UP_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return []  # the caller warns: the name may come to exist later
    return [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]


def _unwrapped(address: _Address) -> _Address:
    """The IPv4 address inside an IPv6 one: ::ffff:127.0.0.1 is 127.0.0.1."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address
