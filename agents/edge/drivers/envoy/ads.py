"""Aggregated discovery (state of the world) for one Envoy, on a Unix socket.

`offer` says what should be there; `settled` waits for Envoy's word on it. What was refused is not
sent again until something else is offered.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from agents.edge.drivers.envoy.kinds import WILDCARD, Kind, Named, NoVerdict, Refused

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Feed:
    """One kind of resource: what is offered, what was sent, what Envoy said."""

    kind: Kind
    resources: Named = field(default_factory=dict)
    digest: str = ""
    version: str = ""
    asked: frozenset[str] | None = None  # None: Envoy has not asked on this stream
    nonce: str = ""
    sent_version: str = ""
    sent_names: frozenset[str] = frozenset()
    acked_version: str = ""
    acked_names: frozenset[str] = frozenset()
    refusal: str = ""  # Envoy's words about sent_version

    def forget_stream(self) -> None:
        self.asked, self.nonce, self.refusal = None, "", ""
        self.sent_version = self.acked_version = ""
        self.sent_names = self.acked_names = frozenset()

    def is_due(self) -> bool:
        """Envoy asked and has not been sent the present version of all that it asked for."""
        if self.asked is None or not self.version:
            return False
        if self.kind in WILDCARD:
            return self.sent_version != self.version
        offered = self.asked & self.resources.keys()
        return bool(offered) and (
            self.sent_version != self.version or not offered <= self.sent_names
        )

    def is_settled(self, names: frozenset[str]) -> bool:
        if self.kind not in WILDCARD and not names:
            return True
        return self.acked_version == self.version and names <= self.acked_names


class AdsServer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def __init__(self, address: str) -> None:
        self._address = address
        self._server: grpc.aio.Server | None = None
        self._feeds = {kind: _Feed(kind) for kind in Kind}
        self._stream = 0  # the newest stream is Envoy; an older one is a connection not yet dead
        self._changed = asyncio.Condition()
        self._count = itertools.count(1)
        self._boot = int(time.time())

    async def start(self) -> None:
        self._server = grpc.aio.server()
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{self._address}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(grace=0)
            self._server = None

    async def offer(self, kind: Kind, resources: Named, *, again: bool = False) -> None:
        """Make `resources` the wanted state of a kind; the same bytes keep their version.

        `again` gives them a new version all the same: after a refusal Envoy may hold a part of
        what it refused.
        """
        feed = self._feeds[kind]
        digest = _digest(resources)
        if digest == feed.digest and not again:
            return
        feed.resources, feed.digest = resources, digest
        feed.version = f"{self._boot}.{next(self._count)}-{digest[:12]}"
        feed.refusal = ""
        await self._notify()

    async def settled(self, kind: Kind, within: float, names: frozenset[str] | None = None) -> None:
        """Wait until Envoy took the present version (of `names`, where it asks by name)."""
        feed = self._feeds[kind]
        wanted = frozenset(feed.resources) if names is None else names
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: feed.refusal or feed.is_settled(wanted))
        except TimeoutError:
            message = f"Envoy gave no verdict on {kind.name.lower()} in {within:g} s"
            raise NoVerdict(message) from None
        if feed.refusal:
            raise Refused(feed.refusal)

    async def connected(self, within: float) -> None:
        """Wait for an Envoy that asks."""
        feed = self._feeds[Kind.CLUSTER]
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: feed.asked is not None)
        except TimeoutError:
            raise NoVerdict(f"Envoy did not ask for its configuration in {within:g} s") from None

    def offered(self, kind: Kind) -> Named:
        return self._feeds[kind].resources

    async def StreamAggregatedResources(
        self,
        request_iterator: AsyncIterator[discovery_pb2.DiscoveryRequest],
        context: grpc.aio.ServicerContext,
    ) -> None:
        self._stream += 1
        stream = self._stream
        for feed in self._feeds.values():
            feed.forget_stream()
        writer = asyncio.create_task(self._write(stream, context))
        try:
            async for request in request_iterator:
                if stream != self._stream:
                    return
                await self._heard(request)
        finally:
            writer.cancel()
            if stream == self._stream:
                for feed in self._feeds.values():
                    feed.forget_stream()

    async def _heard(self, request: discovery_pb2.DiscoveryRequest) -> None:
        if request.type_url not in self._feeds:
            logger.warning("Envoy asks for %s, which is not served", request.type_url)
            return
        feed = self._feeds[Kind(request.type_url)]
        if request.response_nonce and request.response_nonce != feed.nonce:
            return  # about an answer that a newer one has overtaken
        feed.asked = frozenset(request.resource_names)
        if request.HasField("error_detail"):
            logger.warning("Envoy refused %s: %s", feed.sent_version, request.error_detail.message)
            if feed.sent_version == feed.version:
                feed.refusal = request.error_detail.message or "refused without a reason"
        elif request.response_nonce:
            feed.acked_version, feed.acked_names = feed.sent_version, feed.sent_names
        await self._notify()

    async def _write(self, stream: int, context: grpc.aio.ServicerContext) -> None:
        """The only writer of a stream. It sends the newest version, not each one offered."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._due() or stream != self._stream)
            if stream != self._stream:
                return
            while feed := self._due():
                await context.write(self._answer(feed))

    def _due(self) -> _Feed | None:
        return next((feed for feed in self._feeds.values() if feed.is_due()), None)

    def _answer(self, feed: _Feed) -> discovery_pb2.DiscoveryResponse:
        asked = feed.asked or frozenset()
        names = feed.resources.keys() if feed.kind in WILDCARD else asked & feed.resources.keys()
        feed.nonce, feed.sent_version = str(next(self._count)), feed.version
        feed.sent_names = frozenset(names)
        return discovery_pb2.DiscoveryResponse(
            type_url=feed.kind,
            version_info=feed.version,
            nonce=feed.nonce,
            resources=[feed.resources[name] for name in sorted(names)],
        )

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _digest(resources: Named) -> str:
    digest = hashlib.sha256()
    for name in sorted(resources):
        digest.update(name.encode() + b"\0" + resources[name].value + b"\0")
    return digest.hexdigest()
