"""The streams of this process, and how news of their clusters reaches them.

A wake or a sweep only says "look at the database"; what a stream is told comes from that look. So a lost,
late or doubled wake can cost time, never a deployment, and processes need not know of each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from agents.server import desired
from agents.server.batches import Batches
from agents.server.database import Database
from agents.server.desired import Picture, Standing
from agents.server.errors import TooSlow
from agents.server.options import Timings, jitter
from agents.server.stream import Stream, Watch
from agents.wire import agent_pb2 as pb
from clusters.services import agents as clusters
from clusters.services import lapses
from clusters.services.agents import Session

log = logging.getLogger(__name__)
# A look that took long may be long again: leave the database at least this many times as long.
REST_FACTOR = 2
WAKE_MEMORY_SECONDS = 60


class Hub:
    def __init__(self, database: Database, timings: Timings) -> None:
        self._database, self._timings = database, timings
        self.streams: dict[UUID, Stream] = {}  # by agent
        self.watches: dict[UUID, Watch] = {}  # by cluster
        self.writing: dict[Stream, float] = {}  # since when; see cut_the_slow
        self.draining = False
        self._looks: Batches[Watch, Picture] = Batches(self._look_at, gather=timings.glance)
        self._beats: dict[UUID, tuple[int, datetime]] = {}
        self._departed: list[tuple[UUID, int]] = []  # agent, epoch
        self._woken: dict[UUID, float] = {}  # when news of a cluster came last
        self._background: set[asyncio.Task[Any]] = set()

    # --- Streams ------------------------------------------------------------------------------

    def join(self, session: Session, *, busy: bool = False, since: float = 0.0) -> Stream:
        """Of two streams of one agent the one with the higher epoch stays, whichever comes here first.

        Its ConnectResponse says how things stand, so a look is only needed where a deployment is open
        (`busy`), or where news came after those numbers were asked for (`since`).
        """
        agent_id, cluster_id = session.agent_id, session.cluster_id
        watch = self.watches.setdefault(cluster_id, Watch(cluster_id))
        told = (session.generation, session.access_version)
        watch.numbers = max(watch.numbers, told)
        stream, old = Stream(agent_id, session.epoch, watch, told), self.streams.get(agent_id)
        if old and old.epoch > stream.epoch:
            supersede(stream)
            return stream
        if old:
            supersede(old)
        self.streams[agent_id] = watch.streams[agent_id] = stream
        if busy or self._woken.get(cluster_id, -1.0) >= since:
            self.poke(cluster_id)
        return stream

    def forget(self, session: Session) -> None:
        """Its stream was gone before it was let in."""
        self._depart(session.agent_id, session.epoch)

    def leave(self, stream: Stream) -> None:
        """The stream is over. Its row is closed in the background, whatever happens to the call."""
        if self.streams.get(stream.agent_id) is not stream:
            return
        del self.streams[stream.agent_id], stream.watch.streams[stream.agent_id]
        self._beats.pop(stream.agent_id, None)
        if not stream.watch.streams:
            del self.watches[stream.watch.cluster_id]
        self._depart(stream.agent_id, stream.epoch)

    def beat(self, stream: Stream) -> None:
        """Any message is a sign of life. Kept with its time; written with all others."""
        if self.streams.get(stream.agent_id) is stream:
            self._beats[stream.agent_id] = (stream.epoch, timezone.now())

    def _depart(self, agent_id: UUID, epoch: int) -> None:
        self._departed.append((agent_id, epoch))
        if len(self._departed) == 1:
            self.spawn(self._close())

    async def _close(self) -> None:
        await asyncio.sleep(self._timings.depart)
        ended, self._departed = self._departed, []
        try:
            await self._database.run(clusters.close_sessions, ended=ended)
        except Exception:
            log.exception("Could not note the end of %d sessions.", len(ended))

    # --- Looks --------------------------------------------------------------------------------

    def wake(self, cluster_id: UUID) -> None:
        """News of this cluster, also for streams that are being let in right now."""
        self._woken[cluster_id] = asyncio.get_running_loop().time()
        self.poke(cluster_id)

    def poke(self, cluster_id: UUID) -> None:
        """Look at this cluster soon. At once if it was quiet; a burst becomes one look."""
        watch = self.watches.get(cluster_id)
        if watch is None:
            return
        watch.again = True
        if watch.task is None:
            watch.task = self.spawn(self._look(watch))

    async def _look(self, watch: Watch) -> None:
        """One look at a time for each cluster, so that an older answer never overwrites a newer one."""
        clock = asyncio.get_running_loop().time
        try:
            while watch.again and watch.streams:
                pause = max(self._timings.debounce, watch.took * REST_FACTOR)
                await asyncio.sleep(max(0.0, watch.looked_at + pause - clock()))
                watch.again, began = False, clock()
                await self._look_once(watch)
                watch.looked_at = clock()
                watch.took = watch.looked_at - began
        except Exception:
            log.exception(
                "Could not look at cluster %s; the next sweep tries again.", watch.cluster_id
            )
        finally:
            watch.task = None

    async def _look_once(self, watch: Watch) -> None:
        asked = dict(watch.streams)
        picture = await self._looks.ask(watch)
        watch.numbers = picture.numbers.get(watch.cluster_id, watch.numbers)
        now = asyncio.get_running_loop().time()
        for stream in asked.values():
            if stream.ending:
                continue
            seen = picture.standings.get(stream.agent_id)
            commands = picture.commands.get(stream.agent_id, [])
            late = now - stream.hinted_at >= self._timings.repeat
            behind = seen is not None and seen.behind
            stream.wants(commands, repeat=late and (behind or bool(commands)))

    async def _look_at(self, watches: list[Watch]) -> list[Picture]:
        """News of many clusters mostly comes in one breath: their looks are one."""
        epochs = {pk: epoch for each in watches for pk, epoch in epochs_of(each.streams).items()}
        picture = await self._database.run(
            desired.look, cluster_ids=[each.cluster_id for each in watches], epochs=epochs
        )
        self.judge(picture.standings)
        return [picture] * len(watches)

    def judge(self, standings: dict[UUID, Standing]) -> None:
        """Cut streams of agents that were revoked, or that opened a newer session elsewhere."""
        for agent_id, standing in standings.items():
            stream = self.streams.get(agent_id)
            if stream is None or standing.epoch <= stream.epoch:
                continue
            if standing.revoked:
                revoke(stream)
            else:
                supersede(stream)

    # --- Rounds -------------------------------------------------------------------------------

    async def sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(self._timings.sweep * jitter.uniform(0.9, 1.1))
            try:
                await self.sweep()
            except Exception:
                log.exception("The sweep failed; it comes again.")

    async def sweep(self) -> None:
        """The backstop of everything: find what is behind, and cut what has no right to be here."""
        self._forget_wakes()
        asked = dict(self.streams)
        if not asked:
            return
        found = await self._database.run(
            desired.survey, epochs=epochs_of(asked), cluster_ids=list(self.watches)
        )
        self.judge(found.standings)
        for agent_id in found.deleted:
            revoke(asked[agent_id])  # together with its cluster
        for cluster_id in found.restless:
            self.poke(cluster_id)

    async def lapse_forever(self) -> None:
        """Have pages told of what only the clock changed. What lapses while no process runs, they find
        by themselves within a minute."""
        since = None
        while True:
            try:
                since = await self._database.run(lapses.announce_since, since)
            except Exception:
                log.exception("Could not look for what lapsed; it is looked for again.")
            await asyncio.sleep(self._timings.sweep)

    def _forget_wakes(self) -> None:
        """Nobody takes so long to be let in."""
        old = asyncio.get_running_loop().time() - WAKE_MEMORY_SECONDS
        self._woken = {pk: at for pk, at in self._woken.items() if at > old}

    async def cut_forever(self) -> None:
        while True:
            await asyncio.sleep(self._timings.write / 4)
            self.cut_the_slow()

    def cut_the_slow(self) -> None:
        """Of whoever does not read what is written, the stream ends. One round for all: a timer for
        each message cost more than the message."""
        limit = asyncio.get_running_loop().time() - self._timings.write
        for stream, since in self.writing.items():
            if since < limit:
                stream.finish(TooSlow())

    async def flush_forever(self) -> None:
        while True:
            await asyncio.sleep(self._timings.flush)
            await self.flush()

    async def flush(self) -> None:
        """All heartbeats since the last time, in one statement."""
        beats, self._beats = self._beats, {}
        if not beats:
            return
        try:
            await self._database.run(
                clusters.record_heartbeats,
                beats=[(agent_id, epoch, at) for agent_id, (epoch, at) in beats.items()],
            )
        except Exception:
            self._beats = beats | self._beats
            log.exception("Could not store %d heartbeats; they are kept.", len(beats))

    # --- The end ------------------------------------------------------------------------------

    async def drain(self, spread: float) -> None:
        """End the streams one by one, so that the agents do not all come back at the same moment."""
        self.draining = True
        streams = list(self.streams.values())
        jitter.shuffle(streams)
        step = max(1, len(streams) // 100)
        for start in range(0, len(streams), step):
            for stream in streams[start : start + step]:
                stream.end(pb.Goodbye.DRAIN, "This server stops.", retry_within=1.0)
            await asyncio.sleep(spread * step / len(streams))
        await self.flush()

    async def settle(self) -> None:
        """Wait for what runs in the background."""
        while self._background:
            await asyncio.wait(self._background)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def epochs_of(streams: dict[UUID, Stream]) -> dict[UUID, int]:
    return {agent_id: stream.epoch for agent_id, stream in streams.items()}


def supersede(stream: Stream) -> None:
    stream.end(pb.Goodbye.SUPERSEDED, "Another stream of this agent took over.")


def revoke(stream: Stream) -> None:
    stream.end(pb.Goodbye.REVOKED, "The operator revoked this agent.")
