"""The running agent: serves from disk first, then keeps a session and follows what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import sqlite3
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, TypeVar

from agents.edge import faultpoint
from agents.edge.access import AccessReader, AccessTable
from agents.edge.backoff import Backoff, around
from agents.edge.condition import Condition
from agents.edge.control import Control, Unauthorized, Unavailable
from agents.edge.gateway import Gateway, GatewayDown
from agents.edge.link import Link
from agents.edge.model import Driver
from agents.edge.outbox import Outbox
from agents.edge.reach import channel_of, trust
from agents.edge.reconcile import Reconciler
from agents.edge.session import Ending, Reason, Session
from agents.edge.state import StateDir
from agents.edge.store import Store
from agents.wire import agent_pb2

log = logging.getLogger(__name__)
Result = TypeVar("Result")

POLL_SECONDS = 60.0  # what a lost hint costs at most
OBSERVE_SECONDS = 15.0
DRIFT_SECONDS = 60.0  # between two attempts to restore what the gateway lost
REST_SECONDS = 20.0  # a call of the gateway may take so long to end when we stop
SUPERSEDED_SECONDS = (15.0, 30.0)


class Exit(IntEnum):
    """What the program answers to whoever started it."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    REFUSED = 4
    REVOKED = 5
    UNREACHABLE = 6
    LOCKED = 7


