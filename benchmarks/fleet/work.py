"""What an agent does when it hears of a change: read over REST, say so, apply nothing, prove nothing."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from agents.wire import agent_pb2 as pb
from benchmarks.fleet.loop import Channel

if TYPE_CHECKING:
    from benchmarks.fleet.agent import Agent
    from benchmarks.fleet.fleet import Fleet

RETRY_SECONDS = 1.0
Answer = Callable[[int, dict[str, str], bytes], None]


class Work:
    """Level-triggered like the real agent: hints only say when to look."""

    def __init__(self, agent: Agent, fleet: Fleet) -> None:
        self._agent, self._fleet = agent, fleet
        self._rest: Rest | None = None
        self._etag = ""
        self._busy = self._again = False
        self._answered: set[str] = set()
        self._cursor: dict[str, Any] = {}
        self.served: dict[str, str] = {}

    def begin(self, url: str, token: str) -> None:
        self._rest = Rest(self._fleet, url, token, self._failed)
        self._busy, self._etag = False, ""
        self.look()

    def end(self) -> None:
        if self._rest:
            self._rest.close()
        self._rest = None

    def look(self) -> None:
        self._again = True
        if self._busy or self._rest is None:
            return
        self._busy, self._again = True, False
        tag = {"If-None-Match": self._etag} if self._etag else {}
        self._rest.get("manifest", self._manifest, tag)

    def _failed(self, why: str) -> None:
        self._fleet.lost[f"rest: {why}"] += 1
        self._busy = False
        self._fleet.loop.after(RETRY_SECONDS, self.look)

    def _manifest(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if status == 304:
            self._done()
        elif status != 200:
            self._failed(f"manifest {status}")
        else:
            self._etag = headers.get("etag", "")
            self._fetch(json.loads(body))

    def _fetch(self, manifest: dict[str, Any]) -> None:
        known = set(self.served.values())
        missing = deque({row["revision"] for row in manifest["publishes"]} - known)

        def next_bundle(_status: int = 200, _headers: Any = None, _body: bytes = b"") -> None:
            if missing and self._rest:
                self._rest.get(f"bundles/{missing.popleft()}", next_bundle)
            else:
                self._apply(manifest)

        next_bundle()

    def _apply(self, manifest: dict[str, Any]) -> None:
        generation = int(manifest["generation"])
        self.served = {row["publish_id"]: row["revision"] for row in manifest["publishes"]}
        asked = {row["deployment_id"]: row["revision"] for row in manifest["publishes"]}
        asked |= {row["deployment_id"]: "" for row in manifest["withdrawals"]}
        for deployment_id, revision in asked.items():
            if deployment_id and deployment_id not in self._answered:
                self._answered.add(deployment_id)
                self._say(deployment_id, revision, generation)
        self._agent.generation = generation
        if manifest["access_version"] != self._agent.access_version and self._rest:
            self._rest.get(f"access?{urlencode(self._cursor)}", self._access)
        else:
            self._settle()

    def _say(self, deployment_id: str, revision: str, generation: int) -> None:
        for outcome in (pb.OUTCOME_APPLYING, pb.OUTCOME_APPLIED):
            self._agent.say(
                deploy_result=pb.DeployResult(
                    deployment_id=deployment_id,
                    revision=revision,
                    generation=generation,
                    outcome=outcome,
                )
            )

    def _access(self, status: int, _headers: dict[str, str], body: bytes) -> None:
        if status != 200:
            self._cursor = {}
            self._failed(f"access {status}")
            return
        page = json.loads(body)
        self._cursor = {
            "lineage": page["lineage"],
            "after_version": page["next_version"],
            "after_id": page["next_id"],
        }
        if page["more"] and self._rest:
            self._rest.get(f"access?{urlencode(self._cursor)}", self._access)
            return
        self._agent.access_version = page["version"]
        self._settle()

    def _settle(self) -> None:
        self._agent.report(self.served)
        self._done()

    def _done(self) -> None:
        self._busy = False
        if self._again:
            self.look()


class Rest:
    """One kept-alive HTTP/1.1 connection, one request at a time."""

    def __init__(
        self, fleet: Fleet, url: str, token: str, on_failure: Callable[[str], None]
    ) -> None:
        parts = urlsplit(url)
        self._fleet, self._token, self._on_failure = fleet, token, on_failure
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._channel: Channel | None = None
        self._answer: Answer | None = None
        self._in = bytearray()

    def get(self, path: str, answer: Answer, headers: dict[str, str] | None = None) -> None:
        self._answer = answer
        lines = [
            f"GET /api/v1/agent/{path} HTTP/1.1",
            f"Host: {self._address[0]}:{self._address[1]}",
            f"Authorization: Bearer {self._token}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        if self._channel is None:
            self._in.clear()
            self._channel = Channel(
                self._fleet.loop,
                self._address,
                on_open=lambda: None,
                on_bytes=self._received,
                on_lost=self._lost,
            )
        self._channel.write("\r\n".join([*lines, "", ""]).encode())

    def close(self) -> None:
        if self._channel:
            self._channel.close()
        self._channel = self._answer = None

    def _received(self, data: bytes) -> None:
        self._in += data
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return
        head, *rows = self._in[:end].decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (r.partition(":") for r in rows)
        }
        status = int(head.split()[1])
        size = 0 if status == 304 else int(headers.get("content-length", "-1"))
        if size < 0:
            self._lost("an answer without a length")
            return
        if len(self._in) < end + 4 + size:
            return
        body = bytes(self._in[end + 4 : end + 4 + size])
        del self._in[: end + 4 + size]
        answer, self._answer = self._answer, None
        if answer:
            answer(status, headers, body)

    def _lost(self, why: str) -> None:
        waiting = self._answer is not None
        self.close()
        if waiting:
            self._on_failure(why)
