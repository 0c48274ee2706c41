"""What bundles refer to and must not hold: TLS keys, in memory and in the database, never in words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from agents.edge.control import Control, Unauthorized, Unavailable
from agents.edge.model import TlsSecret
from agents.edge.store import Store
from agents.wire import bundle_pb2

log = logging.getLogger(__name__)

Bundles = Iterable[bundle_pb2.Bundle | None]


class Secrets:
    def __init__(
        self,
        store: Store,
        on_disk: Callable[..., Awaitable[Any]],
        held: Mapping[str, TlsSecret],
    ) -> None:
        self._store = store
        self._on_disk = on_disk
        self._held = dict(held)
        self._read: dict[str, str] = {}  # the version that was wanted when it was read last
        self.behind: frozenset[str] = frozenset()  # of another version than wanted

    async def bring(
        self, control: Control, wanted: Iterable[bundle_pb2.SecretVersion], bundles: Bundles
    ) -> None:
        """Get those that `bundles` refer to and that changed; on disk before they are used.

        One that cannot be had holds up what refers to it, and nothing else.
        """
        versions = {each.id: each.version for each in wanted}
        changed = {
            each for each in _named(bundles) & versions.keys() if self._lacks(each, versions)
        }
        found = await asyncio.gather(*(self._fetch(control, each) for each in sorted(changed)))
        fresh = {each.id: each for each in found if each is not None}
        if fresh:
            await self._on_disk(self._store.keep_secrets, fresh.values())
            log.info(
                "Secrets fetched",
                extra={"secrets": {each.id: each.version for each in fresh.values()}},
            )
        self._held |= fresh
        self._read |= {each: versions[each] for each in fresh}
        self.behind = frozenset(changed - fresh.keys())

    def complete(self, bundle: bundle_pb2.Bundle | None) -> bool:
        """Everything that it refers to is here."""
        return _named([bundle]) <= self._held.keys()

    def of(self, bundles: Bundles) -> dict[str, TlsSecret]:
        return {each: self._held[each] for each in sorted(_named(bundles) & self._held.keys())}

    def keep_only(self, ids: Iterable[str]) -> None:
        """As the store does: what nothing refers to is forgotten."""
        kept = set(ids)
        self._held = {each: secret for each, secret in self._held.items() if each in kept}

    def _lacks(self, secret_id: str, versions: Mapping[str, str]) -> bool:
        """What was read after a version was named may be newer than that, and is not read again for it."""
        if secret_id not in self._held:
            return True
        wanted = versions[secret_id]
        return wanted not in (self._held[secret_id].version, self._read.get(secret_id))

    async def _fetch(self, control: Control, secret_id: str) -> TlsSecret | None:
        try:
            found = await control.secret(secret_id)
        except Unauthorized:
            raise
        except Unavailable as error:
            log.warning("A secret could not be had: %s", error, extra={"secret": secret_id})
            return None
        if found is None or found.id != secret_id or not found.tls.private_key:
            log.info("A secret is not to be had", extra={"secret": secret_id})
            return None
        return TlsSecret(
            found.id, found.version, found.tls.certificate_chain, found.tls.private_key
        )


def _named(bundles: Bundles) -> set[str]:
    return {
        listener.tls.secret_id
        for bundle in bundles
        if bundle is not None
        for listener in bundle.listeners
        if listener.tls.secret_id
    }
