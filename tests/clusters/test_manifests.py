"""The manifest that joins an agent in Kubernetes: the project's own, with this portal's values."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from clusters.services import manifests, tokens

TOKEN = "igr_0123456789_" + "a" * 64


@pytest.fixture(autouse=True)
def _anew():
    """What is filled in is kept for the life of a process, as the settings are."""
    for cached in (manifests._filled_in, tokens.ca_sha256):
        cached.cache_clear()
    yield
    for cached in (manifests._filled_in, tokens.ca_sha256):
        cached.cache_clear()


def documents() -> dict:
    text = manifests.kubernetes_manifest(secret=TOKEN)
    return {(row["kind"], row["metadata"]["name"]): row for row in yaml.safe_load_all(text)}


def test_the_values_of_this_portal_are_filled_in(settings, tmp_path):
    (tmp_path / "ca.pem").write_text("a certificate")
    settings.AGENT_GRPC_ADDRESS = "agents.imp.example.com:9443"
    settings.PUBLIC_URL = "https://imp.example.com"
    settings.AGENT_IMAGE = "registry.example.com/imp-agent:9"
    settings.AGENT_CA_FILE = str(tmp_path / "ca.pem")

    found = documents()

    assert found["ConfigMap", "imp-agent"]["data"] == {
        "server": "agents.imp.example.com:9443",
        "portal": "https://imp.example.com",
        "ca-sha256": hashlib.sha256(b"a certificate").hexdigest(),
    }
    assert found["Secret", "imp-agent-token"]["stringData"] == {"token": TOKEN}
    pod = found["StatefulSet", "imp-agent"]["spec"]["template"]["spec"]
    images = {row["image"] for row in [*pod["initContainers"], *pod["containers"]]}
    assert images == {"registry.example.com/imp-agent:9"}


def test_nothing_else_of_the_file_is_changed(settings):
    settings.AGENT_CA_FILE = ""
    mine = documents()
    assert mine.pop(("Secret", "imp-agent-token"))
    theirs = [row["kind"] for row in yaml.safe_load_all(manifests.MANIFEST.read_text())]
    assert [kind for kind, _name in mine] == theirs
    assert mine["ConfigMap", "imp-agent"]["data"]["ca-sha256"] == ""
