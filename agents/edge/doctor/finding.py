"""What is examined, and what a step finds."""

from __future__ import annotations

from dataclasses import dataclass

from agents.edge.join import Invitation
from agents.edge.state import Identity, StateDir

STEP_SECONDS = 10
OK, WARN, BAD = "ok", "warn", "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found. `fix` is empty where nothing is to be done."""

    step: str  # folder, authority, dns, tcp, tls, clock, version, token, portal, heartbeat
    state: str  # ok, warn, bad
    words: str
    fix: str = ""
    code: str = ""  # the control plane's name for a refusal


class Stop(Exception):
    """The steps behind this one cannot work either."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose way is looked at: a folder that has joined, or what a join command names."""

    state: StateDir
    version: str
    invitation: Invitation
    identity: Identity | None = None
    roots: bytes | None = None

    @property
    def plaintext(self) -> bool:
        return self.identity.plaintext if self.identity else self.invitation.plaintext
