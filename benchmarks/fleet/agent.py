"""One simulated agent: its stream, its heartbeats, its back-off. What it would run is Work's business."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agents.edge.backoff import Backoff, around
from agents.wire import agent_pb2 as pb
from benchmarks.fleet.http2 import Call, Ended, Event, Headers, Message
from benchmarks.fleet.loop import Channel
from benchmarks.fleet.work import Work

if TYPE_CHECKING:
    from benchmarks.fleet.fleet import Fleet

CONNECT_SECONDS = 45.0  # as agents.edge.session has it
# Stands for reading the manifest and applying it, where the agents do no work.
SETTLE_SECONDS = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Identity:
    id: str
    cluster: int
    key: Ed25519PrivateKey


class Agent:
    __slots__ = (
        "_answered", "_attempt", "_backoff", "_call", "_channel", "_fleet", "_identity", "_interval",
        "_source", "_up_at", "access_version", "generation", "work",
    )  # fmt: skip

    def __init__(self, fleet: Fleet, identity: Identity, source: str) -> None:
        self._fleet, self._identity, self._source = fleet, identity, source
        self._backoff = Backoff()
        self._attempt = 0  # timers of an earlier one mean nothing
        self._answered = False
        self._channel: Channel | None = None
        self._call: Call | None = None
        self._up_at = 0.0
        self._interval = 30.0
        self.generation = self.access_version = 0
        self.work = Work(self, fleet) if fleet.works else None

    @property
    def is_up(self) -> bool:
        return self._up_at > 0

    def connect(self) -> None:
        fleet = self._fleet
        self._attempt += 1
        self._answered = False
        attempt = self._attempt
        self._call = Call(fleet.authority, "/agent.v1.AgentService/Connect", secure=bool(fleet.tls))
        self._channel = Channel(
            fleet.loop,
            fleet.server,
            on_open=self._flush,
            on_bytes=self._received,
            on_lost=self._lost,
            tls=fleet.tls,
            source=self._source,
        )
        fleet.loop.after(CONNECT_SECONDS, lambda: self._give_up(attempt))

    def abort(self) -> None:
        """As if the agent's machine had lost its power."""
        self._down()
        if self._channel:
            self._channel.close(abort=True)

    def say(self, **payload: object) -> None:
        if self._call is None:
            return
        self._call.send(pb.AgentMessage(**payload).SerializeToString())
        self._flush()

    def report(self, publishes: dict[str, str] | None = None) -> None:
        states = [pb.PublishState(id=pk, revision=r) for pk, r in (publishes or {}).items()]
        self.say(
            state_report=pb.StateReport(
                applied_generation=self.generation,
                settled_generation=self.generation,
                access_version=self.access_version,
                publishes=states,
            )
        )

    def _flush(self) -> None:
        if self._channel and self._call and self._call.out:
            out, self._call.out = self._call.out, bytearray()
            self._channel.write(out)

    def _received(self, data: bytes) -> None:
        call = self._call
        for event in call.feed(data):
            self._on(event)
            if self._call is not call:
                return
        self._flush()

    def _on(self, event: Event) -> None:
        if isinstance(event, Message):
            self._heard(pb.ServerMessage.FromString(event.body))
        elif isinstance(event, Headers) and not event.ends and "imp-nonce" in event.fields:
            self._introduce(event.fields)
        elif isinstance(event, Headers) and event.ends:
            status = event.fields.get("grpc-status", "0")
            self._lost(f"status {status}: {event.fields.get('grpc-message', '')}")
        elif isinstance(event, Ended):
            self._lost(event.why)

    def _introduce(self, given: dict[str, str]) -> None:
        self._answered = True
        now = int(given["imp-time"])
        claims = {
            "iss": self._identity.id,
            "aud": "imp-gateway",
            "nonce": given["imp-nonce"],
            "iat": now,
            "exp": now + 60,
        }
        token = jwt.encode(claims, self._identity.key, algorithm="EdDSA")
        request = pb.ConnectRequest(jwt=token, version="0.1.0", gateway_classes=["envoy"])
        self.say(connect_request=request)

    def _heard(self, message: pb.ServerMessage) -> None:
        kind = message.WhichOneof("payload")
        if kind == "connect_response":
            self._welcomed(message.connect_response)
        elif kind == "state_changed":
            self._fleet.mark(self._identity.cluster)
            self._changed(message.state_changed)
        elif kind == "deploy_command" and self.work:
            self.work.look()
        elif kind == "goodbye":
            self._lost(f"goodbye {message.goodbye.reason}", within=message.goodbye.retry_after_ms)

    def _welcomed(self, welcome: pb.ConnectResponse) -> None:
        self._up_at = time.monotonic()
        self._fleet.moved(+1)
        self._interval = welcome.heartbeat_interval_s
        attempt = self._attempt
        self._fleet.loop.after(random.uniform(0, self._interval), lambda: self._beat(attempt))
        if self.work:
            self.work.begin(welcome.rest_url, welcome.rest_token)
            return
        self.generation, self.access_version = welcome.generation, welcome.access_version
        self.report()

    def _changed(self, news: pb.StateChanged) -> None:
        if self.work:
            self.work.look()
            return
        if (news.generation, news.access_version) == (self.generation, self.access_version):
            return
        self.generation, self.access_version = news.generation, news.access_version
        attempt = self._attempt
        self._fleet.loop.after(random.uniform(*SETTLE_SECONDS), lambda: self._settled(attempt))

    def _settled(self, attempt: int) -> None:
        if attempt == self._attempt and self.is_up:
            self.report()

    def _beat(self, attempt: int) -> None:
        if attempt != self._attempt or not self.is_up:
            return
        self.say(heartbeat=pb.Heartbeat())
        self.report(self.work.served if self.work else None)
        self._fleet.loop.after(around(self._interval), lambda: self._beat(attempt))

    def _give_up(self, attempt: int) -> None:
        if attempt == self._attempt and not self.is_up:
            self._lost(f"no welcome within {CONNECT_SECONDS:.0f} s")

    def _lost(self, why: str, *, within: float | None = None) -> None:
        if self._call is None:
            return
        lasted = time.monotonic() - self._up_at if self.is_up else 0.0
        self._down()
        if self._channel:
            self._channel.close()
        self._fleet.lost[why] += 1
        self._backoff.held(lasted)
        wait = self._backoff.next(absent=not self._answered) if within is None else within / 1000
        attempt = self._attempt
        self._fleet.loop.after(wait, lambda: attempt == self._attempt and self.connect())

    def _down(self) -> None:
        self._call = None
        if self.is_up:
            self._up_at = 0.0
            self._fleet.moved(-1)
        self._attempt += 1
        if self.work:
            self.work.end()
