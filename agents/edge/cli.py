"""`imp-agent`: join a cluster, run its gateway, say how it is."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from agents.edge import doctor, faultpoint, log, options, status
from agents.edge.agent import Agent, Exit
from agents.edge.authority import AuthorityError
from agents.edge.drivable import driver_for, stop_gateway
from agents.edge.join import (
    Invitation,
    JoinInvalid,
    JoinRefused,
    JoinUnreachable,
    join,
    verify,
)
from agents.edge.local import Local, PortBusy
from agents.edge.reach import Address, BadAddress
from agents.edge.state import (
    EVERYWHERE,
    Identity,
    Locked,
    NotJoined,
    Revoked,
    Running,
    StateDir,
    StateError,
)

STOP_SECONDS = 60
EXITS: dict[type[Exception], Exit] = {
    NotJoined: Exit.NOT_RUNNING,
    Locked: Exit.LOCKED,
    Revoked: Exit.REVOKED,
    JoinRefused: Exit.REFUSED,
    AuthorityError: Exit.REFUSED,
    JoinUnreachable: Exit.UNREACHABLE,
    BadAddress: Exit.USAGE,
    JoinInvalid: Exit.USAGE,
}


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except (
        StateError,
        JoinRefused,
        JoinUnreachable,
        JoinInvalid,
        AuthorityError,
        BadAddress,
        PortBusy,
    ) as error:
        print(f"imp-agent: {error}", file=sys.stderr)
        return next((code for kind, code in EXITS.items() if isinstance(error, kind)), Exit.FAILED)


def version() -> str:
    try:
        return metadata.version("imp-agent")
    except metadata.PackageNotFoundError:
        return "0+checkout"


# --- join ---


def join_command(arguments: argparse.Namespace) -> int:
    state = StateDir(arguments.state_dir)
    if state.path.exists() and state.has_joined() and not state.identity().revoked:
        return _joined_already(state, arguments)
    state.create()
    invitation = _invitation(arguments, needed=True)
    identity = asyncio.run(
        join(state, invitation, gateway_class=arguments.gateway_class, version=version())
    )
    print(
        f"{identity.name} joined cluster {identity.cluster_name} (agent {identity.agent_id}).\n"
        f"Start it: imp-agent run --state-dir {state.path}"
    )
    return Exit.OK


def _invitation(arguments: argparse.Namespace, *, needed: bool) -> Invitation:
    return Invitation(
        server=Address.parse(arguments.server or ""),
        token=_token(arguments, needed=needed),
        name=arguments.name or default_name(),
        ca_sha256=arguments.ca_sha256,
        ca_file=arguments.ca_file,
        portal=arguments.portal,
        bind=arguments.bind,
    )


def _joined_already(state: StateDir, arguments: argparse.Namespace) -> int:
    identity = state.identity()
    print(
        f"{state.path} has already joined cluster {identity.cluster_name} at {identity.server} "
        f"as {identity.name} (agent {identity.agent_id}); it keeps its identity."
    )
    if arguments.server and str(Address.parse(arguments.server)) != identity.server:
        print(f"To join {arguments.server}, use another --state-dir.")
    elif token := _token(arguments, needed=False):
        print(asyncio.run(verify(state, token, version())))
    return Exit.OK


def _token(arguments: argparse.Namespace, *, needed: bool) -> str:
    """From the option, a file, or the environment, which shows it to fewer people than a command line."""
    token = arguments.token or os.environ.get("IMP_AGENT_TOKEN", "")
    if arguments.token_file:
        try:
            source = arguments.token_file
            token = sys.stdin.read() if source == "-" else Path(source).read_text()
        except (OSError, UnicodeDecodeError) as error:
            if needed:
                raise JoinInvalid(f"{arguments.token_file} cannot be read: {error}.") from error
    token = token.strip()
    if needed and not token:
        raise JoinInvalid(
            "A registration token is needed: --token, --token-file or IMP_AGENT_TOKEN. "
            "Create one on the cluster's page."
        )
    return token


def default_name() -> str:
    """The machine's own name, as Kubernetes would write it."""
    first = socket.gethostname().split(".")[0].lower()
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in first)
    return kept.strip("-")[:63].strip("-") or "agent"


# --- run ---


def run_command(arguments: argparse.Namespace) -> int:
    log.configure(arguments.log_format)
    state = StateDir(arguments.state_dir)
    identity = state.identity()
    state.check()
    if faultpoint.armed() and not identity.plaintext:
        raise StateError(f"Unset {faultpoint.armed()[0]}: it is for tests on one machine only.")
    exit_when_revoked = arguments.on_revoked == "exit"
    if identity.revoked and exit_when_revoked:
        raise Revoked(
            f"The operator revoked this agent on {identity.revoked}. "
            "Run `imp-agent join` with a new registration token."
        )
    with state.locked():
        return asyncio.run(_run(state, identity, arguments, exit_when_revoked))


