"""What the agent still has to say to the control plane. It outlives streams; the newest word wins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from agents.wire import agent_pb2


class Outbox:
    def __init__(self, report: Callable[[], agent_pb2.StateReport]) -> None:
        self.wake = asyncio.Event()
        self._report = report  # the state when it is sent, not when it changed
        self._report_due = False
        self._waiting: dict[str, agent_pb2.DeployResult] = {}  # by deployment
        # Written to a stream, and perhaps lost with it: there are no receipts but the manifest.
        self._said: dict[str, agent_pb2.DeployResult] = {}

    def say(self, result: agent_pb2.DeployResult) -> None:
        self._said.pop(result.deployment_id, None)
        self._waiting[result.deployment_id] = result
        self.wake.set()

    def has(self, deployment_id: str) -> bool:
        return deployment_id in self._waiting or deployment_id in self._said

    def state_changed(self) -> None:
        self._report_due = True
        self.wake.set()

    def repeat(self) -> None:
        """Say everything that may not have arrived once more: the control plane takes a repeat as one."""
        self._waiting = {**self._said, **self._waiting}
        self._said = {}
        self.state_changed()

    def again(self, deployment_id: str) -> None:
        """The control plane asks for it: whatever was said of it has not arrived."""
        if said := self._said.get(deployment_id):
            self.say(said)

    def settle(self, named: Collection[str]) -> None:
        """A manifest names every deployment that waits; what was said of others is of no use now."""
        for kept in (self._waiting, self._said):
            for deployment_id in kept.keys() - named:
                del kept[deployment_id]

    def take(self) -> list[agent_pb2.AgentMessage]:
        """Results before the state that they led to."""
        self.wake.clear()
        messages = [agent_pb2.AgentMessage(deploy_result=r) for r in self._waiting.values()]
        self._said |= self._waiting
        self._waiting = {}
        if self._report_due:
            self._report_due = False
            messages.append(agent_pb2.AgentMessage(state_report=self._report()))
        return messages
