"""A gateway in memory that keeps the contract of agents.edge.model.Driver, with faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from agents.edge.model import Access, Live, Outcome, ProbeCall, Snapshot, Verdict


class MemoryGateway:
    """Outlives its agents, as a real one does: a test hands the same one to the next agent."""

    gateway_class = "memory"

    def __init__(self) -> None:
        self.serving: dict[str, str] = {}  # publish id -> revision
        self.keys: Mapping[str, object] = {}
        self.access_version = -1
        self.refuses: dict[str, str] = {}  # revision -> the gateway's words
        self.fails = 0  # so many of the next calls raise
        self.fails_to_start = 0
        self.apply_seconds = 0.0
        self.may_apply = asyncio.Event()
        self.may_apply.set()
        self.applied: list[dict[str, tuple[str, str]]] = []  # (revision, deployment) by publish
        self.snapshots: list[Snapshot] = []
        self.starts = 0
        self.detached = 0
        self.stopped = 0
        self.busy = 0

    async def start(self, snapshot: Snapshot, access: Access) -> None:
        if self.fails_to_start > 0:
            self.fails_to_start -= 1
            raise RuntimeError("port 8080 is taken")
        self.starts += 1
        self.serving = {publish.id: publish.revision for publish in snapshot.publishes.values()}
        self.keys, self.access_version = access.grants, access.version

    async def apply(self, snapshot: Snapshot) -> dict[str, Verdict]:
        self.busy += 1
        assert self.busy == 1, "two calls at once"
        try:
            await self.may_apply.wait()
            await asyncio.sleep(self.apply_seconds)
            if self.fails > 0:
                self.fails -= 1
                raise RuntimeError("the gateway hung up")
            return self._apply(snapshot)
        finally:
            self.busy -= 1

    def _apply(self, snapshot: Snapshot) -> dict[str, Verdict]:
        self.snapshots.append(snapshot)
        self.applied.append({p.id: (p.revision, p.deployment) for p in snapshot.publishes.values()})
        verdicts = {}
        for publish_id in self.serving.keys() - snapshot.publishes.keys():
            del self.serving[publish_id]
            verdicts[publish_id] = Verdict(Outcome.APPLIED)
        for publish in snapshot.publishes.values():
            changed = self.serving.get(publish.id) != publish.revision
            if words := self.refuses.get(publish.revision):
                verdicts[publish.id] = Verdict(Outcome.FAILED, error=words)
            elif changed or publish.deployment:
                self.serving[publish.id] = publish.revision
                verdicts[publish.id] = Verdict(
                    Outcome.APPLIED, probe=(_call(publish.id, publish.revision),), apply_ms=1.5
                )
        return verdicts

    async def apply_access(self, access: Access) -> int:
        if self.fails > 0:
            self.fails -= 1
            raise RuntimeError("the gateway hung up")
        self.keys, self.access_version = access.grants, access.version
        return access.version

    async def observe(self) -> dict[str, Live]:
        return {publish_id: Live(revision) for publish_id, revision in self.serving.items()}

    async def detach(self) -> None:
        self.detached += 1

    async def stop(self) -> None:
        self.stopped += 1


def _call(publish_id: str, revision: str) -> ProbeCall:
    body = f"{publish_id}@{revision[:8]}"
    return ProbeCall("GET", "api.example.com", 8080, "/", True, 200, 200, body, 0.7)
