"""What Envoy serves HTTPS with, by SDS: a new version takes the place of the old and drops nobody."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from agents.edge.drivers.envoy.ads import AdsServer
from agents.edge.drivers.envoy.kinds import ContentError, DriverError, Kind, Named, Refused
from agents.edge.drivers.envoy.tls import leaf, secret_name, secrets_of
from agents.edge.drivers.envoy.tls import secret as packed
from agents.edge.model import Publish, TlsSecret

logger = logging.getLogger(__name__)

VERDICT_SECONDS = 15.0


class SecretFeed:
    def __init__(self, ads: AdsServer) -> None:
        self._ads = ads
        self._known: dict[str, TlsSecret] = {}
        self.refused: dict[str, str] = {}  # by id: why its newest version is not used

    def learn(self, secrets: Mapping[str, TlsSecret]) -> None:
        """Before anything is served: what there is from disk."""
        self._known = dict(secrets)

    async def use(self, secrets: Mapping[str, TlsSecret], served: Collection[str]) -> None:
        """Take over new versions of what is `served` already. What Envoy refuses stays as it was."""
        self.refused = {}
        changed = {
            each
            for each in served
            if secrets.get(each, self._known.get(each)) != self._known.get(each)
        }
        fresh = {each: secret for each, secret in secrets.items() if each not in changed}
        kept = {each: secret for each, secret in self._known.items() if each in served}
        self._known = kept | fresh
        # One by one: a refusal is about one, and takes down what comes with it.
        for secret_id in sorted(changed):
            try:
                await self._rotate(secrets[secret_id])
            except DriverError as error:
                self.refused[secret_id] = f"the new certificate is not used: {error}"
                logger.warning("secret %s: %s", secret_id, self.refused[secret_id])

    async def _rotate(self, secret: TlsSecret) -> None:
        leaf(secret)
        before = self._ads.offered(Kind.SECRET)
        older = self._known.get(secret.id)
        self._known[secret.id] = secret
        name = secret_name(secret.id)
        await self._ads.offer(Kind.SECRET, {**before, name: packed(secret)})
        try:
            await self._ads.settled(Kind.SECRET, VERDICT_SECONDS, frozenset({name}))
        except Refused:
            self._known.pop(secret.id)
            if older:
                self._known[secret.id] = older
            await self._ads.offer(Kind.SECRET, before, again=True)
            raise

    async def add(self, needed: Collection[str]) -> None:
        """Offer these beside what is on offer."""
        offered = self._ads.offered(Kind.SECRET)
        await self._ads.offer(Kind.SECRET, {**offered, **self._packed(needed)})

    async def keep_only(self, needed: Collection[str], *, again: bool = False) -> None:
        await self._ads.offer(Kind.SECRET, self._packed(needed), again=again)

    async def settled(self, needed: Collection[str], within: float) -> None:
        await self._ads.settled(Kind.SECRET, within, frozenset(self._packed(needed)))

    def leaf_of(self, secret_id: str) -> bytes:
        """What a client is shown, in DER."""
        return leaf(self._known[secret_id])

    def check(self, publish: Publish) -> None:
        """Raise ContentError if it cannot be served with what is here."""
        for secret_id in sorted(secrets_of([publish])):
            if secret_id not in self._known:
                raise ContentError(f"certificate {secret_id} is not here")
            leaf(self._known[secret_id])

    def _packed(self, needed: Collection[str]) -> Named:
        return {
            secret_name(each): packed(self._known[each]) for each in needed if each in self._known
        }
