"""One stream to the control plane, from nonce to end. One task writes; reading never waits for work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agents.edge import faultpoint
from agents.edge.backoff import around
from agents.edge.outbox import Outbox
from agents.edge.state import Identity
from agents.wire import agent_pb2, agent_pb2_grpc

log = logging.getLogger(__name__)

AUDIENCE = "imp-gateway"
JWT_SECONDS = 60
# Longer than the server waits for a hello (30 s). Ten thousand agents that come at once are all let in within
# this; with less they give up, come again, and the server does every handshake twice.
CONNECT_SECONDS = 45
WRITE_SECONDS = 10
CLOCK_TOLERANCE = 30
REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
}
Result = TypeVar("Result")


class Reason(Enum):
    LOST = "lost"
    REFUSED = "refused"  # the control plane would not open a session
    DRAIN = "drain"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream ended."""

    reason: Reason
    words: str = ""
    retry_after: float = 0.0  # seconds
    lasted: float = 0.0  # seconds from the welcome on
    absent: bool = False  # no control plane answered


class Listener(Protocol):
    """Who is told what the control plane says. Neither call may wait for the gateway."""

    async def welcomed(self, welcome: agent_pb2.ConnectResponse, epoch: int) -> None: ...

    def hinted(self, message: agent_pb2.ServerMessage) -> None: ...


