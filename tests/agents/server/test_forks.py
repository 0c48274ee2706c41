"""A child that goes on from its parent's memory, and has nothing else of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from config import settings

# A process of its own each: the one that tests run in has threads and grpc.
BEGIN = """
import asyncio, json, os, signal, sys, time
from pathlib import Path
from agents.server import forks

async def main():
    loop, heard = asyncio.get_running_loop(), []
    for number in forks.PARENTS:
        loop.add_signal_handler(number, heard.append, int(number))
    ours, theirs = os.pipe()
    secret = os.open("/dev/zero", os.O_RDONLY)
    assert forks.possible()
"""
END = """
asyncio.run(main())
"""


def run(body: str) -> dict[str, object]:
    code = BEGIN + "".join(f"    {line}\n" for line in body.strip().splitlines()) + END
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"stderr": done.stderr}


def test_it_has_nothing_of_its_parent_open_but_what_it_was_given():
    found = run("""
def work():
    links = {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")[:-1]}
    os.write(theirs, json.dumps(links).encode())
child = forks.fork(work, keep=theirs)
code = await child.wait()
print(json.dumps({"links": json.loads(os.read(ours, 9999)), "code": code, "kept": str(theirs)}))
""")

    assert found["code"] == 0
    links = dict(found["links"])  # type: ignore[call-overload]
    assert links.pop(found["kept"]).startswith("pipe:")
    assert {links[name] for name in links.keys() - {"1", "2"}} <= {"/dev/null"}


def test_its_signals_are_its_own():
    """Neither what its parent does on SIGTERM, nor a word of it to the parent."""
    found = run("""
child = forks.fork(lambda: time.sleep(60), keep=theirs)
child.terminate()
code = await child.wait()
child.kill()
await asyncio.sleep(0.1)
os.kill(os.getpid(), signal.SIGHUP)
await asyncio.sleep(0.1)
print(json.dumps({"code": code, "heard": heard}))
""")

    assert (found["code"], found["heard"]) == (-15, [1])


@pytest.mark.parametrize(
    ("work", "code", "words"),
    [
        ("asyncio.run(asyncio.sleep(0))", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("1 / 0", 1, "ZeroDivisionError"),
    ],
    ids=["a loop of its own", "exit", "crash"],
)
def test_it_ends_with_a_code_of_its_own(work, code, words):
    found = run(f"""
def work():
    {work}
child = forks.fork(work, keep=theirs)
print(json.dumps({{"code": await child.wait()}}))
""")

    assert found["code"] == code
    assert words in str(found["stderr"])
