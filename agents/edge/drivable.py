"""What this agent can drive, by gateway class."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agents.edge.access import AccessTable
from agents.edge.model import Driver
from agents.edge.state import Identity, StateDir, StateError
from agents.edge.store import opened

PROBE_PURPOSE = b"imp-agent probe secret"


def driver_for(identity: Identity, state: StateDir) -> Callable[[], Driver]:
    """Makes a driver anew each time, because one whose start failed is of no more use."""
    if identity.gateway_class not in MAKERS:
        raise StateError(
            f"This version of imp-agent cannot drive {identity.gateway_class!r}. Upgrade the agent."
        )
    return lambda: MAKERS[identity.gateway_class](identity, state)


async def stop_gateway(state: StateDir, identity: Identity) -> None:
    """Stop a gateway that an agent left behind: a driver can only stop what it has adopted."""
    driver = driver_for(identity, state)()
    with opened(state.database) as store:
        saved = store.load()
    await driver.start(saved.snapshot, AccessTable(saved.entries, saved.cursor).as_model())
    await driver.stop()


def _envoy(identity: Identity, state: StateDir) -> Driver:
    # Imported late: the xDS protobufs take a while, and `status` does not need them.
    from agents.edge.drivers.envoy import EnvoyDriver

    return EnvoyDriver(
        state.path,
        node_id=identity.agent_id,
        probe_secret=_probe_secret(state),
        bind_address=identity.bind,
    )


MAKERS: dict[str, Callable[[Identity, StateDir], Driver]] = {"envoy": _envoy}


def _probe_secret(state: StateDir) -> bytes:
    """Derived from the agent's key, so that nobody else can ask for a proof."""
    raw = state.key().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return hmac.new(raw, PROBE_PURPOSE, hashlib.sha256).digest()
