"""The load generator wrk: C, one thread, and what it says of itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

SCRIPT = Path(__file__).with_name("calls.lua")
HOW = "Install the Debian package wrk (apt-get install wrk), or run this as root, which does it itself."


class NoWrk(RuntimeError):
    """There is no load generator, with what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run gave: calls, and how many in a second; latencies in milliseconds; and what went wrong."""

    calls: int
    rps: float
    p50: float
    p95: float
    p99: float
    wrong: int


def program() -> str:
    """wrk's path; installed by us where we may."""
    if found := shutil.which("wrk"):
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoWrk(f"This benchmark needs wrk. {HOW}")
    print("  installing wrk (Debian) ...", flush=True)
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "wrk"]):
        result = subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise NoWrk(f"{' '.join(command)} failed: {result.stderr.strip()[-300:]} {HOW}")
    return shutil.which("wrk") or "wrk"


def measure(
    url: str,
    *,
    header: str,
    values: Iterable[str],
    connections: int,
    seconds: int,
    always: Mapping[str, str],
) -> Load:
    """Each call has the next of `values` in `header`, and the headers `always`."""
    with NamedTemporaryFile("w") as file:
        file.write("\n".join(values))
        file.flush()
        said = subprocess.run(
            [
                program(), "--threads", "1", "--connections", str(connections),
                "--duration", f"{seconds}s", "--timeout", "30s", "--script", str(SCRIPT), url,
                "--", header, file.name, *(word for pair in always.items() for word in pair),
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout  # fmt: skip
    line = next(line for line in said.splitlines() if line.startswith("imp "))
    calls, took, p50, p95, p99, wrong = (int(number) for number in line.split()[1:])
    return Load(calls, calls / took * 1e6, p50 / 1000, p95 / 1000, p99 / 1000, wrong)
