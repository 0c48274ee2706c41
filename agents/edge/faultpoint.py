"""What the fault runner may do to an agent from inside: let it die at a named place, set its clock wrong.

Both only by the environment, and only for an agent whose control plane is on this very machine.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

POINT, CLOCK = "IMP_FAULT_POINT", "IMP_FAULT_CLOCK"
_chosen = os.environ.get(POINT, "")
_clock = os.environ.get(CLOCK, "")  # a file with the seconds by which the clock is wrong


def armed() -> list[str]:
    """The switches that are set."""
    return [name for name in (POINT, CLOCK) if os.environ.get(name)]


def reach(name: str) -> None:
    """Die here, as of kill -9, when this is the place that the switch names."""
    if _chosen == name:
        os.kill(os.getpid(), signal.SIGKILL)


def now() -> float:
    """Unix time by this machine's clock."""
    return time.time() + (float(Path(_clock).read_text() or 0) if _clock else 0.0)
