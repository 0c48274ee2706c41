"""What is true of this agent now: the one source of its state report, /healthz, /metrics and `status`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agents.edge import faultpoint
from agents.edge.model import Live
from agents.edge.state import Identity
from agents.edge.store import Refusal
from agents.wire import agent_pb2

LONGEST_ERROR = 4000


class Condition:
    def __init__(self, identity: Identity, version: str) -> None:
        self.identity = identity
        self.version = version
        self.started_at = faultpoint.now()
        self.connected = False
        self.last_contact = 0.0  # Unix time of the last word from the control plane
        self.session_epoch = 0
        self.reconnects = 0
        self.ended = ""  # why there will be no more streams: "revoked"
        self.desired_generation = 0
        self.settled_generation = 0
        self.applied_generation = 0
        self.desired_access_version = 0
        self.access_version = 0
        self.gateway_ready = False
        self.served: dict[str, str] = {}  # publish id -> revision that we applied
        self.wanted: dict[str, str] = {}
        self.live: dict[str, Live] = {}  # as the gateway itself says
        self.refusals: dict[str, Refusal] = {}
        self.keys = 0
        self._troubles: dict[str, str] = {}  # by where: the newest words
        self._on_change: Callable[[], None] = lambda: None

    def on_change(self, call: Callable[[], None]) -> None:
        self._on_change = call

    def changed(self) -> None:
        self._on_change()

    def trouble(self, where: str, words: str) -> None:
        """Something does not work; `words` = "" when it does again."""
        if self._troubles.get(where, "") == words:
            return
        self._troubles.pop(where, None)
        if words:
            self._troubles[where] = words[:LONGEST_ERROR]
        self.changed()

    @property
    def last_error(self) -> str:
        return next(reversed(self._troubles.values()), "")

    def heard(self) -> None:
        self.last_contact = faultpoint.now()

    def report(self) -> agent_pb2.StateReport:
        return agent_pb2.StateReport(
            applied_generation=self.applied_generation,
            settled_generation=self.settled_generation,
            access_version=self.access_version,
            publishes=self.publishes(),
            last_error=self.last_error,
        )

    def drifted(self) -> list[str]:
        """Publishes that the gateway does not serve as we applied them, or serves though we did not."""
        found = {
            publish_id: live.revision for publish_id, live in self.live.items() if live.revision
        }
        return sorted(
            publish_id
            for publish_id in found.keys() | self.served.keys()
            if found.get(publish_id) != self.served.get(publish_id)
        )

    def publishes(self) -> list[agent_pb2.PublishState]:
        """Every publish that is wanted, was applied, or is found at the gateway."""
        known = self.wanted.keys() | self.served.keys() | self.live.keys()
        return [self._publish(publish_id) for publish_id in sorted(known)]

    def _publish(self, publish_id: str) -> agent_pb2.PublishState:
        live = self.live.get(publish_id, Live(self.served.get(publish_id, "")))
        refusal = self.refusals.get(publish_id)
        refused = refusal is not None and refusal.revision == self.wanted.get(publish_id)
        return agent_pb2.PublishState(
            id=publish_id,
            revision=live.revision,
            error=refusal.error if refusal and refused else live.error,
            warning=live.warning,
        )

    def as_json(self) -> Mapping[str, Any]:
        """Nothing secret, so that it may be shown to whoever can reach the port."""
        return {
            "status": "ok" if self.gateway_ready else "gateway_down",
            "agent_id": self.identity.agent_id,
            "name": self.identity.name,
            "cluster_id": self.identity.cluster_id,
            "cluster_name": self.identity.cluster_name,
            "server": self.identity.server,
            "version": self.version,
            "uptime_s": round(faultpoint.now() - self.started_at, 1),
            "connected": self.connected,
            "ended": self.ended,
            "session_epoch": self.session_epoch,
            "last_contact_s": round(faultpoint.now() - self.last_contact, 1)
            if self.last_contact
            else None,
            "gateway": {"class": self.identity.gateway_class, "ready": self.gateway_ready},
            "generation": {
                "desired": self.desired_generation,
                "settled": self.settled_generation,
                "applied": self.applied_generation,
            },
            "access": {
                "desired": self.desired_access_version,
                "applied": self.access_version,
                "keys": self.keys,
            },
            "publishes": [
                {
                    "id": state.id,
                    "revision": state.revision,
                    "wanted": self.wanted.get(state.id, ""),
                    "error": state.error,
                    "warning": state.warning,
                }
                for state in self.publishes()
            ],
            "last_error": self.last_error,
        }
