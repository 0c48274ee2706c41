"""One agent's stream: what it was told, and what it should be told next. No queue, so nothing goes stale."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import grpc

from agents.server.desired import Command
from agents.server.options import jitter
from agents.wire import agent_pb2 as pb

Result = TypeVar("Result")
Context = grpc.aio.ServicerContext


def keep(operation: Coroutine[Any, Any, Result]) -> asyncio.Future[Result]:
    """Let a read or write end though its awaiter is cancelled: else core leaks it (grpc#43360)."""
    return asyncio.shield(running(operation))


def running(work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """A task that may end unobserved."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_observe)
    return task


def _observe(done: asyncio.Task[Any]) -> None:
    if not done.cancelled():
        done.exception()


class Watch:
    """The newest numbers of one cluster, shared by its streams in this process."""

    __slots__ = ("again", "cluster_id", "looked_at", "numbers", "streams", "task", "took")

    def __init__(self, cluster_id: UUID) -> None:
        self.cluster_id = cluster_id
        self.streams: dict[UUID, Stream] = {}
        self.numbers = (0, 0)  # generation, access version
        self.again = False
        self.task: asyncio.Task[None] | None = None
        self.looked_at = self.took = 0.0


class Stream:
    __slots__ = (
        "_goodbye", "_repeat", "_sleeper", "_told", "_told_commands", "agent_id", "closed", "commands",
        "dirty", "epoch", "hinted_at", "over", "recorded", "watch",
    )  # fmt: skip

    def __init__(self, agent_id: UUID, epoch: int, watch: Watch, told: tuple[int, int]) -> None:
        self.agent_id, self.epoch, self.watch = agent_id, epoch, watch
        self.dirty = False  # there may be something to tell
        self._sleeper: asyncio.Future[None] | None = None
        # Its reader or its writer ended, or it was cut.
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False  # the call is over
        self.commands: dict[UUID, Command] = {}
        # The ConnectResponse is a hint as well.
        self.hinted_at = asyncio.get_running_loop().time()
        self.recorded: tuple[bytes, float] = (b"", 0.0)  # the last state report that was stored
        self._told = told
        self._told_commands: set[UUID] = set()
        self._goodbye: pb.Goodbye | None = None
        self._repeat = False

    @property
    def ending(self) -> bool:
        return self._goodbye is not None

    async def news(self) -> None:
        """Until there may be something to tell. For the one writer: asyncio.Event costs three times this."""
        if not self.dirty:
            self._sleeper = asyncio.get_running_loop().create_future()
            await self._sleeper
        self.dirty = False

    def _ring(self) -> None:
        self.dirty = True
        if self._sleeper and not self._sleeper.done():
            self._sleeper.set_result(None)

    def close(self) -> None:
        self.closed = True
        self._ring()

    def finish(self, error: BaseException | None = None) -> None:
        """Whoever waits for `over` goes on. The first reason stays."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)

    def end(
        self, reason: pb.Goodbye.Reason, message: str = "", *, retry_within: float = 0.0
    ) -> None:
        """Say goodbye and close. The first reason stays."""
        if self._goodbye is None:
            wait = int(jitter.uniform(0, retry_within) * 1000)
            self._goodbye = pb.Goodbye(reason=reason, retry_after_ms=wait, message=message)
            self._ring()

    def wants(self, commands: Iterable[Command], *, repeat: bool) -> None:
        """Take over what waits for this agent; `repeat` tells it all once more."""
        self.commands = {command.deployment_id: command for command in commands}
        self._told_commands.intersection_update(self.commands)
        self._repeat = self._repeat or repeat
        if self._repeat or self._told != self.watch.numbers or self._untold():
            self._ring()

    def outbox(self) -> Iterator[pb.ServerMessage]:
        """What to tell now, read at the moment of sending: the newest numbers, then commands."""
        if self._goodbye is not None:
            yield self._message(goodbye=self._goodbye)
            return
        if self._repeat:
            self._told_commands.clear()
        if self._repeat or self._told != self.watch.numbers:
            self._told, self._repeat = self.watch.numbers, False
            self.hinted_at = asyncio.get_running_loop().time()
            generation, access_version = self._told
            hint = pb.StateChanged(generation=generation, access_version=access_version)
            yield self._message(state_changed=hint)
        for command in self._untold():
            self._told_commands.add(command.deployment_id)
            yield self._message(
                deploy_command=pb.DeployCommand(
                    deployment_id=str(command.deployment_id),
                    product_publish_id=str(command.publish_id),
                    generation=command.generation,
                )
            )

    def _untold(self) -> list[Command]:
        return [self.commands[pk] for pk in self.commands.keys() - self._told_commands]

    def _message(self, **payload: Any) -> pb.ServerMessage:
        return pb.ServerMessage(session_epoch=self.epoch, **payload)