class Agent:
    def __init__(
        self,
        state: StateDir,
        make_driver: Callable[[], Driver],
        version: str,
        *,
        exit_when_revoked: bool = True,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        identity = state.identity()
        self._state = state
        self._key = state.key()
        self._version = version
        self._exit_when_revoked = exit_when_revoked
        self._poll_seconds = poll_seconds
        self._trust = trust(state.roots())
        self._store = Store(state.database)
        # One thread, so that writes keep their order and the loop never waits for a disk.
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="disk")
        saved = self._store.load()
        self.condition = Condition(identity, version)
        self.gateway = Gateway(make_driver, self.condition)
        self._outbox = Outbox(self.condition.report)
        self.condition.on_change(self._outbox.state_changed)
        self._link = Link()
        self._reconciler = Reconciler(
            self._store, self._on_disk, self.gateway, self._outbox, self.condition, saved
        )
        self._access = AccessReader(
            self._store, self._on_disk, AccessTable(saved.entries, saved.cursor)
        )
        if self._store.is_new:
            # Nothing is known of what the gateway serves: what it should not is removed.
            self._reconciler.apply_again()
        self.condition.keys = len(self._access.table)
        self._access_due = asyncio.Event()
        self._observe_due = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stop_gateway = False

    def stop(self, *, gateway: bool = False) -> None:
        """Say goodbye and end. The gateway goes on serving, unless it is to end as well."""
        self._stop_gateway = self._stop_gateway or gateway
        self._stopping.set()

    async def run(self) -> Exit:
        """Serve until told to stop, or until the control plane has no use for this agent."""
        await self._start_gateway()
        loops = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("publishes", self._publishes()),
                ("access", self._keys()),
                ("gateway", self._watch_gateway()),
            )
        ]
        session = asyncio.create_task(self._sessions(), name="session")
        try:
            # The loops never end by themselves: one that does is a fault of ours, and must be seen.
            done, _ = await asyncio.wait([session, *loops], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {session}:
                task.result()
            return session.result()
        finally:
            await self._wind_down([session, *loops])

    async def _wind_down(self, tasks: list[asyncio.Task[Any]]) -> None:
        """A gateway is not left in the middle of a change, if it comes to an end in time."""
        log.info("Stopping", extra={"gateway": "stops" if self._stop_gateway else "serves on"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST_SECONDS), self.gateway.at_rest():
                for task in tasks:
                    task.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._link.drop()
        if self._stop_gateway:
            await self.gateway.stop()
        else:
            await self.gateway.detach()
        self._disk.shutdown()
        self._store.close()

    # --- the gateway ---

    async def _start_gateway(self) -> None:
        """From disk, before anybody is asked: the gateway serves through any outage."""
        with contextlib.suppress(GatewayDown):  # it is logged, reported and tried again
            await self.gateway.start(self._reconciler.served, self._access.table.as_model())

    async def _watch_gateway(self) -> None:
        restored_at = time.monotonic()
        while True:
            await _due(self._observe_due, around(OBSERVE_SECONDS))
            if not self.gateway.is_started:
                await self._start_gateway()
                self._reconciler.due.set()
                self._access_due.set()
            try:
                live = await self.gateway.observe()
            except GatewayDown:
                continue
            if live != self.condition.live:
                self.condition.live = live
                self.condition.changed()
            drifted = self.condition.drifted()
            if drifted and time.monotonic() - restored_at > DRIFT_SECONDS:
                log.warning("The gateway drifted; applying again", extra={"publishes": drifted})
                restored_at = time.monotonic()
                self._reconciler.apply_again()

    # --- what to run, and who may call ---

    async def _publishes(self) -> None:
        await self._repeat(self._reconciler.due, "publishes", self._reconcile)

    async def _reconcile(self, control: Control) -> None:
        if not self.gateway.is_started:
            await self._start_gateway()
        await self._reconciler.reconcile(control)
        self._observe_due.set()
        lineage, version = self._reconciler.access_mark
        self.condition.desired_access_version = version
        read = self._access.table.cursor
        if (read.lineage, read.version) != (lineage, version):
            self._access_due.set()

    async def _keys(self) -> None:
        await self._repeat(self._access_due, "access", self._apply_access)

    async def _apply_access(self, control: Control) -> None:
        before = self._access.table.cursor
        await self._access.read(control)
        self.condition.heard()
        access = self._access.table.as_model()
        self.condition.keys = len(self._access.table)
        if self._access.table.cursor == before and self.condition.access_version == access.version:
            return
        faultpoint.reach("agent.keys_read")
        version = await self.gateway.apply_access(access)
        faultpoint.reach("agent.keys_applied")
        log.info("Keys applied", extra={"access_version": version, "keys": self.condition.keys})
        self.condition.access_version = version
        self.condition.changed()

    async def _repeat(
        self,
        due: asyncio.Event,
        name: str,
        work: Callable[[Control], Coroutine[Any, Any, None]],
    ) -> None:
        """Do the work when it is due, and now and then in any case; try again when it fails."""
        backoff = Backoff()
        while True:
            timed_out = await _due(due, around(self._poll_seconds))
            control = await self._link.control()
            if timed_out:
                self._outbox.repeat()
            try:
                await work(control)
            except Unauthorized as error:
                log.warning("%s", error, extra={"during": name})
                self._link.broken.set()
                due.set()
                await asyncio.sleep(backoff.next())
            except (Unavailable, GatewayDown, sqlite3.Error) as error:
                # SQLite's: the disk is full or broken. What is served goes on being served.
                log.warning("Trying again: %s", error, extra={"during": name})
                self.condition.trouble(name, str(error))
                due.set()
                await asyncio.sleep(backoff.next())
            else:
                backoff.reset()
                self.condition.trouble(name, "")

    async def _on_disk(self, call: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._disk, lambda: call(*args, **kwargs))

    # --- sessions ---

    async def _sessions(self) -> Exit:
        """One stream after the other, until we stop or are told not to come back."""
        backoff = Backoff()
        while not self._stopping.is_set():
            if self.condition.identity.revoked:
                return await self._revoked()
            ending = await self._session()
            if self._stopping.is_set():
                break
            backoff.held(ending.lasted)
            await self._pause(ending, backoff)
        return Exit.OK

    async def _session(self) -> Ending:
        channel = channel_of(self.condition.identity, self._state)
        session = Session(
            channel, self.condition.identity, self._key, self._outbox, self, self._version
        )
        try:
            return await session.run(self._stopping, self._link.broken)
        finally:
            self.condition.connected = False
            await self._link.drop()
            await channel.close()

    async def welcomed(self, welcome: agent_pb2.ConnectResponse, epoch: int) -> None:
        condition = self.condition
        try:
            self._link.put(Control(welcome.rest_url, welcome.rest_token, self._trust))
            condition.trouble("rest", "")
        except Unavailable as error:
            log.error("%s", error)  # noqa: TRY400 - the operator's setting, no fault of ours
            condition.trouble("rest", str(error))
        condition.connected = True
        condition.session_epoch = epoch
        condition.desired_generation = welcome.generation
        condition.desired_access_version = welcome.access_version
        condition.heard()
        condition.trouble("control plane", "")
        self._reconciler.due.set()
        self._access_due.set()
        log.info("Connected", extra={"server": condition.identity.server, "epoch": epoch})

    def hinted(self, message: agent_pb2.ServerMessage) -> None:
        self.condition.heard()
        kind = message.WhichOneof("payload")
        if kind == "deploy_command":
            self._outbox.again(message.deploy_command.deployment_id)
            self._reconciler.due.set()
        elif kind == "state_changed":
            changed = message.state_changed
            if changed.generation != self.condition.settled_generation:
                self._reconciler.due.set()
            if changed.access_version != self.condition.access_version:
                self._access_due.set()

    async def _pause(self, ending: Ending, backoff: Backoff) -> None:
        self.condition.reconnects += 1
        if ending.reason is Reason.REVOKED:
            self._state.mark_revoked(datetime.now(UTC).isoformat(timespec="seconds"))
            self.condition.identity = self._state.identity()
            return
        wait = backoff.next(absent=ending.absent)
        level = logging.WARNING
        if ending.reason is Reason.DRAIN:
            level, wait = logging.INFO, ending.retry_after + random.uniform(0, 0.5)  # noqa: S311
        elif ending.reason is Reason.SUPERSEDED:
            level, wait = logging.ERROR, random.uniform(*SUPERSEDED_SECONDS)  # noqa: S311
            self.condition.trouble("control plane", TWO_AGENTS)
        elif ending.reason is Reason.REFUSED:
            level = logging.ERROR
            self.condition.trouble("control plane", ending.words)
        log.log(
            level,
            "The session ended",
            extra={"reason": ending.reason.value, "words": ending.words, "retry_s": round(wait, 2)},
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._stopping.wait()

    async def _revoked(self) -> Exit:
        """Nothing new is ever applied again; what is served stays, and status says so."""
        self.condition.ended = "revoked"
        self.condition.trouble("control plane", REVOKED)
        log.error(REVOKED)
        if self._exit_when_revoked:
            return Exit.REVOKED
        await self._stopping.wait()
        return Exit.REVOKED


TWO_AGENTS = (
    "Another agent connected with this agent's key. Was the state folder copied? "
    "Let each agent join with a token and a folder of its own."
)
REVOKED = (
    "The operator revoked this agent. The gateway keeps its last configuration and gets no new one. "
    "To come back, stop the agent and run `imp-agent join` with a new registration token."
)


async def _due(event: asyncio.Event, longest: float) -> bool:
    """Wait for the event or for so long; True when time was up. Hints that come meanwhile count as one."""
    timed_out = False
    try:
        async with asyncio.timeout(longest):
            await event.wait()
    except TimeoutError:
        timed_out = True
    event.clear()
    return timed_out
