from __future__ import annotations

import pytest

from core.addresses import DENIED_NETWORKS, forbidden, literal

DENIED = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::169.254.169.254",
    "2002:7f00:1::",
]
ALLOWED = [
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "8.8.8.8",
    "fc00::1",
    "fd00:ec2::1",
    "2606:4700::1111",
    "::ffff:10.0.0.1",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", DENIED)
def test_nobody_is_sent_there(address):
    assert forbidden(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_private_and_public_addresses_are_normal(address):
    assert not forbidden(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"])
def test_what_the_operator_allowed_wins(address):
    assert not forbidden(address, ["10.0.0.0/8", "127.0.0.0/8"])


@pytest.mark.parametrize("address", ["::1", "169.254.169.254", "::ffff:169.254.169.254"])
def test_an_allowed_network_allows_nothing_else(address):
    assert forbidden(address, ["127.0.0.0/8"])


def test_an_allowed_network_of_the_other_family_is_no_error():
    assert forbidden("::1", ["0.0.0.0/0"])
    assert not forbidden("::1", ["::/0"])


def test_a_name_is_no_address():
    with pytest.raises(ValueError):
        forbidden("example.com")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.0.0.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "127.0.0.1"),
        ("api.localhost", "127.0.0.1"),
        ("ip6-localhost", "::1"),
        ("[::1]", "::1"),
        ("metadata.google.internal", "169.254.169.254"),
    ],
)
def test_addresses_are_seen_through_every_spelling(host, address):
    assert str(literal(host)) == address


@pytest.mark.parametrize(
    "host", ["example.com", "billing", "cafe", "a.b.c.d", "localhost.example.com", "", "1.2.3.4.5"]
)
def test_names_are_left_to_the_resolver(host):
    assert literal(host) is None


def test_the_denied_networks_are_told_to_agents_as_they_are():
    assert "127.0.0.0/8" in DENIED_NETWORKS
    assert all("/" in network for network in DENIED_NETWORKS)
