"""The other side: a control plane that speaks the real protocol, and remembers what it heard."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import secrets
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agents.wire import agent_pb2 as pb
from agents.wire import agent_pb2_grpc


class Peer(agent_pb2_grpc.AgentServiceServicer):
    """One cluster. Tests change its fields and call `hint`."""

    def __init__(self) -> None:
        self.cluster_id = str(uuid.uuid4())
        self.tokens: set[str] = set()
        self.agents: dict[bytes, str] = {}  # public key -> agent id
        self.revoked: set[str] = set()
        self.port = self.http_port = 0
        self.epoch = 0
        self.rest_token = ""
        self.heartbeat_s = 1
        self.clock = time.time
        self.generation = 1
        self.lineage = "lineage-1"
        self.agent_count = 1
        self.denied_networks: list[str] = []
        self.allowed_networks: list[str] = []
        self.trusted_hops = 0
        self.wanted: dict[str, dict[str, str]] = {}
        self.withdrawals: dict[str, str] = {}
        self.bodies: dict[str, bytes] = {}
        self.served_bundles: list[str] = []
        self.secrets: dict[str, str] = {}  # id -> version
        self.lost_secrets: set[str] = set()  # 500 for these
        self.served_secrets: list[tuple[str, str]] = []
        self.entries: list[dict[str, Any]] = []
        self.page_size = 2
        self.oldest_version = 0  # cursors before it are gone
        self.access_requests: list[dict[str, str]] = []
        self.manifest_reads: list[int] = []  # statuses
        self.rest_failures = 0
        self.heard: list[pb.AgentMessage] = []
        self.claims: list[dict[str, Any]] = []
        self.streams: list[asyncio.Queue[pb.ServerMessage | None]] = []
        self.connects = 0
        self.ca = b""
        self.rejects: list[grpc.StatusCode] = []  # the next streams

    # --- what tests do ---

    def issue_token(self) -> str:
        token = f"igr_{secrets.token_hex(8)}"
        self.tokens.add(token)
        return token

    def publish(
        self, name: str = "billing", *, deployment: bool = True, **bundle: Any
    ) -> tuple[str, str]:
        """Put a revision on the manifest; its deployment's id and its digest."""
        document = {"schema": 1, "publish_id": name, "host": f"{name}.example.com", **bundle}
        body = json.dumps(document, sort_keys=True).encode()
        digest = hashlib.sha256(body).hexdigest()
        self.bodies[digest] = body
        deployment_id = str(uuid.uuid4()) if deployment else ""
        self.wanted[name] = {"publish_id": name, "revision": digest, "deployment_id": deployment_id}
        self.generation += 1
        return deployment_id, digest

    def withdraw(self, name: str) -> str:
        self.wanted.pop(name, None)
        self.withdrawals[name] = str(uuid.uuid4())
        self.generation += 1
        return self.withdrawals[name]

    def settle(self, name: str) -> None:
        """Every verdict is in: nothing waits any more."""
        self.withdrawals.pop(name, None)
        if name in self.wanted:
            self.wanted[name]["deployment_id"] = ""

    def grant(self, key: str, **changes: Any) -> None:
        entry = {
            "id": f"key-{key}",
            "version": self.access_version + 1,
            "kind": "key",
            "digest": hashlib.sha256(key.encode()).hexdigest(),
            "publish_id": "billing",
            "plan_id": "gold",
            "subscription_id": f"sub-{key}",
            **changes,
        }
        self.entries = [each for each in self.entries if each["id"] != entry["id"]] + [entry]

    def revoke_key(self, key: str) -> None:
        self.grant(key, deleted=True, digest="")

    @property
    def access_version(self) -> int:
        return max((entry["version"] for entry in self.entries), default=0)

    def hint(self) -> None:
        changed = pb.StateChanged(generation=self.generation, access_version=self.access_version)
        self.tell(pb.ServerMessage(state_changed=changed))

    def tell(self, message: pb.ServerMessage | None) -> None:
        for stream in self.streams:
            stream.put_nowait(message)

    def cut(self) -> None:
        """End the streams without a word."""
        self.tell(None)

    # --- what tests look at ---

    def results(self, deployment_id: str) -> list[pb.DeployResult]:
        return [
            message.deploy_result
            for message in self.heard
            if message.WhichOneof("payload") == "deploy_result"
            and message.deploy_result.deployment_id == deployment_id
        ]

    def outcome(self, deployment_id: str) -> int:
        """The newest one."""
        found = self.results(deployment_id)
        return found[-1].outcome if found else pb.OUTCOME_UNSPECIFIED

    def count(self, kind: str) -> int:
        return sum(message.WhichOneof("payload") == kind for message in self.heard)

    @property
    def report(self) -> pb.StateReport:
        reports = [m.state_report for m in self.heard if m.WhichOneof("payload") == "state_report"]
        return reports[-1] if reports else pb.StateReport()

    # --- gRPC ---

    async def Register(self, request: pb.RegisterRequest, context: Any) -> pb.RegisterResponse:
        if request.token not in self.tokens:
            context.set_trailing_metadata((("imp-error", "token_unknown"),))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "This token is unknown.")
        key = Ed25519PublicKey.from_public_bytes(request.public_key)
        key.verify(request.signature, b"imp-register\n" + request.token.encode())
        known = self.agents.get(request.public_key)
        if known is None or known in self.revoked:
            self.agents[request.public_key] = str(uuid.uuid4())
        return pb.RegisterResponse(
            agent_id=self.agents[request.public_key],
            cluster_id=self.cluster_id,
            cluster_name="seoul-1",
        )

    async def Connect(self, _: Any, context: Any) -> None:
        if self.rejects:
            await context.abort(self.rejects.pop(), "not now")
        nonce, now = secrets.token_hex(8), int(self.clock())
        await context.send_initial_metadata((("imp-nonce", nonce), ("imp-time", str(now))))
        hello = await context.read()
        await self._check(hello.connect_request, nonce, now, context)
        outgoing: asyncio.Queue[pb.ServerMessage | None] = asyncio.Queue()
        self.streams.append(outgoing)  # first: who sees the count rise may `tell` at once
        self.connects += 1
        self.epoch += 1
        self.rest_token = f"rest-{self.epoch}"
        welcome = pb.ConnectResponse(
            rest_token=self.rest_token,
            rest_url=f"http://127.0.0.1:{self.http_port}",
            heartbeat_interval_s=self.heartbeat_s,
            generation=self.generation,
            access_version=self.access_version,
        )
        reader = asyncio.create_task(self._listen(context, outgoing))
        try:
            await context.write(
                pb.ServerMessage(session_epoch=self.epoch, connect_response=welcome)
            )
            while (message := await outgoing.get()) is not None:
                await context.write(message)
        finally:
            self.streams.remove(outgoing)
            reader.cancel()

    async def _check(self, request: pb.ConnectRequest, nonce: str, now: int, context: Any) -> None:
        claims = jwt.decode(request.jwt, options={"verify_signature": False})
        raw = next((key for key, agent in self.agents.items() if agent == claims["iss"]), None)
        if raw is None:
            context.set_trailing_metadata((("imp-error", "jwt_unknown_agent"),))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "No such agent.")
        if claims["iss"] in self.revoked:
            context.set_trailing_metadata((("imp-error", "agent_revoked"),))
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "Revoked.")
        options = {"verify_exp": False, "verify_iat": False}
        key = Ed25519PublicKey.from_public_bytes(raw)
        jwt.decode(request.jwt, key, ["EdDSA"], audience="imp-gateway", options=options)
        assert claims["nonce"] == nonce
        assert claims["iat"] == now < claims["exp"]
        self.claims.append(claims)

    async def _listen(self, context: Any, outgoing: asyncio.Queue[pb.ServerMessage | None]) -> None:
        with contextlib.suppress(grpc.aio.AbortError, asyncio.InvalidStateError):
            while (message := await context.read()) is not grpc.aio.EOF:
                self.heard.append(message)
        outgoing.put_nowait(None)

    # --- REST ---

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                target = head[0].split(" ")[1]
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                status, body, etag = self._rest(target, headers)
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
                    f"ETag: {etag}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _rest(self, target: str, headers: dict[str, str]) -> tuple[int, bytes, str]:
        if self.rest_failures > 0:
            self.rest_failures -= 1
            return 503, b'{"success": false, "error": {"message": "The database is away."}}', ""
        if target == "/agent/ca.pem":
            return 200, self.ca, ""
        if headers.get("authorization") != f"bearer {self.rest_token}":
            return 401, b"{}", ""
        path, _, query = target.removeprefix("/api/v1/agent/").partition("?")
        if path == "manifest":
            return self._manifest(headers.get("if-none-match", ""))
        if path.startswith("bundles/"):
            return self._bundle(path.removeprefix("bundles/"))
        if path.startswith("secrets/"):
            return self._secret(path.removeprefix("secrets/"))
        if path == "access":
            return self._access(dict(pair.split("=") for pair in query.split("&") if pair))
        return 404, b"{}", ""

    def _manifest(self, etag: str) -> tuple[int, bytes, str]:
        document = {
            "generation": str(self.generation),
            "access_version": str(self.access_version),
            "lineage": self.lineage,
            "cluster_id": self.cluster_id,
            "agent_count": self.agent_count,
            "denied_networks": self.denied_networks,
            "allowed_networks": self.allowed_networks,
            "trusted_hops": self.trusted_hops,
            "publishes": list(self.wanted.values()),
            "withdrawals": [
                {"publish_id": name, "deployment_id": pk} for name, pk in self.withdrawals.items()
            ],
            "secrets": [{"id": pk, "version": each} for pk, each in self.secrets.items()],
            "added_later": {"readers": "ignore what they do not know"},
        }
        body = json.dumps(document).encode()
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        self.manifest_reads.append(304 if etag == tag else 200)
        return (304, b"", tag) if etag == tag else (200, body, tag)

    def _bundle(self, digest: str) -> tuple[int, bytes, str]:
        self.served_bundles.append(digest)
        body = self.bodies.get(digest)
        return (200, body, "") if body is not None else (404, b"{}", "")

    def _secret(self, secret_id: str) -> tuple[int, bytes, str]:
        if secret_id in self.lost_secrets:
            return 500, b"{}", ""
        if secret_id not in self.secrets:
            return 404, b"{}", ""
        version = self.secrets[secret_id]
        self.served_secrets.append((secret_id, version))
        tls = {"certificate_chain": f"chain {version}", "private_key": f"KEY of {version}"}
        body = json.dumps({"id": secret_id, "version": version, "tls": tls}).encode()
        return 200, body, ""

    def _access(self, query: dict[str, str]) -> tuple[int, bytes, str]:
        self.access_requests.append(query)
        after = (int(query.get("after_version", 0)), query.get("after_id", ""))
        if query and (query["lineage"] != self.lineage or after[0] < self.oldest_version):
            return 410, b"{}", ""
        newer = sorted(
            (each for each in self.entries if (each["version"], each["id"]) > after),
            key=lambda each: (each["version"], each["id"]),
        )
        page = newer[: self.page_size]
        last = page[-1] if page else {"version": after[0], "id": after[1]}
        document = {
            "lineage": self.lineage,
            "version": self.access_version,
            "next_version": last["version"],
            "next_id": last["id"],
            "more": len(newer) > self.page_size,
            "full": not query,
            "entries": page,
        }
        return 200, json.dumps(document).encode(), ""

    # --- life ---

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0, credentials: Any = None) -> AsyncIterator[Peer]:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, server)
        address = f"127.0.0.1:{port}"
        self.port = (
            server.add_secure_port(address, credentials)
            if credentials
            else server.add_insecure_port(address)
        )
        await server.start()
        web = await asyncio.start_server(self._http, "127.0.0.1", self.http_port)
        self.http_port = web.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            await server.stop(0.2)
            web.close()
