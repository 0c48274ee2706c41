"""What drivers are given and what they answer. No protocol here, no gateway either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from agents.wire import bundle_pb2


@dataclass(frozen=True, slots=True)
class Publish:
    """One compiled publish that the gateway should serve."""

    id: str
    revision: str  # SHA-256 of the bundle's bytes, hex
    bundle: bundle_pb2.Bundle
    deployment: str = ""  # who waits for a verdict; a refused revision is retried for a new one


@dataclass(frozen=True, slots=True)
class TlsSecret:
    """A certificate with its key. The key is in no words about it."""

    id: str
    version: str  # opaque: another one is another content
    chain: str = field(repr=False)  # PEM, the server's own first
    key: str = field(repr=False)  # PEM


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything one gateway should serve, but for keys and plans."""

    generation: int
    publishes: Mapping[str, Publish]
    agent_count: int = 1
    denied_networks: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    secrets: Mapping[str, TlsSecret] = field(default_factory=dict)  # by id: what publishes refer to
    trusted_hops: int = 0  # proxies before the gateway whose x-forwarded-for is believed
    # The gateway was seen to differ from what it took: offer it everything once more.
    again: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key opens. `digest` is the hex SHA-256 of the key."""

    digest: str
    publish_id: str
    plan_id: str
    subscription_id: str
    suspended: bool = False


@dataclass(frozen=True, slots=True)
class PlanLimit:
    plan_id: str
    publish_id: str
    rate_per_minute: int  # 0 = unlimited; of the whole cluster, the driver divides by agent_count


@dataclass(frozen=True, slots=True)
class Access:
    """Every key and plan of the cluster at one version."""

    version: int
    grants: Mapping[str, Grant] = field(default_factory=dict)  # by digest
    plans: Mapping[str, PlanLimit] = field(default_factory=dict)  # by plan id


class Outcome(StrEnum):
    APPLIED = "applied"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProbeCall:
    method: str
    host: str
    port: int
    path: str
    with_credential: bool
    expected: int
    got: int  # 0 = no answer
    body: str
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one changed publish. `error` is the gateway's own words."""

    outcome: Outcome
    error: str = ""
    warning: str = ""
    probe: tuple[ProbeCall, ...] = ()
    apply_ms: float = 0.0
    probe_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Live:
    """What the gateway serves now, read back from the gateway itself."""

    revision: str
    error: str = ""
    warning: str = ""


class Driver(Protocol):
    """Makes one gateway match a snapshot.

    Calls of one driver never overlap, but for `apply_access`: a revocation does not wait for a publish.
    """

    gateway_class: str

    async def start(self, snapshot: Snapshot, access: Access) -> None:
        """Start or adopt the gateway and serve the last good state, without asking anyone."""

    async def apply(self, snapshot: Snapshot) -> dict[str, Verdict]:
        """Serve `snapshot`; a verdict for every publish that this call added, changed or removed, and
        for every one that is live already but has a deployment not yet judged (it is probed again).

        A refused publish keeps its last good revision (or stays absent) and never disturbs another.
        It is not tried again, and gets no verdict, until its revision or its deployment changes.
        """

    async def apply_access(self, access: Access) -> int:
        """Make keys and plans match; return the version the gateway acknowledged."""

    async def observe(self) -> dict[str, Live]:
        """What is live, by publish id."""

    async def detach(self) -> None:
        """Let go of the gateway and leave it serving."""

    async def stop(self) -> None:
        """Stop the gateway too."""
