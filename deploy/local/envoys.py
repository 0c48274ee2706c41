"""The Envoys that agents leave running: found by the notes that the agents wrote, and ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

STOP_SECONDS = 5


def stop_all(home: Path) -> None:
    """End every Envoy whose pid an agent of this folder wrote down, whoever started it, and no other."""
    for note in sorted((home / "agents").glob("*/envoy.json")):
        pid = pid_in(note)
        if pid and is_envoy(pid):
            _end(pid)
        note.unlink(missing_ok=True)


def pid_in(note: Path) -> int:
    """The agent's note of its Envoy; 0 when it is unreadable, since then nothing can be said to be ours."""
    try:
        return int(json.loads(note.read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def is_envoy(pid: int) -> bool:
    """A pid is reused after a reboot; only a process that is called so is ours to end."""
    if Path("/proc/self/stat").exists():  # a small Debian has no ps
        head, _, tail = _text(Path(f"/proc/{pid}/stat")).rpartition(")")
        # Z: it has ended, and whoever inherited it does not collect it.
        return head.partition("(")[2].startswith("envoy") and not tail.lstrip().startswith("Z")
    shown = subprocess.run(
        ["ps", "-p", str(pid), "-o", "comm="], capture_output=True, text=True, check=False
    )
    return "envoy" in shown.stdout


def _text(path: Path) -> str:
    """The file's text; empty when its process is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if not is_envoy(pid):
                return
            time.sleep(0.05)
