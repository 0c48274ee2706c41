"""`python -m benchmarks [--quick] [name …]`: each in a process of its own, then one table of all."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time

from benchmarks import figures, machine
from deploy.local import paths, processes

STOP_SECONDS = 60
NAMES = ("publish", "revoke", "route", "crowd", "throughput", "agents", "portal")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}; or all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    parser.add_argument("--only", default="", help="of `agents`: cases whose name has this in it")
    parser.add_argument("--show", action="store_true", help="the table of the last figures")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    if options.show:
        print(figures.table(figures.saved(options.names or list(NAMES), quick=options.quick)))
        return 0
    processes.exit_on_signals()
    if options.here:
        return _measure(options.names[0], quick=options.quick, only=options.only)
    return _all(options.names or list(NAMES), options)


def _all(names: list[str], options: argparse.Namespace) -> int:
    if machine.is_busy():
        print(f"The machine is busy (load {machine.load()}): good for trying only.", flush=True)
    failed = []
    for name in names:
        print(f"{name} ...", flush=True)
        more = ["--quick"] if options.quick else []
        more += ["--only", options.only] if options.only else []
        # The settings are read once in a process, and each benchmark has a database of its own.
        command = [sys.executable, "-m", "benchmarks", "--here", name, *more]
        if _run(command):
            failed.append(name)
    done = [name for name in names if name not in failed]
    print(f"\n{figures.table(figures.saved(done, quick=options.quick))}")
    if failed:
        print(f"\nNot finished: {', '.join(failed)}")
    return 1 if failed else 0


def _run(command: list[str]) -> int:
    """Its exit code. Whatever ends us ends it too, and it takes its stack down first."""
    child = subprocess.Popen(command, cwd=paths.ROOT)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(STOP_SECONDS)


def _measure(name: str, *, quick: bool, only: str) -> int:
    result = figures.Result(name, quick)
    extra = {"only": only} if only else {}
    began = time.monotonic()
    importlib.import_module(f"benchmarks.runs.{name}").run(result, quick=quick, **extra)
    path = result.save()
    print(f"  {time.monotonic() - began:.0f} s; {path.relative_to(paths.ROOT)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
