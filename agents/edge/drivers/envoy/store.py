"""What the driver keeps on disk: the last good publishes, one file each, and its own probe key."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.message import DecodeError

from agents.edge.drivers.envoy.kinds import DriverError
from agents.edge.model import Publish
from agents.wire import bundle_pb2

logger = logging.getLogger(__name__)


class Store:
    """Files are 0600 in a folder of 0700. A publish is written whole or not at all."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._good = state_dir / "last-good"
        self._lock = -1

    def open(self) -> str:
        """Return the probe key. One driver per state directory: two would fight over one Envoy."""
        for folder in (self._state_dir, self._good):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._state_dir / "driver.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise DriverError(f"another agent drives the gateway of {self._state_dir}") from None
        return self._probe_key()

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def load(self) -> dict[str, Publish]:
        """The publishes served last. An unreadable file costs that publish only."""
        publishes = {}
        for path in sorted(self._good.glob("*.json")):
            try:
                publish = _decode(path.read_bytes())
            except (ValueError, KeyError, TypeError, DecodeError) as error:
                logger.warning("%s is unreadable and is skipped: %s", path, error)
                continue
            publishes[publish.id] = publish
        return publishes

    def keep(self, publishes: Iterable[Publish]) -> None:
        for publish in publishes:
            write_atomically(self._good / f"{publish.id}.json", _encode(publish))

    def drop(self, publish_ids: Iterable[str]) -> None:
        for publish_id in publish_ids:
            (self._good / f"{publish_id}.json").unlink(missing_ok=True)
        _sync_folder(self._good)

    def _probe_key(self) -> str:
        """A random key of this agent's own; nobody else has even its digest."""
        path = self._state_dir / "probe.key"
        if not path.exists():
            write_atomically(path, secrets.token_hex(32).encode())
        return path.read_text()


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Survives a crash at any moment: the old content or the new, never half."""
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _encode(publish: Publish) -> bytes:
    bundle = base64.b64encode(publish.bundle.SerializeToString(deterministic=True)).decode()
    return json.dumps({"id": publish.id, "revision": publish.revision, "bundle": bundle}).encode()


def _decode(content: bytes) -> Publish:
    fields = json.loads(content)
    bundle = bundle_pb2.Bundle.FromString(base64.b64decode(fields["bundle"], validate=True))
    return Publish(id=fields["id"], revision=fields["revision"], bundle=bundle)
