from __future__ import annotations

import pytest

from clusters import rules
from core.errors import InvalidInput


@pytest.mark.parametrize("name", ["a", "kr-central-main", "0", "a" * 63])
def test_names(name):
    assert rules.name(name) == name


@pytest.mark.parametrize(
    "name", ["Foo_Bar", "a" * 64, "", "-a", "a-", "a b", " a", "a\n", "a.b", "ä", "a\x00"]
)
def test_bad_names_are_refused_by_name(name):
    with pytest.raises(InvalidInput) as refusal:
        rules.name(name)
    assert refusal.value.field == "name"
    assert "Kubernetes" in refusal.value.message


@pytest.mark.parametrize(
    ("given", "pairs", "shown"),
    [
        ([], [], []),
        ([80], [80, 80], [80]),
        (["443", 80], [80, 80, 443, 443], [80, 443]),
        (["8000-8999", "8500-9100"], [8000, 9100], ["8000-9100"]),
        ([80, 81, "82-90"], [80, 90], ["80-90"]),
        (["1-65535"], [1, 65535], ["1-65535"]),
        ([" 80 ", "100 - 200"], [80, 80, 100, 200], [80, "100-200"]),
    ],
)
def test_ports_become_pairs(given, pairs, shown):
    assert rules.ports(given) == pairs
    assert rules.port_ranges(pairs) == shown


@pytest.mark.parametrize(
    "item", [0, 65536, -1, "90-80", "x", "", "80-", "1-2-3", True, 1.5, None, "８０"]
)
def test_bad_ports_are_refused(item):
    with pytest.raises(InvalidInput) as refusal:
        rules.ports([item])
    assert refusal.value.field == "allowed_ports"


def test_too_many_ranges():
    with pytest.raises(InvalidInput):
        rules.ports(range(1, 1000, 2))


def test_networks_are_normalised():
    assert rules.networks([" 127.0.0.0/8", "::1", "127.0.0.0/8"]) == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize("hops", [-1, 11, True, "1", None, 1.0])
def test_trusted_proxies_are_few(hops):
    with pytest.raises(InvalidInput) as refusal:
        rules.hops(hops)
    assert refusal.value.field == "trusted_hops"


@pytest.mark.parametrize("item", ["127.0.0.1/8", "localhost", "10.0.0.0/33", "", 7])
def test_bad_networks_are_refused(item):
    with pytest.raises(InvalidInput) as refusal:
        rules.networks([item, "10.0.0.0/33"])
    assert refusal.value.field == "allowed_networks"


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"tier": "production", "cost-center": "infra"},
        {"app.kubernetes.io/part-of": "imp"},
        {"empty": ""},
        {"a" * 63: "b" * 63},
    ],
)
def test_labels(labels):
    assert rules.labels(labels) == labels


@pytest.mark.parametrize(
    "labels",
    [
        {"a" * 64: "x"},
        {"a": "b" * 64},
        {"": "x"},
        {"-a": "x"},
        {"a b": "x"},
        {"A/B/c": "x"},
        {"Example.com/a": "x"},
        {"/a": "x"},
        {"a": "has space"},
        {"a": "끝"},
        {"a": 1},
        {"a": {"b": "c"}},
        {"a": None},
        ["a"],
        {f"k{i}": "v" for i in range(65)},
    ],
)
def test_bad_labels_are_refused(labels):
    with pytest.raises(InvalidInput) as refusal:
        rules.labels(labels)
    assert refusal.value.field == "labels"


def test_text_is_trimmed_and_bounded():
    assert rules.text("  x ", field="region", limit=1) == "x"
    for bad in ("", "  ", "xx", "\x00"):
        with pytest.raises(InvalidInput):
            rules.text(bad, field="region", limit=1, required=True)
