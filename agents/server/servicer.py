"""Register and Connect: translates messages to service calls and back. Holds no rules."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
import uuid
from collections.abc import Awaitable
from functools import partial
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
from django.core.exceptions import ObjectDoesNotExist

from agents.server import messages
from agents.server.admission import Admitted, Hello, admit
from agents.server.batches import Batches
from agents.server.checks import VERSION, check
from agents.server.database import Database
from agents.server.errors import InvalidMessage, Refused, refusal
from agents.server.hub import Hub
from agents.server.limits import RateLimit
from agents.server.options import Options
from agents.server.stream import Context, Stream, keep, running
from agents.wire import agent_pb2 as pb
from clusters.services import agents as clusters
from clusters.services.agents import Session
from core.context import Origin, origin
from core.errors import DomainError
from publishing.services.reports import Report, record_states
from publishing.services.verdicts import Word, record_results

log = logging.getLogger(__name__)
ADDRESS = re.compile(r"ipv[46]:(?:\[(?P<six>[^\]%]+)(?:%[^\]]*)?\]|(?P<four>[^:]+)):\d+")


class AgentServicer:
    def __init__(
        self, hub: Hub, database: Database, reports: Database, options: Options, owner: str
    ) -> None:
        self._hub, self._database = hub, database
        self._options = options
        timings = options.timings
        gather = timings.gather
        self._admission: Batches[Hello, Admitted] = Batches(
            lambda hellos: database.run(admit, hellos, owner=owner),
            gather=gather,
            spacing=timings.spacing,
            unclaimed=lambda admitted: hub.forget(admitted.session),
        )
        self._reports: Batches[Report, None] = Batches(
            lambda words: reports.run(record_states, words), gather=gather, spacing=timings.spacing
        )
        # In a lane of its own: a verdict does not wait for the reports of a whole fleet.
        self._results: Batches[Word, None] = Batches(
            lambda words: reports.run(record_results, words), gather=gather
        )
        self._limit = RateLimit(options.registrations_per_minute, options.registrations_at_once)

    def handler(self) -> grpc.GenericRpcHandler:
        """Requests arrive as bytes: we answer garbage ourselves, with a status that says so."""
        return grpc.method_handlers_generic_handler(
            "agent.v1.AgentService",
            {
                "Register": grpc.unary_unary_rpc_method_handler(
                    self.Register, response_serializer=pb.RegisterResponse.SerializeToString
                ),
                "Check": grpc.unary_unary_rpc_method_handler(
                    self.Check, response_serializer=pb.CheckResponse.SerializeToString
                ),
                "Connect": grpc.stream_stream_rpc_method_handler(
                    self.Connect, response_serializer=pb.ServerMessage.SerializeToString
                ),
            },
        )

    async def Register(self, raw: bytes, context: Context) -> pb.RegisterResponse:
        where = note_origin(context)
        try:
            self._admit_stranger(where)
            request = pb.RegisterRequest.FromString(raw)
            agent = await self._database.run(
                clusters.register_agent,
                token=request.token,
                name=request.name,
                public_key=request.public_key,
                signature=request.signature,
                version=request.version,
                gateway_classes=list(request.gateway_classes),
            )
        except Exception as error:  # noqa: BLE001 - every error becomes a status
            await _abort(context, error)
        self._limit.forgive(where.ip or "")
        log.info("Agent %s (%s) joined cluster %s.", agent.name, agent.pk, agent.cluster)
        return pb.RegisterResponse(
            agent_id=str(agent.pk),
            cluster_id=str(agent.cluster_id),
            cluster_name=agent.cluster.name,
        )

    async def Check(self, raw: bytes, context: Context) -> pb.CheckResponse:
        where = note_origin(context)
        try:
            self._admit_stranger(where)
            request = pb.CheckRequest.FromString(raw)
            answer = await self._database.run(
                check,
                token=request.token,
                name=request.name,
                jwt=request.jwt,
                version=request.version,
                gateway_classes=list(request.gateway_classes),
            )
        except Exception as error:  # noqa: BLE001 - every error becomes a status
            await _abort(context, error)
        self._limit.forgive(where.ip or "")
        return pb.CheckResponse(rest_url=self._options.rest_url, **answer)

    async def Connect(self, _requests: Any, context: Context) -> None:
        note_origin(context)
        try:
            since = asyncio.get_running_loop().time()
            admitted = await self._authenticate(context)
            stream = self._hub.join(admitted.session, busy=admitted.busy, since=since)
            try:
                await self._converse(stream, self._welcome(admitted.session), context)
            finally:
                self._hub.leave(stream)
        except Exception as error:  # noqa: BLE001 - every error becomes a status
            await _abort(context, error)

    def _admit_stranger(self, where: Origin) -> None:
        """Whoever guesses tokens is slowed down."""
        if not self._limit.allow(where.ip or ""):
            raise Refused(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "too_many_registrations",
                "Too many registrations from this address. Wait a minute and try again.",
            )

    async def _authenticate(self, context: Context) -> Admitted:
        if self._hub.draining:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "draining", "This server stops. Try again.")
        nonce = secrets.token_urlsafe(32)
        await keep(
            context.send_initial_metadata(
                (
                    ("imp-nonce", nonce),
                    ("imp-time", str(int(time.time()))),
                    ("imp-version", VERSION),
                )
            )
        )
        request = await self._first_message(context)
        hello = Hello(request.jwt, nonce, request.version, list(request.gateway_classes))
        return await self._admission.ask(hello)

    async def _first_message(self, context: Context) -> pb.ConnectRequest:
        try:
            raw = await asyncio.wait_for(keep(context.read()), self._options.timings.hello)
        except TimeoutError:
            raise Refused(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "hello_timeout",
                "No connect_request came in time.",
            ) from None
        if raw is grpc.aio.EOF:
            raise InvalidMessage("The stream ended before a connect_request.")
        kind, payload = messages.agent_message(raw)
        if kind != "connect_request":
            raise InvalidMessage("The first message must be a connect_request.")
        return payload

    def _welcome(self, session: Session) -> pb.ServerMessage:
        welcome = pb.ConnectResponse(
            rest_token=session.rest_token,
            rest_url=self._options.rest_url,
            heartbeat_interval_s=max(1, round(self._options.timings.heartbeat)),
            generation=session.generation,
            access_version=session.access_version,
        )
        return pb.ServerMessage(session_epoch=session.epoch, connect_response=welcome)

    async def _converse(self, stream: Stream, welcome: pb.ServerMessage, context: Context) -> None:
        """One reader, one writer; the stream is over when either ends, or the hub cuts it.

        Neither is cancelled: its read or write ends together with the call (see `keep`).
        """
        for work in (self._read(stream, context), self._write(stream, welcome, context)):
            running(work).add_done_callback(partial(_finish, stream))
        try:
            await stream.over
        finally:
            stream.close()

    async def _write(self, stream: Stream, welcome: pb.ServerMessage, context: Context) -> None:
        await self._send(stream, context, welcome)
        log.info("Agent %s connected, epoch %d.", stream.agent_id, stream.epoch)
        while not stream.ending or stream.dirty:
            await stream.news()  # what changes from here on makes it dirty again
            if stream.closed:
                return
            for message in stream.outbox():
                await self._send(stream, context, message)

    async def _send(self, stream: Stream, context: Context, message: pb.ServerMessage) -> None:
        """No timer of its own: the hub cuts whoever takes too long (Hub.cut_the_slow)."""
        self._hub.writing[stream] = asyncio.get_running_loop().time()
        try:
            await context.write(message)
        finally:
            del self._hub.writing[stream]

    async def _read(self, stream: Stream, context: Context) -> None:
        while (raw := await context.read()) is not grpc.aio.EOF and not stream.closed:
            kind, payload = messages.agent_message(raw)
            self._hub.beat(stream)
            if kind == "goodbye":
                return
            if kind == "connect_request":
                raise InvalidMessage("This stream is connected already.")
            if kind == "deploy_result":
                await self._result(stream, messages.result(payload))
            elif kind == "state_report":
                await self._report(stream, payload)

    async def _report(self, stream: Stream, payload: pb.StateReport) -> None:
        """A report comes with every heartbeat; one that says nothing new needs no database."""
        content, now = payload.SerializeToString(deterministic=True), time.monotonic()
        told, at = stream.recorded
        if content == told and now - at < self._options.timings.report:
            return
        report = Report(stream.agent_id, stream.epoch, **messages.report(payload))
        if await self._accepted(stream, self._reports.ask(report)):
            stream.recorded = (content, now)

    async def _result(self, stream: Stream, values: dict[str, Any]) -> None:
        word = Word(agent_id=stream.agent_id, epoch=stream.epoch, **values)
        await self._accepted(stream, self._results.ask(word))

    async def _accepted(self, stream: Stream, word: Awaitable[None]) -> bool:
        """A word about what is gone by now is dropped; it must not cost the agent its stream."""
        try:
            await word
        except (DomainError, ObjectDoesNotExist) as error:
            log.info("A word of agent %s is dropped: %s", stream.agent_id, error)
            self._hub.poke(stream.watch.cluster_id)  # the session may be over: then it is cut
            return False
        return True


def _finish(stream: Stream, task: asyncio.Task[None]) -> None:
    if task.cancelled():
        stream.over.cancel()
    else:
        stream.finish(task.exception())


async def _abort(context: Context, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    why = refusal(error)
    log.info("Refused %s: %s", context.peer(), why.code, extra={"grpc_status": why.status.name})
    await context.abort(why.status, why.message, why.trailers)
    raise AssertionError("abort raises")


def note_origin(context: Context) -> Origin:
    """Who calls, for the audit trail and the logs of this call."""
    metadata = dict(context.invocation_metadata() or ())
    where = Origin(
        request_id=uuid.uuid4().hex,
        ip=_address(context.peer()),
        user_agent=str(metadata.get("user-agent", ""))[:300],
    )
    origin.set(where)
    return where


def _address(peer: str) -> str | None:
    found = ADDRESS.fullmatch(unquote(peer))
    return (found["six"] or found["four"]) if found else None
