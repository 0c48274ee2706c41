"""Exit 0 only if no seed violates an invariant; the last line is one JSON object."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from deploy.local import processes
from deploy.local.faults.aftermath import Aftermath
from deploy.local.faults.checker import Checker
from deploy.local.faults.driver import Driver
from deploy.local.faults.history import History
from deploy.local.faults.ledger import Ledger
from deploy.local.faults.nemesis import Nemesis
from deploy.local.faults.people import People, sign_in
from deploy.local.faults.watch import Watch
from deploy.local.faults.world import FaultStack, World

DRIVERS = 2
TORMENT_SECONDS = 10.0
TIMES = ("converged_s", "key_s", "revoke_s", "publish_s")
AGENTD_PROCESSES = (1, 2)  # in turns


def main() -> int:
    processes.exit_on_signals()
    arguments = parser().parse_args()
    home = Path(tempfile.mkdtemp(prefix="imp-faults-"))
    home.chmod(0o711)  # PostgreSQL's user has to pass through
    began, results = time.monotonic(), []
    try:
        with FaultStack(home / "stack", say=lambda words: print(words, file=sys.stderr)) as stack:
            stack.start()
            world = World(stack)
            world.build()
            print(f"built in {time.monotonic() - began:.0f} s", flush=True)
            for seed in range(arguments.first, arguments.first + arguments.seeds):
                results.append(run(world, seed, arguments))
                if results[-1]["violations"]:
                    break  # what it broke would be held against the next seed
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(home, ignore_errors=True)
        raise
    except Exception:
        print(f"Logs and disks: {home}")
        raise
    return report(results, time.monotonic() - began, home)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="make faults", description=__doc__)
    made.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    made.add_argument("--first", type=int, default=1, help="the first one (default: %(default)s)")
    made.add_argument("--seconds", type=float, default=TORMENT_SECONDS, help="of faults, each seed")
    made.add_argument("--history", action="store_true", help="print what happened in any case")
    return made


def run(world: World, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One seed: people and faults at once, then healing, then the check."""
    began, history, before = time.monotonic(), History(), ends_so_far(world)
    processes_of_agentd = AGENTD_PROCESSES[seed % len(AGENTD_PROCESSES)]
    world.stack.serve_agents(processes_of_agentd)
    people, watch = sign_in(world.stack, world.sides), Watch(world, history)
    watch.start()
    done = torment(world, people, history, seed, arguments.seconds)
    history.note("checker", "all is healed, nobody acts")
    took = Checker(world, history).converge()
    after = {} if history.violations else Aftermath(world, people, history, seed).measure()
    watch.end()
    Ledger(world, history).verify()
    outcome = {
        "seed": seed,
        "agentd": processes_of_agentd,
        **done,
        "calls": watch.calls,
        "ends": dict(sorted((ends_so_far(world) - before).items())),
        "converged_s": round(took, 1),
        **after,
        "seconds": round(time.monotonic() - began, 1),
        "violations": history.violations,
    }
    if history.violations or arguments.history:
        verdict = "violates:" if history.violations else "violates nothing."
        print("\n".join([f"\nseed {seed} {verdict}", *history.violations, "", *history.lines]))
    print(json.dumps(outcome), flush=True)
    return outcome


def torment(
    world: World, people: People, history: History, seed: int, seconds: float
) -> dict[str, int]:
    """How many deeds and faults there were."""
    rng = random.Random(seed)
    drivers = [
        Driver(world, people, history, random.Random(rng.random()), f"person-{number}")
        for number in range(1, DRIVERS + 1)
    ]
    for driver in drivers:
        driver.start()
    faults = Nemesis(world, history, random.Random(rng.random())).torment(seconds)
    for driver in drivers:
        driver.end()
    return {"deeds": sum(driver.done for driver in drivers), "faults": faults}


def ends_so_far(world: World) -> Counter[str]:
    """How the deployments so far ended."""
    rows = world.rows("SELECT status, count(*) AS n FROM publishing_deployment GROUP BY status")
    return Counter({row["status"]: row["n"] for row in rows})


def report(results: list[dict[str, Any]], seconds: float, home: Path) -> int:
    violated = [result["seed"] for result in results if result["violations"]]
    if violated:
        seed = violated[0]
        print(f"Logs and disks: {home}. Again: make faults SEEDS=1 FIRST={seed}")
    else:
        shutil.rmtree(home, ignore_errors=True)
    ends: Counter[str] = Counter()
    for result in results:
        ends.update(result["ends"])
    summary = {
        "ok": not violated,
        "seeds": len(results),
        "violated": violated,
        "deeds": sum(result["deeds"] for result in results),
        "faults": sum(result["faults"] for result in results),
        "ends": dict(sorted(ends.items())),
        "calls": sum(result["calls"] for result in results),
        **{name: spread(results, name) for name in TIMES},
        "seconds": round(seconds),
    }
    print(json.dumps(summary))
    return 1 if violated else 0


def spread(results: list[dict[str, Any]], name: str) -> dict[str, float]:
    values = sorted(result[name] for result in results if name in result) or [0.0]
    return {"median": values[len(values) // 2], "longest": values[-1]}


if __name__ == "__main__":
    sys.exit(main())
