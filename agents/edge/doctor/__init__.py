"""`imp-agent doctor`: walks the way to the control plane, and says which step fails and what to do.

It changes nothing: no session is opened and no token is spent, so it may run beside the agent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from agents.edge.doctor import asking, way
from agents.edge.doctor.finding import BAD, OK, WARN, Finding, Patient, Stop
from agents.edge.join import Invitation
from agents.edge.reach import Address
from agents.edge.state import NotJoined, StateDir

__all__ = ["BAD", "OK", "WARN", "Finding", "Patient", "admitted", "examine"]


def admitted(state: StateDir, version: str, invitation: Invitation | None) -> Patient:
    """What there is to examine. Raises StateError where neither a folder nor a server says it."""
    if state.path.exists() and state.has_joined():
        identity = state.identity()
        known = Invitation(Address.parse(identity.server), "", identity.name)
        return Patient(state, version, known, identity, state.roots())
    if invitation is None:
        raise NotJoined(
            f"No agent has joined with {state.path}. Name the control plane to look at the way to it: "
            "imp-agent doctor --server HOST:PORT --token …, as the join command has them."
        )
    return Patient(state, version, invitation)


async def examine(patient: Patient) -> AsyncIterator[Finding]:
    """The findings in the order of the way. A step that fails for good is the last one."""
    try:
        if patient.identity is not None:
            yield way.folder(patient, patient.identity)
        else:
            roots, finding = await way.authority(patient)
            patient = replace(patient, roots=roots)
            if finding:
                yield finding
        yield await way.dns(patient)
        yield await way.tcp(patient)
        yield await way.tls(patient)
        async for finding in asking.control_plane(patient):
            yield finding
    except Stop as stop:
        yield stop.finding
