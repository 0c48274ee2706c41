"""What an agent must not forget, in one SQLite file: what it serves, who may call, what it answered.

Every method is one transaction that is on disk when it returns. Callers run them in one thread of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from agents.edge import faultpoint
from agents.edge.model import Publish, Snapshot, TlsSecret
from agents.wire import agent_pb2, bundle_pb2

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS bundles (digest TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS served (
  publish_id TEXT PRIMARY KEY, revision TEXT NOT NULL, proof BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (
  publish_id TEXT PRIMARY KEY, revision TEXT NOT NULL, deployment_id TEXT NOT NULL, error TEXT NOT NULL,
  at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  deployment_id TEXT PRIMARY KEY, result BLOB NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secrets (
  id TEXT PRIMARY KEY, version TEXT NOT NULL, chain TEXT NOT NULL, key TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS access (id TEXT PRIMARY KEY, entry BLOB NOT NULL) WITHOUT ROWID;
"""
ANSWERS_KEPT_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Refusal:
    """A revision that the gateway would not take, and the deployment that asked for it ("" = none did)."""

    publish_id: str
    revision: str
    deployment_id: str
    error: str
    at: float  # Unix time


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the access entries were read."""

    lineage: str = ""
    version: int = 0  # of the cluster
    after_version: int = 0
    after_id: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """All that a restarted agent knows before it has asked anybody."""

    snapshot: Snapshot
    proofs: Mapping[str, agent_pb2.DeployResult]  # of what is served, by publish id
    refusals: Mapping[str, Refusal]  # by publish id
    answers: Mapping[str, agent_pb2.DeployResult]  # by deployment id
    entries: tuple[bundle_pb2.AccessEntry, ...]
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Turn:
    """What one application of a snapshot changed."""

    snapshot: Snapshot
    proofs: Mapping[str, agent_pb2.DeployResult] = field(default_factory=dict)
    refusals: Mapping[str, Refusal] = field(default_factory=dict)  # all that stand, by publish id
    answers: tuple[agent_pb2.DeployResult, ...] = ()


class Store:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_new = False  # nothing was known: the first start, or the file was damaged
        self._db = self._open()

    def close(self) -> None:
        self._db.close()

    # --- reading ---

    def load(self) -> Saved:
        facts = self._facts()
        read = self._db.execute
        return Saved(
            snapshot=self._snapshot(facts.get("settings", {})),
            proofs={
                row[0]: _result(row[1]) for row in read("SELECT publish_id, proof FROM served")
            },
            refusals={row[0]: Refusal(*row) for row in read("SELECT * FROM refusals")},
            answers={
                row[0]: _result(row[1]) for row in read("SELECT deployment_id, result FROM answers")
            },
            entries=tuple(
                bundle_pb2.AccessEntry.FromString(row[0])
                for row in read("SELECT entry FROM access")
            ),
            cursor=Cursor(**facts.get("cursor", {})),
        )

    def bundles(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Those of the named bundles that are here and whole."""
        found = {}
        for digest in set(digests):
            row = self._db.execute("SELECT body FROM bundles WHERE digest = ?", [digest]).fetchone()
            if row is not None and is_whole(digest, row[0]):
                found[digest] = row[0]
        return found

    # --- writing ---

    def keep_bundles(self, bodies: Mapping[str, bytes]) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO bundles VALUES (?, ?)", bodies.items())

    def keep_secrets(self, secrets: Iterable[TlsSecret]) -> None:
        with self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?)",
                [astuple(secret) for secret in secrets],
            )

    def forget(self, publish_ids: Iterable[str]) -> None:
        """Before the gateway lets go of them: a crash in between must not bring a withdrawn publish back."""
        with self._db:
            self._db.executemany(
                "DELETE FROM served WHERE publish_id = ?", [(pid,) for pid in publish_ids]
            )

    def record(self, turn: Turn) -> None:
        """What is served from now on, with the verdicts that led there."""
        with self._db:
            self._db.execute("DELETE FROM served WHERE TRUE")
            self._db.executemany("INSERT INTO served VALUES (?, ?, ?)", _served(turn))
            self._db.execute("DELETE FROM refusals WHERE TRUE")
            self._db.executemany(
                "INSERT INTO refusals VALUES (?, ?, ?, ?, ?)",
                [astuple(refusal) for refusal in turn.refusals.values()],
            )
            self._answer(turn.answers)
            self._note("settings", _settings(turn.snapshot))
            self._db.execute(
                "DELETE FROM answers WHERE at < ?", [faultpoint.now() - ANSWERS_KEPT_SECONDS]
            )
            self._db.execute(
                "DELETE FROM bundles WHERE digest NOT IN (SELECT revision FROM served)"
                " AND digest NOT IN (SELECT revision FROM refusals)"
            )
            named = turn.snapshot.secrets
            kept = ",".join("?" * len(named))
            self._db.execute(f"DELETE FROM secrets WHERE id NOT IN ({kept})", list(named))  # noqa: S608 - "?"s

    def answer(self, results: Iterable[agent_pb2.DeployResult]) -> None:
        with self._db:
            self._answer(results)

    def keep_access(
        self, entries: Iterable[bundle_pb2.AccessEntry], cursor: Cursor, *, full: bool
    ) -> None:
        """Entries and the cursor after them, together; a full read replaces all there was."""
        with self._db:
            if full:
                self._db.execute("DELETE FROM access WHERE TRUE")
            for entry in entries:
                if entry.deleted:
                    self._db.execute("DELETE FROM access WHERE id = ?", [entry.id])
                else:
                    row = (entry.id, entry.SerializeToString())
                    self._db.execute("INSERT OR REPLACE INTO access VALUES (?, ?)", row)
            self._note("cursor", asdict(cursor))

    # --- inside ---

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.DatabaseError as error:
            # The control plane can tell us everything again; only the identity could not be replaced.
            aside = self._path.with_suffix(f".damaged-{int(time.time())}")
            log.error("%s is damaged (%s); moved to %s", self._path, error, aside)  # noqa: TRY400
            for path in self._files():
                if path.exists():
                    path.rename(aside.with_name(path.name.replace(self._path.name, aside.name)))
            return self._connect()

    def _connect(self) -> sqlite3.Connection:
        self.is_new = not self._path.exists()
        # Made by us, because SQLite would let everybody read it; its other files take over the mode.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
        db = sqlite3.connect(self._path, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            # A private key that is not needed any more leaves the file, not only the table.
            db.execute("PRAGMA secure_delete = ON")
            db.executescript(SCHEMA)
            if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DatabaseError("quick_check found damage")
        except BaseException:
            db.close()
            raise
        return db

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + end) for end in ("", "-wal", "-shm")]

    def _facts(self) -> dict[str, Any]:
        return {name: json.loads(text) for name, text in self._db.execute("SELECT * FROM facts")}

    def _note(self, name: str, value: Mapping[str, Any]) -> None:
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", [name, json.dumps(value)])

    def _answer(self, results: Iterable[agent_pb2.DeployResult]) -> None:
        now = faultpoint.now()
        self._db.executemany(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)",
            [(result.deployment_id, result.SerializeToString(), now) for result in results],
        )

    def _snapshot(self, settings: Mapping[str, Any]) -> Snapshot:
        rows = self._db.execute("SELECT publish_id, revision FROM served").fetchall()
        bodies = self.bundles(revision for _, revision in rows)
        bundles = {digest: parse_bundle(digest, body) for digest, body in bodies.items()}
        return Snapshot(
            generation=settings.get("generation", 0),
            publishes={
                publish_id: Publish(publish_id, revision, bundle)
                for publish_id, revision in rows
                if (bundle := bundles.get(revision)) is not None
            },
            agent_count=settings.get("agent_count", 1),
            denied_networks=tuple(settings.get("denied_networks", ())),
            allowed_networks=tuple(settings.get("allowed_networks", ())),
            secrets={row[0]: TlsSecret(*row) for row in self._db.execute("SELECT * FROM secrets")},
            trusted_hops=settings.get("trusted_hops", 0),
        )


def is_whole(digest: str, body: bytes) -> bool:
    """A bundle's bytes hash to its name."""
    return hashlib.sha256(body).hexdigest() == digest


def parse_bundle(digest: str, body: bytes) -> bundle_pb2.Bundle | None:
    """None for one that this agent cannot read, which is no reason to stop the others."""
    try:
        return json_format.Parse(body, bundle_pb2.Bundle(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        log.error("A bundle cannot be read", extra={"digest": digest, "error": str(error)})  # noqa: TRY400 - no fault of ours
        return None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def _served(turn: Turn) -> list[tuple[str, str, bytes]]:
    nothing = agent_pb2.DeployResult()
    return [
        (pid, publish.revision, turn.proofs.get(pid, nothing).SerializeToString())
        for pid, publish in turn.snapshot.publishes.items()
    ]


def _settings(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "generation": snapshot.generation,
        "agent_count": snapshot.agent_count,
        "denied_networks": snapshot.denied_networks,
        "allowed_networks": snapshot.allowed_networks,
        "trusted_hops": snapshot.trusted_hops,
    }


def _result(body: bytes) -> agent_pb2.DeployResult:
    return agent_pb2.DeployResult.FromString(body)
