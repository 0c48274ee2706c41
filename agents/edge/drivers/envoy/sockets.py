"""Where the two Unix sockets are: in the state directory, or, as paths of sockets are short
(108 bytes), in a private folder of the runtime directory."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from agents.edge.drivers.envoy.kinds import DriverError

_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Sockets:
    ads: str
    admin: str


def sockets_for(state_dir: Path) -> Sockets:
    """The same state directory always gets the same paths: an adopted Envoy knows only these."""
    folder = state_dir.resolve()
    if len(str(folder / "admin.sock").encode()) > _LONGEST:
        folder = _private_folder(hashlib.sha256(str(folder).encode()).hexdigest()[:16])
    return Sockets(ads=str(folder / "ads.sock"), admin=str(folder / "admin.sock"))


def _private_folder(name: str) -> Path:
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    folder = base / f"imp-agent-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # In a shared folder somebody else may have been there first.
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise DriverError(f"{folder} is not a private folder of this user")
    return folder
