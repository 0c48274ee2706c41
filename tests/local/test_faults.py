"""Three seeds of the fault runner, shortened; `make faults` runs fifty."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from deploy.local import paths

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(420)]


def test_nothing_is_lost_while_things_break():
    # A process of its own: it starts children from its main thread and owns their ports.
    command = [sys.executable, "-m", "deploy.local.faults", "--seeds", "3", "--seconds", "4"]
    done = subprocess.run(command, cwd=paths.ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["seeds"] == 3
    assert summary["deeds"] > 20
    assert summary["faults"] >= 6