class Session:
    def __init__(
        self,
        channel: grpc.aio.Channel,
        identity: Identity,
        key: Ed25519PrivateKey,
        outbox: Outbox,
        listener: Listener,
        version: str,
    ) -> None:
        self._stub = agent_pb2_grpc.AgentServiceStub(channel)
        self._identity = identity
        self._key = key
        self._outbox = outbox
        self._listener = listener
        self._version = version
        self._call: Any = None
        self._writing: asyncio.Future[Any] | None = None
        self._welcomed_at = 0.0
        self._answered = False

    async def run(self, stopping: asyncio.Event, broken: asyncio.Event) -> Ending:
        """Connect and talk until either side ends it. Raises nothing that a network can cause."""
        self._call = self._stub.Connect()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                welcome = await self._connect()
            if isinstance(welcome, Ending):
                return welcome
            return await self._talk(welcome.heartbeat_interval_s or 30, stopping, broken)
        except TimeoutError:
            return self._ending(Reason.LOST, f"no answer within {CONNECT_SECONDS} s")
        except grpc.aio.AioRpcError as error:
            return self._failure(error)
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            # grpc.aio says so when a write meets a call that is already over.
            return self._ending(Reason.LOST, str(error) or "the stream is over")
        except asyncio.CancelledError:
            # grpc.aio says so, too, of a call that its channel gave up.
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return self._ending(Reason.LOST, "the stream was cancelled")
        finally:
            self._call.cancel()

    async def _connect(self) -> agent_pb2.ConnectResponse | Ending:
        metadata = await keep(self._call.initial_metadata())
        server = {name: str(value) for name, value in metadata or ()}
        if "imp-nonce" not in server or "imp-time" not in server:
            # A refusal comes without them; reading raises its words.
            if await keep(self._call.read()) is grpc.aio.EOF:
                return await self._closed()
            return self._ending(Reason.LOST, "the control plane sent no nonce")
        self._answered = True
        request = agent_pb2.ConnectRequest(
            jwt=self._sign(server["imp-nonce"], int(float(server["imp-time"]))),
            version=self._version,
            gateway_classes=[self._identity.gateway_class],
        )
        await keep(self._call.write(agent_pb2.AgentMessage(connect_request=request)))
        return await self._welcome()

    async def _welcome(self) -> agent_pb2.ConnectResponse | Ending:
        message = await keep(self._call.read())
        if message is grpc.aio.EOF:
            return await self._closed()
        if message.WhichOneof("payload") == "goodbye":
            return self._goodbye(message.goodbye)
        if message.WhichOneof("payload") != "connect_response":
            return self._ending(Reason.LOST, "the control plane did not begin with a welcome")
        self._welcomed_at = time.monotonic()
        await self._listener.welcomed(message.connect_response, message.session_epoch)
        self._outbox.repeat()
        return message.connect_response

    def _sign(self, nonce: str, server_time: int) -> str:
        """By the server's clock: ours may be wrong, and then it must not lock us out."""
        skew = faultpoint.now() - server_time
        if abs(skew) > CLOCK_TOLERANCE:
            log.warning(
                "This machine's clock differs from the control plane's; set it, or TLS may fail",
                extra={"seconds": round(skew)},
            )
        claims = {
            "iss": self._identity.agent_id,
            "aud": AUDIENCE,
            "nonce": nonce,
            "iat": server_time,
            "exp": server_time + JWT_SECONDS,
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA")

    # --- talking ---

    async def _talk(
        self, interval: float, stopping: asyncio.Event, broken: asyncio.Event
    ) -> Ending:
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write(interval))
        stop = asyncio.create_task(stopping.wait())
        renew = asyncio.create_task(broken.wait())
        tasks: set[asyncio.Task[Any]] = {reader, writer, stop, renew}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                return reader.result()
            if stop.done():
                await _ended(writer)
                return await self._leave()
            if renew.done():
                return self._ending(Reason.LOST, "the REST token of this session does not count")
            writer.result()  # raises what ended it
            return self._ending(Reason.LOST, "the writer ended")
        except TimeoutError:
            return self._ending(Reason.LOST, f"nothing could be written for {WRITE_SECONDS} s")
        finally:
            for task in tasks:
                await _ended(task)

    async def _read(self) -> Ending:
        while True:
            message = await keep(self._call.read())
            if message is grpc.aio.EOF:
                return await self._closed()
            if message.WhichOneof("payload") == "goodbye":
                return self._goodbye(message.goodbye)
            self._listener.hinted(message)

    async def _write(self, interval: float) -> None:
        beat = agent_pb2.AgentMessage(heartbeat=agent_pb2.Heartbeat())
        due = time.monotonic() + around(interval)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._outbox.wake.wait()
            if time.monotonic() >= due:
                due = time.monotonic() + around(interval)
                await self._send(beat)
                self._outbox.state_changed()
            for message in self._outbox.take():
                await self._send(message)

    async def _send(self, message: agent_pb2.AgentMessage) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            if self._writing is not None and not self._writing.done():
                # A writer that was cancelled left its write under way; gRPC takes one at a time.
                await asyncio.wait([self._writing])
            self._writing = asyncio.ensure_future(self._call.write(message))
            await keep(self._writing)
        if message.WhichOneof("payload") == "deploy_result":
            faultpoint.reach("agent.reported")

    async def _leave(self) -> Ending:
        """Say what is left to say, then that this is on purpose."""
        goodbye = agent_pb2.Goodbye(reason=agent_pb2.Goodbye.STOPPING)
        for message in [*self._outbox.take(), agent_pb2.AgentMessage(goodbye=goodbye)]:
            await self._send(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await keep(self._call.done_writing())
                # The other side ends the call when it has read everything; a cancel would cut it short.
                while await keep(self._call.read()) is not grpc.aio.EOF:
                    continue
        return self._ending(Reason.STOPPING)

    # --- endings ---

    async def _closed(self) -> Ending:
        code = await keep(self._call.code())
        if code == grpc.StatusCode.OK:
            return self._ending(Reason.LOST, "the control plane closed the stream")
        words, trailers = (
            await keep(self._call.details()),
            await keep(self._call.trailing_metadata()),
        )
        return self._by_code(code, words or "", trailers)

    def _failure(self, error: grpc.aio.AioRpcError) -> Ending:
        return self._by_code(error.code(), error.details() or "", error.trailing_metadata())

    def _by_code(self, code: grpc.StatusCode, words: str, trailers: Any) -> Ending:
        reason = Reason.REFUSED if code in REFUSALS else Reason.LOST
        said = error_code(trailers)
        self._answered = self._answered or bool(said)
        if said == "agent_revoked":
            reason = Reason.REVOKED
        return self._ending(reason, f"{code.name}: {words}")

    def _goodbye(self, goodbye: agent_pb2.Goodbye) -> Ending:
        reasons = {
            agent_pb2.Goodbye.DRAIN: Reason.DRAIN,
            agent_pb2.Goodbye.SUPERSEDED: Reason.SUPERSEDED,
            agent_pb2.Goodbye.REVOKED: Reason.REVOKED,
        }
        reason = reasons.get(goodbye.reason, Reason.LOST)
        return self._ending(reason, goodbye.message, goodbye.retry_after_ms / 1000)

    def _ending(self, reason: Reason, words: str = "", retry_after: float = 0.0) -> Ending:
        lasted = time.monotonic() - self._welcomed_at if self._welcomed_at else 0.0
        return Ending(reason, words, retry_after, lasted, absent=not self._answered)


def error_code(trailers: Any) -> str:
    """The control plane's name for what it refused, for programs."""
    return next((str(value) for name, value in trailers or () if name == "imp-error"), "")


def keep(awaitable: Awaitable[Result]) -> asyncio.Future[Result]:
    """Let a gRPC operation end in its own time: one that is cancelled leaks its memory (grpc#43360)."""
    task = asyncio.ensure_future(awaitable)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return asyncio.shield(task)


async def _ended(task: asyncio.Task[Any]) -> None:
    """Cancelled and gone. What it raised is the business of whoever read its result."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