async def _run(
    state: StateDir, identity: Identity, arguments: argparse.Namespace, exit_when_revoked: bool
) -> int:
    make_driver = driver_for(identity, state)
    agent = Agent(
        state,
        make_driver,
        version(),
        exit_when_revoked=exit_when_revoked,
        poll_seconds=arguments.poll_seconds,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, agent.stop)
    loop.add_signal_handler(signal.SIGUSR1, lambda: agent.stop(gateway=True))
    async with Local(agent.condition).serving(arguments.listen) as (host, port):
        with state.announced(Running(os.getpid(), host, port)):
            return await agent.run()


# --- status, stop ---


def status_command(arguments: argparse.Namespace) -> int:
    shown = status.of(StateDir(arguments.state_dir), version())
    print(json.dumps(shown, indent=2) if arguments.json else status.as_text(shown))
    if "gateway" not in shown:
        return Exit.NOT_RUNNING
    return Exit.OK if shown["gateway"]["ready"] and not shown["ended"] else Exit.FAILED


def stop_command(arguments: argparse.Namespace) -> int:
    state = StateDir(arguments.state_dir)
    identity = state.identity()
    running = state.running()
    if running is not None:
        os.kill(running.pid, signal.SIGUSR1 if arguments.gateway else signal.SIGTERM)
        if not _wait_until_unlocked(state):
            raise StateError(f"The agent (pid {running.pid}) did not end within {STOP_SECONDS} s.")
        print(
            "Stopped, with its gateway." if arguments.gateway else "Stopped; the gateway serves on."
        )
    elif state.is_locked():
        raise Locked("The agent is just starting or ending. Try again in a moment.")
    elif arguments.gateway:
        with state.locked():
            asyncio.run(stop_gateway(state, identity))
        print("No agent ran; its gateway is stopped.")
    else:
        print("No agent runs on this folder.")
    return Exit.OK


def _wait_until_unlocked(state: StateDir) -> bool:
    deadline = time.monotonic() + STOP_SECONDS
    while state.is_locked():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


# --- doctor ---

# What each step's failure means to whoever calls us from a script.
FAILURES = {
    "folder": Exit.NOT_RUNNING,
    "authority": Exit.REFUSED,
    "dns": Exit.UNREACHABLE,
    "tcp": Exit.UNREACHABLE,
    "tls": Exit.UNREACHABLE,
    "token": Exit.REFUSED,
    "portal": Exit.UNREACHABLE,
}


def doctor_command(arguments: argparse.Namespace) -> int:
    invitation = _invitation(arguments, needed=False) if arguments.server else None
    patient = doctor.admitted(StateDir(arguments.state_dir), version(), invitation)
    findings = asyncio.run(_examine(patient, quiet=arguments.json))
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    broken = next((finding for finding in findings if finding.state == doctor.BAD), None)
    if broken is None:
        return Exit.OK
    if broken.code == "agent_revoked":
        return Exit.REVOKED
    return FAILURES.get(broken.step, Exit.FAILED)


async def _examine(patient: doctor.Patient, *, quiet: bool) -> list[doctor.Finding]:
    """Each finding is told as it comes: a step may take ten seconds."""
    findings = []
    async for finding in doctor.examine(patient):
        findings.append(finding)
        if not quiet:
            print(f"{finding.state:<5}{finding.step:<11}{finding.words}")
            if finding.fix:
                print(f"{'':<16}-> {finding.fix}", flush=True)
    return findings


def version_command(arguments: argparse.Namespace) -> int:
    print(f"imp-agent {version()}")
    return Exit.OK


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="imp-agent", description="Makes the API gateway of a cluster match the portal."
    )
    commands = top.add_subparsers(required=True, metavar="command")
    options.join(
        options.command(commands, "join", join_command, "join a cluster with a registration token")
    )
    options.run(
        options.command(commands, "run", run_command, "run the gateway and keep it up to date")
    )
    shown = options.command(
        commands, "status", status_command, "say how the agent and its gateway are"
    )
    shown.add_argument("--json", action="store_true", help="for programs")
    looked = options.command(
        commands,
        "doctor",
        doctor_command,
        "say which step on the way to the portal fails, and its fix",
    )
    options.invitation(looked)
    looked.set_defaults(bind=EVERYWHERE)
    looked.add_argument("--json", action="store_true", help="for programs")
    stop = options.command(commands, "stop", stop_command, "stop the agent; the gateway serves on")
    stop.add_argument("--gateway", action="store_true", help="stop the gateway as well")
    commands.add_parser("version", help="print the version").set_defaults(command=version_command)
    return top


if __name__ == "__main__":
    sys.exit(main())
