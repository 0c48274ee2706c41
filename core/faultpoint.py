"""Named places where the fault runner lets a process die: between two steps, not only beside them.

The settings refuse the switch outside of DEBUG. agents/edge/faultpoint.py is the agent's own.
"""

from __future__ import annotations

import os
import signal

from django.conf import settings


def reach(name: str) -> None:
    """Die here, as of kill -9, when this is the place that IMP_FAULT_POINT names."""
    if name == settings.FAULT_POINT:
        os.kill(os.getpid(), signal.SIGKILL)
