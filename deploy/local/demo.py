"""`make demo`: everything on this machine, with data to look at. `make demo-reset` wipes it.

`make seed-large` fills a demo that runs.
"""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local import paths, processes
from deploy.local.ports import PortError
from deploy.local.processes import ChildFailed
from deploy.local.stack import Ports, Stack, has_joined, responds, wait_for

LIVE_SECONDS = 30
BEAT_SECONDS = 30
NOT_SERVED = "The demo's own product is not served now. `make demo-reset` starts afresh."
# As in production: who goes astray meets the product's own pages, not Django's for developers.
WEB = {"DEBUG": "false", "HTTPS": "false", "STATIC_FROM_SOURCE": "true"}


def main() -> int:
    """Exit codes: 0 stopped by its user, 1 something failed and was named."""
    home = Path(os.environ.get("DEMO_DIR") or paths.ROOT / ".demo")
    try:
        # Flushed: whoever pipes the output into a file sees the progress as well.
        stack = Stack(home, Ports.from_env(), say=partial(print, flush=True))
        if sys.argv[1:] == ["reset"]:
            return reset(stack)
        if sys.argv[1:] == ["seed-large"]:
            return seed_large(stack)
        stack.extra_environment["web"] = WEB
        return run(stack)
    except (PortError, ChildFailed, OSError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def run(stack: Stack) -> int:
    processes.exit_on_signals()
    refuse_second_run(stack)
    print(f"Starting imp-gateway in {stack.home} ...", flush=True)
    try:
        with stack:
            stack.start()
            demo = stack.seed()
            demo |= offer(stack, demo.get("registration_token") or "")
            print(welcome(stack, demo), flush=True)
            watch(stack)
    except KeyboardInterrupt:
        pass  # Ctrl-C is how the demo ends; all is stopped by now
    print("\nStopped. The data is kept: `make demo` goes on with it, `make demo-reset` wipes it.")
    return 0


def offer(stack: Stack, token: str) -> dict[str, Any]:
    """The agent, the product and a key to call it: what the seed says of them.

    Whoever revoked the demo's agent, say, still gets the portal when the demo starts again.
    """
    known = has_joined(stack.agent_state())
    stack.start_agent(token)
    try:
        demo = stack.seed("--finish", "--wait", str(LIVE_SECONDS))
        wait_until_live(stack, demo)
    except ChildFailed as error:
        if not known:
            raise
        print(f"\n{error}\n{NOT_SERVED}", file=sys.stderr)
        return {}
    return demo


def reset(stack: Stack) -> int:
    refuse_second_run(stack)
    stack.wipe()
    print(f"Wiped {stack.home}.")
    return 0


def seed_large(stack: Stack) -> int:
    """Made once; then its agents, behind which there is nobody, are kept alive until Ctrl-C."""
    if not stack.postgres.accepts():
        raise ChildFailed(f"No demo is running in {stack.home}. Start one with `make demo`.")
    processes.exit_on_signals()
    print("A few minutes ...", flush=True)
    print(stack.manage("seed_large"), flush=True)
    print("Its agents send heartbeats until Ctrl-C.", flush=True)
    try:
        while True:
            time.sleep(BEAT_SECONDS)
            stack.manage("seed_large", "--beat")
    except KeyboardInterrupt:
        return 0


def refuse_second_run(stack: Stack) -> None:
    """Two PostgreSQL servers on the same data would destroy it."""
    if stack.postgres.accepts():
        raise ChildFailed(
            f"A demo is running in {stack.home}. Stop it, or choose a folder with DEMO_DIR."
        )


def wait_until_live(stack: Stack, demo: dict[str, Any]) -> None:
    """The printed curl line must work when it is pasted, so try it first."""
    call = demo.get("call") or {}
    if not call:
        return
    url = stack.gateway_url + call["path"]
    wait_for(lambda: responds(url, call.get("headers")), f"A 200 from {url}", LIVE_SECONDS)


def watch(stack: Stack) -> None:
    """Until Ctrl-C."""
    while True:
        stack.group.watch()
        time.sleep(0.5)


def welcome(stack: Stack, demo: dict[str, Any]) -> str:
    logins = "\n".join(
        f"  {login['role']:<18} {login['email']:<28} {login['password']}"
        for login in demo.get("logins", [])
    )
    call = ""
    if "call" in demo:
        call = "Call the published product through the real gateway:\n\n"
        call += f"  {curl(stack, demo)}\n\n"
    return (
        f"\nimp-gateway is running: {stack.url}\n\n{logins}\n\n{call}"
        f"Logs: {stack.logs}   Ctrl-C stops everything."
    )


def curl(stack: Stack, demo: dict[str, Any]) -> str:
    """One line to paste, from the seed's `call`: {path, headers}."""
    call = demo["call"]
    headers = "".join(f" -H '{name}: {value}'" for name, value in call.get("headers", {}).items())
    return f"curl -i{headers} {stack.gateway_url}{call['path']}"


if __name__ == "__main__":
    sys.exit(main())
