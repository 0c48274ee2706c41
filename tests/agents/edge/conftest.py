"""The agent knows neither PostgreSQL nor Django; its tests start neither."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agents.edge import agent as agent_module
from agents.edge.agent import Agent, Exit
from agents.edge.join import Invitation, join
from agents.edge.reach import Address
from agents.edge.state import StateDir
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer


@pytest.fixture(autouse=True, scope="session")
def _real_services() -> None:
    """Replaces the servers that all other tests need."""


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    found = StateDir(tmp_path / "agent")
    found.create()
    return found


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with Peer().serving() as peer:
        yield peer


@pytest.fixture
def gateway() -> MemoryGateway:
    return MemoryGateway()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes become moments; the rules stay."""
    monkeypatch.setattr(agent_module, "OBSERVE_SECONDS", 0.2)
    monkeypatch.setattr(agent_module, "DRIFT_SECONDS", 0.3)
    monkeypatch.setattr(agent_module, "REST_SECONDS", 0.5)
    monkeypatch.setattr("agents.edge.backoff.FIRST_SECONDS", 0.05)


async def joined(state: StateDir, peer: Peer, **options: object) -> StateDir:
    invitation = Invitation(
        Address("127.0.0.1", peer.port), peer.issue_token(), "edge-1", **options
    )
    await join(state, invitation, gateway_class="memory", version="1.0")
    return state


class Runner:
    """Agents of this test, one after the other or side by side; stopped at its end."""

    def __init__(self) -> None:
        self._tasks: list[tuple[Agent, asyncio.Task[Exit]]] = []

    def start(self, state: StateDir, gateway: MemoryGateway, **options: object) -> Agent:
        agent = Agent(state, lambda: gateway, "1.0", **options)
        self._tasks.append((agent, asyncio.create_task(agent.run())))
        return agent

    async def ended(self, agent: Agent, seconds: float = 10) -> Exit:
        task = next(task for mine, task in self._tasks if mine is agent)
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)

    async def stop(self, agent: Agent, *, gateway: bool = False) -> Exit:
        agent.stop(gateway=gateway)
        return await self.ended(agent)

    async def kill(self, agent: Agent) -> None:
        """As kill -9: no goodbye, nothing is detached, what is on disk stays as it is."""
        task = next(task for mine, task in self._tasks if mine is agent)
        agent.gateway._release()
        task.cancel()
        await asyncio.wait([task])

    async def close(self) -> None:
        for agent, task in self._tasks:
            agent.stop()
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(10):
                    await task


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    runner = Runner()
    yield runner
    await runner.close()


async def until(check: Callable[[], object], what: str = "", seconds: float = 10) -> None:
    """Wait for what another task brings about."""
    try:
        async with asyncio.timeout(seconds):
            while not check():  # noqa: ASYNC110 - other tasks need not tell us
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what or check.__name__}") from None
