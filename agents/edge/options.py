"""What `imp-agent` can be told on its command line."""

from __future__ import annotations

import argparse
import ipaddress
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agents.edge.drivable import MAKERS
from agents.edge.state import EVERYWHERE


def command(
    commands: Any, name: str, call: Callable[[argparse.Namespace], int], words: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=words)
    command.set_defaults(command=call)
    command.add_argument(
        "--state-dir",
        type=Path,
        default=default_state_dir(),
        metavar="DIR",
        help="the agent's private folder (default: %(default)s)",
    )
    return command


def default_state_dir() -> Path:
    if named := os.environ.get("IMP_AGENT_STATE_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/imp-agent")
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "imp-agent"


def join(command: argparse.ArgumentParser) -> None:
    invitation(command)
    command.add_argument(
        "--bind",
        type=_ipv4,
        default=EVERYWHERE,
        metavar="ADDRESS",
        help="the IPv4 address of this machine that the gateway listens on (default: %(default)s, all)",
    )
    command.add_argument(
        "--gateway-class", default="envoy", choices=sorted(MAKERS), help="what it drives"
    )


def invitation(command: argparse.ArgumentParser) -> None:
    command.add_argument("--server", metavar="HOST:PORT", help="the portal's address for agents")
    command.add_argument("--token", default="", help="the registration token")
    command.add_argument(
        "--token-file", default="", metavar="FILE", help='read it there; "-" = stdin'
    )
    command.add_argument(
        "--name", default="", help="unique in the cluster (default: the host's name)"
    )
    trust = command.add_mutually_exclusive_group()
    trust.add_argument(
        "--ca-sha256",
        default="",
        metavar="HEX",
        help="trust only the portal's /agent/ca.pem of this SHA-256",
    )
    trust.add_argument(
        "--ca-file", type=Path, metavar="PEM", help="trust only the authorities in this file"
    )
    command.add_argument(
        "--portal", default="", metavar="URL", help="where /agent/ca.pem is (default: https://HOST)"
    )


def run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--listen",
        type=_listen,
        metavar="HOST:PORT",
        help="/healthz and /metrics (default: 127.0.0.1:9464, or a free port when that is taken)",
    )
    command.add_argument(
        "--poll-seconds",
        type=_seconds,
        default=os.environ.get("IMP_AGENT_POLL_SECONDS", "60"),
        metavar="N",
        help="look at the control plane this often even without a hint (default: %(default)s)",
    )
    command.add_argument("--log-format", choices=["json", "text"], default="json")
    command.add_argument(
        "--on-revoked",
        choices=["exit", "serve"],
        default="exit",
        help="once revoked: end with code 5, or stay and keep the gateway as it is (for containers)",
    )


def _seconds(text: str) -> float:
    if not text.isdecimal() or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 3600")
    return float(text)


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ipaddress.AddressValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IPv4 address") from error


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
