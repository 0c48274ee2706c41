"""What to apply in a Kubernetes cluster, so that its agent joins: the project's manifest, filled in."""

from __future__ import annotations

import json
from functools import lru_cache

from django.conf import settings

from clusters.services.tokens import ca_sha256

MANIFEST = settings.BASE_DIR / "deploy" / "kubernetes" / "agent.yaml"
# Lines of that file, and what stands there in this portal's one.
SERVER = "  server: agents.example.com:9443"
CA_SHA256 = '  ca-sha256: ""'
PORTAL = "  portal: https://portal.example.com"
IMAGE = "image: imp-agent:0.1.0"
NAMESPACE_ENDS = "  name: imp-gateway\n---\n"
JOINING_DOCUMENT = """apiVersion: v1
kind: Secret
metadata:
  name: imp-agent-token
  namespace: imp-gateway
stringData:
  token: {token}
---
"""


def kubernetes_manifest(*, secret: str) -> str:
    """With the token in it: it is shown once, as the token is."""
    return _filled_in().replace(
        NAMESPACE_ENDS, NAMESPACE_ENDS + JOINING_DOCUMENT.format(token=json.dumps(secret)), 1
    )


@lru_cache(maxsize=1)
def _filled_in() -> str:
    text = MANIFEST.read_text()
    digest = ca_sha256(settings.AGENT_CA_FILE) if settings.AGENT_CA_FILE else ""
    values = {
        SERVER: f"  server: {json.dumps(settings.AGENT_GRPC_ADDRESS)}",
        CA_SHA256: f"  ca-sha256: {json.dumps(digest)}",
        PORTAL: f"  portal: {json.dumps(settings.PUBLIC_URL)}",
        IMAGE: f"image: {json.dumps(settings.AGENT_IMAGE)}",
    }
    for line, filled in values.items():
        if line not in text:
            raise ValueError(f"{MANIFEST} has no line {line!r} to fill in.")
        text = text.replace(line, filled)
    # What precedes the first document tells how to fill it in by hand.
    return text[text.index("apiVersion:") :]
