"""Who may call: read in steps by a cursor, on disk before it is applied, acknowledged by the gateway."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from agents.edge.control import Control, CursorGone, Unavailable
from agents.edge.model import Access, Grant, PlanLimit
from agents.edge.store import Cursor, Store
from agents.wire.bundle_pb2 import AccessEntry

log = logging.getLogger(__name__)

OnDisk = Callable[..., Awaitable[Any]]


class AccessTable:
    """The entries of the cluster, as far as they were read. One change costs one change."""

    def __init__(self, entries: Iterable[AccessEntry] = (), cursor: Cursor | None = None) -> None:
        self.cursor = cursor or Cursor()
        self._entries: dict[str, AccessEntry] = {}
        self._grants: dict[str, Grant] = {}
        self._plans: dict[str, PlanLimit] = {}
        for entry in entries:
            self._put(entry)

    def __len__(self) -> int:
        return len(self._grants)

    def as_model(self) -> Access:
        return Access(self.cursor.version, dict(self._grants), dict(self._plans))

    def take(self, entries: Iterable[AccessEntry], cursor: Cursor) -> None:
        for entry in entries:
            self._drop(entry.id)
            if not entry.deleted:
                self._put(entry)
        self.cursor = cursor

    def _put(self, entry: AccessEntry) -> None:
        if entry.kind == "key":
            self._grants[entry.digest] = Grant(
                digest=entry.digest,
                publish_id=entry.publish_id,
                plan_id=entry.plan_id,
                subscription_id=entry.subscription_id,
                suspended=entry.suspended,
            )
        elif entry.kind == "plan":
            self._plans[entry.plan_id] = PlanLimit(
                plan_id=entry.plan_id,
                publish_id=entry.publish_id,
                rate_per_minute=entry.rate_per_minute,
            )
        else:
            log.warning(
                "An access entry of an unknown kind is left out", extra={"kind": entry.kind}
            )
            return
        self._entries[entry.id] = entry

    def _drop(self, entry_id: str) -> None:
        """By what the entry was before: a tombstone need not repeat it."""
        entry = self._entries.pop(entry_id, None)
        if entry is None:
            return
        if entry.kind == "key":
            self._grants.pop(entry.digest, None)
        else:
            self._plans.pop(entry.plan_id, None)


class AccessReader:
    def __init__(self, store: Store, on_disk: OnDisk, table: AccessTable) -> None:
        self._store = store
        self._on_disk = on_disk
        self.table = table

    async def read(self, control: Control) -> None:
        """Up to the newest entry; everything again when the control plane cannot tell what changed."""
        try:
            await self._read(control, self.table.cursor)
        except CursorGone:
            log.warning("The access cursor does not count any more: reading every key and plan")
            try:
                await self._read(control, Cursor())
            except CursorGone as error:
                raise Unavailable(
                    "The access entries were replaced while they were read."
                ) from error

    async def _read(self, control: Control, cursor: Cursor) -> None:
        gathered: list[AccessEntry] = []
        full = not cursor.lineage
        while True:
            page = await control.access(cursor)
            if cursor.lineage and page.lineage != cursor.lineage:
                raise CursorGone  # the database was restored from a backup
            full = full or page.full
            cursor = Cursor(page.lineage, page.version, page.next_version, page.next_id)
            gathered.extend(page.entries)
            if not page.more:
                break
        # A part of a full read must never pass for the whole: nothing is kept before the last page.
        await self._on_disk(self._store.keep_access, gathered, cursor, full=full)
        if full:
            self.table = AccessTable(
                (entry for entry in gathered if not entry.deleted), cursor=cursor
            )
        else:
            self.table.take(gathered, cursor)
