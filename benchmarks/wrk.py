"""The load generator wrk: C, one thread, and what it says of itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("keys.lua")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
HOW = "Install the Debian package wrk (apt-get install wrk), or run this as root, which does it itself."


class NoWrk(RuntimeError):
    """There is no load generator, with what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one run gave: calls per second, latencies in milliseconds, and calls answered otherwise."""

    rps: float
    p50: float
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


def measure(url: str, *, keys: Path, host: str, connections: int, seconds: int) -> Load:
    result = subprocess.run(
        [
            program(), "--threads", "1", "--connections", str(connections), "--latency",
            "--duration", f"{seconds}s", "--script", str(SCRIPT), url, "--", str(keys), host,
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    said = result.stdout
    rps = re.search(r"Requests/sec:\s+([\d.]+)", said)
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert rps, said
    return Load(
        rps=float(rps[1]),
        p50=_latency(said, 50),
        p99=_latency(said, 99),
        wrong=int(wrong[1]) if wrong else 0,
    )


def _latency(said: str, quantile: int) -> float:
    found = re.search(rf"^\s+{quantile}%\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
    assert found, said
    return float(found[1]) * UNITS[found[2]]
