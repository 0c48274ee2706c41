"""Where the platform must not be made to call: its own machines, their neighbours, and cloud metadata.

Private addresses are normal: that is where backends live. Pure functions, no name is resolved here.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED_NETWORKS: tuple[str, ...] = (
    "0.0.0.0/8",  # "this host"; Linux takes 0.0.0.0 for loopback
    "127.0.0.0/8",  # loopback
    "169.254.0.0/16",  # link-local, and the metadata of AWS, Azure, Google, OpenStack
    "100.100.100.200/32",  # metadata of Alibaba Cloud
    "168.63.129.16/32",  # Azure's host
    "192.0.0.192/32",  # metadata of Oracle Cloud (classic)
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
    "::/128",  # unspecified
    "::1/128",  # loopback
    "fe80::/10",  # link-local
    "fd00:ec2::254/128",  # metadata of AWS
    "fd20:ce::254/128",  # metadata of Google
    "ff00::/8",  # multicast
)
_DENIED: tuple[Network, ...] = tuple(ip_network(network) for network in DENIED_NETWORKS)

# IPv6 networks whose last 32 bits are an IPv4 address that is really meant.
_EMBEDDING = tuple(
    IPv6Network(network) for network in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/96", "::/96")
)
_NAMED: dict[str, str] = {
    "localhost": "127.0.0.1",
    "localhost.localdomain": "127.0.0.1",
    "ip6-localhost": "::1",
    "ip6-loopback": "::1",
    "metadata": "169.254.169.254",
    "metadata.google.internal": "169.254.169.254",
    "instance-data": "169.254.169.254",
    "instance-data.ec2.internal": "169.254.169.254",
}


def forbidden(address: str | Address, allowed_networks: Iterable[str] = ()) -> bool:
    """True if nobody may be sent to `address`. A network that the operator allowed wins over a denied one.

    Raises ValueError if it is not an address.
    """
    meanings = _meanings(ip_address(address))
    allowed = [ip_network(network, strict=False) for network in allowed_networks]
    return any(
        _within(meaning, _DENIED) and not any(_within(other, allowed) for other in meanings)
        for meaning in meanings
    )


def internal(address: str | Address, allowed_networks: Iterable[str] = ()) -> bool:
    """True if `address` is not plainly of the public Internet: private networks count as inside, too.

    A network that the operator allowed wins. Raises ValueError if it is not an address.
    """
    meanings = _meanings(ip_address(address))
    allowed = [ip_network(network, strict=False) for network in allowed_networks]
    return any(
        (not meaning.is_global or _within(meaning, _DENIED))
        and not any(_within(other, allowed) for other in meanings)
        for meaning in meanings
    )


def literal(host: str) -> Address | None:
    """The address that `host` is without asking DNS: a literal in any spelling, or a known local name."""
    name = host.strip().rstrip(".").lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if name.endswith(".localhost"):
        name = "localhost"
    try:
        return ip_address(_NAMED.get(name, name))
    except ValueError:
        return _old_spelling(name)


def _old_spelling(name: str) -> IPv4Address | None:
    """What C libraries still take for IPv4: 127.1, 0x7f000001, 2130706433, 0177.0.0.1."""
    if not name or any(character not in "0123456789abcdefx." for character in name):
        return None
    try:
        return IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _meanings(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    # Without its zone: fe80::1%eth0 is in no network of the standard library.
    plain = IPv6Address(int(address))
    found: list[Address] = [plain]
    if int(plain) > 1 and any(plain in network for network in _EMBEDDING):
        found.append(IPv4Address(int(plain) & 0xFFFFFFFF))
    if plain.sixtofour is not None:
        found.append(plain.sixtofour)
    if plain.teredo is not None:
        found.extend(plain.teredo)
    return found


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
