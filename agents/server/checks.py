"""Whether an agent would be let in, without letting it in: what `imp-agent doctor` asks."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Any

from agents.server import auth
from clusters.models import Agent
from clusters.services import agents as clusters


def version() -> str:
    try:
        return metadata.version("imp-agent")
    except metadata.PackageNotFoundError:
        return "0+checkout"


VERSION = version()


def check(
    *, token: str, name: str, jwt: str, version: str, gateway_classes: Iterable[str]
) -> dict[str, Any]:
    """The fields of a CheckResponse. Raises what joining or connecting would raise."""
    if not jwt:
        row = clusters.check_invitation(
            token=token, name=name, version=version, gateway_classes=gateway_classes
        )
        return {"cluster_name": row.cluster.name}
    agent = Agent.objects.select_related("cluster").filter(pk=auth.claimed(jwt)).first()
    auth.prove(token=jwt, nonce="", agent=agent, audience=auth.CHECK_AUDIENCE)
    assert agent is not None  # or the proof would have failed
    heard = agent.last_heartbeat_at
    return {
        "cluster_name": agent.cluster.name,
        "last_heartbeat_at": int(heard.timestamp()) if heard else 0,
    }
