"""The lock files install the same packages everywhere and name no machine."""

import json
import re

import pytest

from deploy.local import npm_lock, paths

REQUIREMENTS = sorted((paths.ROOT / "requirements").glob("*.txt"))
PACKAGE_LOCK = json.loads((paths.ROOT / "package-lock.json").read_text())
COMMITTED = [*REQUIREMENTS, *sorted((paths.ROOT / "requirements").glob("*.in"))]
PIN = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^ ;\\]+)", re.M | re.I)


def pins(name):
    return dict(PIN.findall((paths.ROOT / "requirements" / name).read_text()))


@pytest.mark.parametrize(
    "path", [*COMMITTED, paths.ROOT / "package-lock.json"], ids=lambda p: p.name
)
def test_no_address_is_committed(path):
    assert "://" not in path.read_text()


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_pin_has_a_hash(path):
    entries = re.split(r"\n(?=[a-z0-9])", path.read_text(), flags=re.I)
    unhashed = [
        entry.split()[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry
    ]
    assert not unhashed


@pytest.mark.parametrize("name", ["demo.txt", "server.txt", "agent.txt"])
def test_every_environment_has_the_versions_that_are_tested(name):
    assert pins(name).items() <= pins("dev.txt").items()


def test_the_agent_runs_without_django():
    assert not [name for name in pins("agent.txt") if "django" in name or name == "channels"]


def test_the_package_lock_has_hashes_and_no_addresses():
    packages = {name: entry for name, entry in PACKAGE_LOCK["packages"].items() if name}
    assert packages
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert npm_lock.without_addresses(PACKAGE_LOCK) == PACKAGE_LOCK


def test_front_end_packages_are_pinned_exactly():
    package = json.loads((paths.ROOT / "package.json").read_text())
    wanted = package["dependencies"] | package["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
