"""Changing what Envoy serves, in an order that never leaves a route without its cluster, and
finding out which publish it refuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from agents.edge.drivers.envoy.ads import AdsServer
from agents.edge.drivers.envoy.kinds import ContentError, Kind, Named, NoVerdict, Refused
from agents.edge.drivers.envoy.resources import Resources, Translator
from agents.edge.drivers.envoy.secrets import SecretFeed
from agents.edge.drivers.envoy.tls import secrets_of
from agents.edge.model import Publish

logger = logging.getLogger(__name__)

VERDICT_SECONDS = 15.0


class Rollout:
    def __init__(self, ads: AdsServer, translator: Translator) -> None:
        self.good: dict[str, Publish] = {}
        self._ads = ads
        self._translator = translator
        # A port, once opened, answers 404 until Envoy restarts: withdrawing and publishing again
        # neither drains connections nor risks the port.
        self._ports: dict[int, bool] = {}  # whether it speaks HTTPS
        self.secrets = SecretFeed(ads)

    def translatable(
        self, publishes: Mapping[str, Publish]
    ) -> tuple[dict[str, Publish], dict[str, str]]:
        """Those that this driver can serve, and why it cannot serve the others."""
        sound, errors = {}, {}
        for publish_id, publish in publishes.items():
            try:
                self._translator.translate(publish)
                self.secrets.check(publish)
            except (ContentError, ValueError, TypeError) as error:  # the latter two are protobuf's
                errors[publish_id] = str(error)
            else:
                sound[publish_id] = publish
        return sound, errors

    async def settle(self, changed: Mapping[str, Publish]) -> dict[str, str]:
        """Serve `changed` beside what is good; return Envoy's error for each that it refuses."""
        if not changed:
            return {}
        try:
            await self._serve({**self.good, **changed})
        except (Refused, NoVerdict) as error:
            return await self._divide(changed, error)
        self.good.update(changed)
        return {}

    async def _divide(
        self, changed: Mapping[str, Publish], error: Refused | NoVerdict
    ) -> dict[str, str]:
        """Put the last good state back, then try each half: one alone is guilty itself."""
        try:
            await self.restore()
        except (Refused, NoVerdict) as worse:
            logger.warning("the last good state is not taken either: %s", worse)
            return dict.fromkeys(changed, str(error))
        if len(changed) == 1:
            return dict.fromkeys(changed, str(error))
        ids = sorted(changed)
        errors: dict[str, str] = {}
        for half in (ids[: len(ids) // 2], ids[len(ids) // 2 :]):
            errors |= await self.settle({each: changed[each] for each in half})
        return errors

    async def restore(self) -> None:
        """Everything good again under new versions: a refusal may have been taken in part."""
        resources = self._build(self.good)
        deadline = _deadline()
        await self.secrets.keep_only(secrets_of(self.good.values()), again=True)
        await self._offer(Kind.ROUTES, resources, deadline, again=True)
        await self._offer(Kind.LISTENER, resources, deadline, again=True)
        await self._offer(Kind.CLUSTER, resources, deadline, again=True)

    async def trust(self, hops: int) -> None:
        """Believe so many proxies before the gateway about who calls."""
        if hops == self._translator.trusted_hops:
            return
        self._translator.trusted_hops = hops
        if not self._ads.offered(Kind.LISTENER):
            return
        try:
            await self._serve(self.good)
        except (Refused, NoVerdict) as error:
            # Still on offer; no reason to refuse publishes.
            logger.warning("%d trusted proxies are not confirmed: %s", hops, error)

    async def drop(self, publish_ids: Collection[str]) -> None:
        """Stop serving. It stays dropped even if Envoy gives no verdict: it will start without."""
        for publish_id in publish_ids:
            self.good.pop(publish_id, None)
        try:
            await self._serve(self.good)
        except (Refused, NoVerdict):
            await self._offer_everything(self.good)
            raise

    async def recover(self, kept: Mapping[str, Publish]) -> dict[str, str]:
        """Serve what was good before, on an Envoy that is new or was adopted.

        Without a verdict everything stays on offer: an adopted Envoy must not lose what it serves.
        """
        self._ports.clear()
        try:
            await self._serve(kept)
        except NoVerdict:
            self.good = dict(kept)
            await self._offer_everything(kept)
            raise
        except Refused as error:
            self.good = {}
            return await self._divide(kept, error)
        self.good = dict(kept)
        return {}

    async def _serve(self, target: Mapping[str, Publish]) -> None:
        """Clusters before the routes that need them, and away only after those routes are."""
        resources = self._build(target)
        deadline = _deadline()
        both = {**self._ads.offered(Kind.CLUSTER), **resources.clusters}
        await self._ads.offer(Kind.CLUSTER, both)
        await self._ads.settled(Kind.CLUSTER, _left(deadline))
        # Envoy asks for the routes and filters of a new port only once it has the listener.
        await self._ads.offer(Kind.ROUTES, resources.routes)
        needed = secrets_of(target.values())
        await self.secrets.add(needed)
        await self._offer(Kind.LISTENER, resources, deadline)
        await self._ads.settled(Kind.ROUTES, _left(deadline))
        if resources.listeners:
            await self._ads.settled(Kind.FILTER, _left(deadline))
        await self.secrets.settled(needed, _left(deadline))
        await self._offer(Kind.CLUSTER, resources, deadline)
        await self.secrets.keep_only(needed)
        for publish in target.values():
            self._ports |= {row.port: bool(row.tls.secret_id) for row in publish.bundle.listeners}
        self._translator.keep_only(target.values())

    async def _offer(
        self, kind: Kind, resources: Resources, deadline: float, *, again: bool = False
    ) -> None:
        await self._ads.offer(kind, resources.of(kind), again=again)
        await self._ads.settled(kind, _left(deadline))

    async def _offer_everything(self, target: Mapping[str, Publish]) -> None:
        resources = self._build(target)
        await self.secrets.keep_only(secrets_of(target.values()))
        for kind in (Kind.CLUSTER, Kind.ROUTES, Kind.LISTENER):
            await self._ads.offer(kind, resources.of(kind))

    @property
    def ports(self) -> frozenset[int]:
        """Where this Envoy listens: another port may be another process's."""
        return frozenset(int(name.partition("/")[2]) for name in self._ads.offered(Kind.LISTENER))

    def _build(self, target: Mapping[str, Publish]) -> Resources:
        return self._translator.build(target.values(), self._ports)


class AccessFeed:
    """Keys and limits, as one kind of resource: apart from publishes in time and in failure."""

    def __init__(self, ads: AdsServer) -> None:
        self._ads = ads
        self._lock = asyncio.Lock()

    async def offer(self, filters: Named) -> None:
        """Return once Envoy uses `filters`, or nothing listens that could use them."""
        async with self._lock:
            before = self._ads.offered(Kind.FILTER)
            await self._ads.offer(Kind.FILTER, {**before, **filters})
            if not self._ads.offered(Kind.LISTENER):
                return
            try:
                await self._ads.settled(Kind.FILTER, VERDICT_SECONDS)
            except Refused:
                await self._ads.offer(Kind.FILTER, before, again=True)
                raise


def ports_of(publish: Publish) -> set[int]:
    return {listener.port for listener in publish.bundle.listeners}


def _deadline() -> float:
    return asyncio.get_running_loop().time() + VERDICT_SECONDS


def _left(deadline: float) -> float:
    return max(deadline - asyncio.get_running_loop().time(), 0.001)
