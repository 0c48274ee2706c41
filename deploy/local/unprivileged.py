"""PostgreSQL refuses to run as root. When we are root it runs as `nobody`, who cannot go everywhere.

A checkout under a private folder such as /root is closed to that user, so what it needs is kept, or
copied, under /var/tmp instead: in a folder whose name is derived from the wanted place.
"""

import hashlib
import os
import pwd
import shutil
import stat
from pathlib import Path

USER = "nobody"
SHELTERS = Path("/var/tmp")
# The kernel's limit is 107 bytes (103 on macOS); PostgreSQL adds "/.s.PGSQL.5432.lock".
LONGEST_SOCKET_FOLDER = 80


def user() -> str:
    """The user a server that refuses root runs as; empty when we are not root."""
    return USER if os.geteuid() == 0 else ""


def owner(path: Path) -> None:
    """Give a file or folder to that user."""
    if user():
        entry = pwd.getpwnam(USER)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def can_reach(path: Path) -> bool:
    """Whether that user may pass every folder above path; `make_folder` opens those yet to be made."""
    if not user():
        return True
    existing = [parent for parent in path.absolute().parents if parent.exists()]
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in existing)


def place_for(wanted: Path) -> Path:
    """The wanted folder, or its shelter when that user cannot reach it or its sockets' names get too long."""
    wanted = wanted.absolute()
    if can_reach(wanted) and len(os.fsencode(wanted)) <= LONGEST_SOCKET_FOLDER:
        return wanted
    return shelter_of(wanted)


def shelter_of(wanted: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(wanted.absolute())).hexdigest()[:12]
    return SHELTERS / f"imp-gateway-{os.geteuid()}" / digest


def make_folder(path: Path, mode: int = 0o711) -> Path:
    """Create a folder that is ours; one that somebody else put there first is refused.

    /var/tmp is open to all, so a stranger could prepare our shelter and read what we write into it.
    """
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(mode)  # whatever the umask is
    for folder in (path.parent, path) if SHELTERS in path.parents else (path,):
        allowed = {os.geteuid(), pwd.getpwnam(USER).pw_uid} if user() else {os.geteuid()}
        if folder.is_symlink() or folder.stat().st_uid not in allowed:
            raise PermissionError(f"{folder} belongs to another user; remove it and try again.")
    path.chmod(mode)
    return path


def reachable_copy(tree: Path, inside: Path) -> Path:
    """The program `inside` the package folder `tree`, from a copy if the server's user cannot reach it.

    The copy keeps the names, because binaries find their libraries relative to themselves.
    """
    if can_reach(tree / inside):
        return tree / inside
    shelter = make_folder(shelter_of(tree), 0o755)
    marker = shelter / ".complete"
    if not marker.exists():
        for part in (tree, tree.with_name(f"{tree.name}.libs")):
            if part.exists():
                shutil.copytree(part, shelter / part.name, dirs_exist_ok=True, symlinks=True)
        marker.touch()
    return shelter / tree.name / inside
