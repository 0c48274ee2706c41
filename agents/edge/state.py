"""The agent's folder: who it is, and the lock that lets only one agent run on it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

EVERYWHERE = "0.0.0.0"  # noqa: S104 - a gateway is there to be reached


class StateError(RuntimeError):
    """The folder cannot be used as it is; the text says what to do."""


class NotJoined(StateError):
    """No agent has joined with this folder."""


class Revoked(StateError):
    """The operator turned this agent away for good."""


class Locked(StateError):
    """Another agent runs on this folder."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is to the control plane. The key lies beside it, in a file of its own."""

    agent_id: str
    cluster_id: str
    cluster_name: str
    name: str
    server: str
    plaintext: bool = False  # loopback only
    gateway_class: str = "envoy"
    bind: str = EVERYWHERE  # the address that the gateway listens on
    revoked: str = ""  # when the control plane turned this agent away for good, ISO 8601


@dataclass(frozen=True, slots=True)
class Running:
    """Where the agent that runs on this folder is found."""

    pid: int
    host: str
    port: int


class StateDir:
    """A folder that only its owner can enter."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.key_file = self.path / "key.pem"
        self.identity_file = self.path / "identity.json"
        self.ca_file = self.path / "ca.pem"
        self.running_file = self.path / "run.json"
        self.lock_file = self.path / "lock"
        self.database = self.path / "agent.db"

    def create(self) -> None:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check()
        except (FileExistsError, NotADirectoryError) as error:
            raise StateError(f"{self.path} is not a folder. Choose another --state-dir.") from error
        except PermissionError as error:
            raise StateError(
                f"{self.path} cannot be used: {error.strerror}. Run as the user who owns it, "
                "or choose another --state-dir."
            ) from error

    def check(self) -> None:
        """Nobody else may read the key; repaired where it is ours to repair."""
        mode = self.path.stat().st_mode & 0o777
        if mode != 0o700:
            self.path.chmod(0o700)

    # --- who ---

    def identity(self) -> Identity:
        try:
            held = json.loads(self.identity_file.read_text())
            known = {field.name for field in fields(Identity)}
            return Identity(**{name: value for name, value in held.items() if name in known})
        except FileNotFoundError as error:
            raise NotJoined(
                f"No agent has joined with {self.path}. "
                "Run `imp-agent join` with a registration token first."
            ) from error
        except PermissionError as error:
            raise StateError(f"{self.path} belongs to another user: {error.strerror}.") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise StateError(
                f"{self.identity_file} is damaged ({error}). Remove it and join again with a new token."
            ) from error

    def has_joined(self) -> bool:
        return self.identity_file.exists()

    def save_identity(self, identity: Identity) -> None:
        write(self.identity_file, json.dumps(asdict(identity), indent=2).encode() + b"\n")

    def mark_revoked(self, when: str) -> None:
        self.save_identity(replace(self.identity(), revoked=when))

    def key(self) -> Ed25519PrivateKey:
        """The agent's own key; the control plane has only ever seen its public half."""
        try:
            key = load_pem_private_key(self.key_file.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise NotJoined(f"{self.key_file} is missing. Join again with a new token.") from error
        except ValueError as error:
            raise StateError(
                f"{self.key_file} is damaged. Remove it and join again with a new token."
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise StateError(f"{self.key_file} is not an Ed25519 key. Remove it and join again.")
        return key

    def make_key(self) -> Ed25519PrivateKey:
        """The key of this folder, made at the first call and never again."""
        if not self.key_file.exists():
            key = Ed25519PrivateKey.generate()
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write(self.key_file, pem)
        return self.key()

    def forget_all_but_key(self) -> None:
        """What a gateway served, and for whom: all that agent and driver wrote here."""
        for path in self.path.iterdir():
            if path in {self.key_file, self.lock_file}:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def roots(self) -> bytes | None:
        """The only roots to trust, when join was given some."""
        return self.ca_file.read_bytes() if self.ca_file.exists() else None

    # --- who runs ---

    @contextlib.contextmanager
    def locked(self, patience: float = 1.0) -> Iterator[None]:
        """Hold the folder. The kernel lets go of it when the process ends, however it ends."""
        self.lock_file.touch(mode=0o600)
        with self.lock_file.open("a") as handle:
            # `is_locked` of another process holds it for a moment.
            deadline = time.monotonic() + patience
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise Locked(
                        f"Another agent runs on {self.path}. Stop it with "
                        f"`imp-agent stop --state-dir {self.path}`, or use another --state-dir."
                    )
                time.sleep(0.05)
            yield

    def is_locked(self) -> bool:
        if not self.lock_file.exists():
            return False
        with self.lock_file.open("a") as handle:
            return not _lock(handle)

    def running(self) -> Running | None:
        """The agent that runs now. What a killed one left behind does not count."""
        if not self.is_locked():
            return None
        try:
            return Running(**json.loads(self.running_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # it has only just started, or is about to end

    @contextlib.contextmanager
    def announced(self, running: Running) -> Iterator[None]:
        write(self.running_file, json.dumps(asdict(running)).encode())
        try:
            yield
        finally:
            self.running_file.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Replace a file at once and for good: after a power cut it is the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _lock(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
