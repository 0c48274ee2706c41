"""Somebody with a copy of an agent's key: what an old session says must change nothing.

While the agent is dead they take its place twice, so that the first session is over and its stream perhaps
is not: another process of agentd notices only with its next sweep. In the old session they lie. In the new
one, which counts as the agent's, they contradict what the agent said of deployments, whose first final
word must stand, and read what other clusters are given.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import jwt
import psycopg
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.local.faults import wire
from deploy.local.faults.history import History
from deploy.local.faults.world import Place, World

MARK = "an intruder says:"
TRIES = 4  # to reach two processes of agentd
HUGE = 2**40
SECONDS = 2.0
STAY_SECONDS = 15.0
RETURN_SECONDS = 4.0  # of the agent
CONTRADICTED = 4
# What a fault of the same round may cause.
AWAY = (
    grpc.RpcError,
    grpc.FutureTimeoutError,
    psycopg.Error,
    httpx.HTTPError,
    StopIteration,
    KeyError,
)


class Session:
    """One stream of its own connection; what is said on it after its end is lost."""

    def __init__(self, address: str, identity: dict[str, str], key: Any) -> None:
        self._channel = grpc.insecure_channel(
            address, [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        )
        self._out: queue.Queue[bytes | None] = queue.Queue()
        self._answers: Any = None
        try:
            grpc.channel_ready_future(self._channel).result(SECONDS)
            self._open(identity, key)
        except BaseException:
            self.close()
            raise

    def _open(self, identity: dict[str, str], key: Any) -> None:
        call: Callable[..., Any] = self._channel.stream_stream("/agent.v1.AgentService/Connect")
        self._answers = call(iter(self._out.get, None), timeout=STAY_SECONDS)
        given = dict(self._answers.initial_metadata())
        now = int(given["imp-time"])
        claims = {
            "iss": identity["agent_id"],
            "aud": "imp-gateway",
            "nonce": given["imp-nonce"],
            "iat": now,
            "exp": now + 60,
        }
        self.say(wire.connect_request(jwt.encode(claims, key, algorithm="EdDSA")))
        self.epoch, self.rest_token = wire.welcome(next(self._answers))

    def say(self, raw: bytes) -> None:
        self._out.put(raw)

    def close(self) -> None:
        self._out.put(None)
        if self._answers is not None:
            self._answers.cancel()
        self._channel.close()


class Intruder:
    def __init__(self, world: World, history: History, place: Place) -> None:
        self._world, self._history, self._place = world, history, place
        state = world.stack.agent_state(place.name)
        self._identity = json.loads(Path(state / "identity.json").read_text())
        self._key = load_pem_private_key(Path(state / "key.pem").read_bytes(), None)
        self._open: list[Session] = []

    def enter(self) -> None:
        """Take the dead agent's place; whatever is away now ends the attempt."""
        try:
            self._enter()
        except AWAY as error:
            self._history.note("intruder", f"gave up: {error!r}"[:160])

    def _enter(self) -> None:
        old = self._session()
        owner = self._owner()
        new = self._session()
        for _ in range(TRIES if self._world.stack.agentd_processes > 1 else 0):
            if self._owner() != owner:
                break
            new = self._session()
        self._lie(old)
        self._contradict(new)
        self._pry(old, new)
        self._history.note("intruder", f"{self._place.name} epochs {old.epoch}, {new.epoch}")

    def leave(self) -> None:
        """The agent is back: by then all of its sessions are old."""
        with contextlib.suppress(psycopg.Error):
            end = time.monotonic() + RETURN_SECONDS
            while self._open and time.monotonic() < end:
                if self._row()["session_epoch"] > self._open[-1].epoch:
                    self._lie_everywhere()
                    break
                time.sleep(0.05)
        for session in self._open:
            session.close()

    def _lie_everywhere(self) -> None:
        for session in self._open:
            self._lie(session)
        time.sleep(0.1)  # the streams' writers take it meanwhile

    def _session(self) -> Session:
        # Past the agent's door: it may be shut.
        address = f"127.0.0.1:{self._world.stack.ports.agentd}"
        self._open.append(Session(address, self._identity, self._key))
        return self._open[-1]

    def _row(self) -> dict[str, Any]:
        query = "SELECT session_epoch, owner FROM clusters_agent WHERE name = %s"
        return self._world.rows(query, self._place.name)[0]

    def _owner(self) -> str:
        return str(self._row()["owner"])

    def _deployments(self, condition: str) -> list[dict[str, Any]]:
        return self._world.rows(
            "SELECT d.id::text, coalesce(r.digest, '') AS digest, v.outcome"
            " FROM publishing_deployment d JOIN publishing_productpublish p ON p.id = d.publish_id"
            " LEFT JOIN publishing_publishrevision r ON r.id = d.revision_id"
            " LEFT JOIN publishing_deploymentverdict v ON v.deployment_id = d.id AND v.agent_id = %s"
            f" WHERE p.cluster_id = %s AND {condition} ORDER BY d.created_at DESC LIMIT {CONTRADICTED}",
            self._identity["agent_id"],
            self._world.cluster_of(self._place).id,
        )

    def _lie(self, session: Session) -> None:
        for row in self._deployments("d.finished_at IS NULL"):
            words = f"{MARK} it failed"
            session.say(wire.deploy_result(row["id"], row["digest"], wire.FAILED, words))
        session.say(wire.state_report(HUGE, f"{MARK} all is well"))

    def _contradict(self, session: Session) -> None:
        for row in self._deployments("v.outcome IN ('applied', 'failed')"):
            other = wire.FAILED if row["outcome"] == "applied" else wire.APPLIED
            session.say(wire.deploy_result(row["id"], row["digest"], other, "on second thought"))

    def _pry(self, old: Session, new: Session) -> None:
        """The bundles of other clusters, and anything at all with the token of the session that is over."""
        foreign = self._world.rows(
            "SELECT r.digest FROM publishing_publishrevision r"
            " JOIN publishing_productpublish p ON p.live_revision_id = r.id"
            " WHERE p.cluster_id <> %s LIMIT 3",
            self._world.cluster_of(self._place).id,
        )
        tries = [(new, f"bundles/{row['digest']}", {404}) for row in foreign]
        for session, path, good in [*tries, (old, "manifest", {401})]:
            url = f"{self._world.stack.url}/api/v1/agent/{path}"
            bearer = {"Authorization": f"Bearer {session.rest_token}"}
            status = httpx.get(
                url, headers=bearer, timeout=2 * SECONDS, trust_env=False
            ).status_code
            # 401: somebody took over meanwhile. 503: no database.
            if status not in {*good, 401, 503}:
                which = "I5" if session is old else "I6"
                self._history.violate(which, f"{path} answers {status} to {self._place.name}")
