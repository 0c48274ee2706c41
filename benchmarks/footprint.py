"""What a child of the stack costs: its memory and its processor time, with all its own children."""

from __future__ import annotations

import os
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree_of(root: int | None) -> list[int]:
    """A process and all its descendants."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (fields := _stat(int(folder.name))):
            parents[int(folder.name)] = int(fields[1])
    found = [root] if root in parents else []
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def rss_kib(pids: list[int]) -> int:
    """Resident memory; what several processes share is divided among them (PSS)."""
    return sum(_field(pid, "smaps_rollup", "Pss:") for pid in pids)


def anonymous_kib(pids: list[int]) -> int:
    """Memory of no file, counted in full by each that has it: what only stops being shared is no growth."""
    return sum(_field(pid, "smaps_rollup", "Anonymous:") for pid in pids)


def cpu_seconds(pids: list[int]) -> float:
    """Used so far. Processes that have ended since are missing from it."""
    return sum((int(f[11]) + int(f[12])) / TICK for pid in pids if (f := _stat(pid)))


def _field(pid: int, file: str, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold anything; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
