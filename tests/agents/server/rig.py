"""A real agentd on a free port of loopback, and agents that are nothing but their key and their stream."""

from __future__ import annotations

import asyncio
import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from agents.server.options import Options, Timings
from agents.server.server import AgentServer
from agents.wire import agent_pb2 as pb
from catalog.models import Gateway, Product
from clusters.models import Agent, Cluster, ClusterState, RegistrationToken
from core import secrets
from publishing.models import Deployment, ProductPublish, PublishRevision
from tests.factories.accounts import OrganizationFactory

FAST = Timings(hello=1.0, write=1.0, sweep=0.3, flush=0.2, repeat=0.2, drain=0.05, wake_retry=0.5)
LAZY = Timings(sweep=600.0, flush=600.0, drain=0.05)  # only wakes bring news
PATIENCE = 10.0


class Agentd:
    """An AgentServer with its own thread and loop, as in a process of its own."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self.run(self._start())
        self._stopped = False

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def run(self, work: Any, *, within: float = 30) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(within)

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self.run(self.server.stop())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()
            self.loop.close()

    async def _start(self) -> AgentServer:
        server = AgentServer(self.options)
        await server.start()
        return server


@dataclass
class Key:
    private: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    @property
    def pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def request(self, token: str, name: str = "agent-1", **fields: Any) -> pb.RegisterRequest:
        values = {
            "token": token,
            "name": name,
            "public_key": self.public,
            "signature": self.private.sign(b"imp-register\n" + token.encode()),
            "version": "0.1.0",
            "gateway_classes": ["envoy"],
        }
        return pb.RegisterRequest(**values | fields)

    def jwt(self, agent_id: Any, nonce: str, now: int, **claims: Any) -> str:
        values = {
            "iss": str(agent_id),
            "aud": "imp-gateway",
            "nonce": nonce,
            "iat": now,
            "exp": now + 60,
        }
        return jwt.encode(values | claims, self.private, algorithm="EdDSA")


class Wire:
    """One Connect call. Raw bytes go out; what comes in is parsed."""

    def __init__(self, channel: grpc.Channel, *, reads: bool = True) -> None:
        self._out: queue.Queue[bytes | None] = queue.Queue()
        self._call = channel.stream_stream(
            "/agent.v1.AgentService/Connect", response_deserializer=pb.ServerMessage.FromString
        )(iter(self._out.get, None))
        self._in: queue.Queue[pb.ServerMessage | None] = queue.Queue()
        if reads:
            threading.Thread(target=self._pump, daemon=True).start()

    def metadata(self) -> dict[str, str]:
        return dict(self._call.initial_metadata())

    def send_raw(self, raw: bytes) -> None:
        self._out.put(raw)

    def send(self, **payload: Any) -> None:
        self.send_raw(pb.AgentMessage(**payload).SerializeToString())

    def receive(self, within: float = PATIENCE) -> pb.ServerMessage | None:
        """The next message; None at the stream's end."""
        return self._in.get(timeout=within)

    def expect(self, kind: str, within: float = PATIENCE) -> Any:
        """The next message of this kind, skipping hints of other kinds."""
        end = time.monotonic() + within
        while True:
            message = self.receive(max(0.01, end - time.monotonic()))
            assert message is not None, f"the stream ended with {self.status()}: {self.detail()}"
            if message.WhichOneof("payload") == kind:
                return getattr(message, kind)

    def nothing(self, within: float = 0.3) -> bool:
        try:
            self._in.get(timeout=within)
        except queue.Empty:
            return True
        return False

    def status(self) -> grpc.StatusCode:
        return self._call.code()

    def detail(self) -> str:
        return self._call.details()

    def error(self) -> str:
        return dict(self._call.trailing_metadata() or ()).get("imp-error", "")

    def half_close(self) -> None:
        self._out.put(None)

    def cancel(self) -> None:
        self._call.cancel()
        self._out.put(None)

    def _pump(self) -> None:
        try:
            for message in self._call:
                self._in.put(message)
        except grpc.RpcError:
            pass
        self._in.put(None)


class Remote:
    """An agent as the server sees it."""

    def __init__(self, channel: grpc.Channel, key: Key, agent_id: UUID) -> None:
        self.channel, self.key, self.agent_id = channel, key, agent_id

    def dial(
        self, *, reads: bool = True, key: Key | None = None, iss: Any = None, **claims: Any
    ) -> Wire:
        """Open a stream and say hello, with a token that may be wrong in one way."""
        wire = Wire(self.channel, reads=reads)
        given = wire.metadata()
        token = (key or self.key).jwt(
            iss or self.agent_id,
            claims.pop("nonce", given["imp-nonce"]),
            int(given["imp-time"]),
            **claims,
        )
        wire.send(
            connect_request=pb.ConnectRequest(jwt=token, version="0.1.0", gateway_classes=["envoy"])
        )
        return wire

    def connect(self) -> tuple[Wire, pb.ConnectResponse]:
        wire = self.dial()
        return wire, wire.expect("connect_response")

    def row(self) -> Agent:
        return Agent.objects.get(pk=self.agent_id)


def make_cluster(name: str = "seoul-1") -> Cluster:
    cluster = Cluster.objects.create(
        organization=OrganizationFactory(operator=True), name=name, region="ap-northeast-2"
    )
    ClusterState.objects.create(cluster=cluster)
    return cluster


def make_token(cluster: Cluster, **fields: Any) -> str:
    minted = secrets.mint("igr")
    values = {"expires_at": timezone.now() + timedelta(hours=1)}
    RegistrationToken.objects.create(
        cluster=cluster, prefix=minted.prefix, digest=minted.digest, **values | fields
    )
    return minted.text


def make_deployment(cluster: Cluster) -> Deployment:
    """A publish of nothing in particular that waits for the cluster's agents."""
    provider = OrganizationFactory(provider=True)
    publish = ProductPublish.objects.create(
        organization=provider,
        product=Product.objects.create(organization=provider, name="Payment API"),
        gateway=Gateway.objects.create(organization=provider, name="edge", gateway_class="envoy"),
        cluster=cluster,
        environment="dev",
        hostname_base="api.example.com",
        auth_mode="none",
    )
    document = json.dumps({"publish_id": str(publish.pk), "schema": 1})
    revision = PublishRevision.objects.create(
        publish=publish,
        number=1,
        digest=hashlib.sha256(document.encode()).hexdigest(),
        document=document,
    )
    ProductPublish.objects.filter(pk=publish.pk).update(wanted_revision=revision)
    state = ClusterState.objects.get(cluster=cluster)
    state.desired_generation += 1
    state.save(update_fields=["desired_generation"])
    return Deployment.objects.create(
        publish=publish,
        number=1,
        kind="publish",
        revision=revision,
        generation=state.desired_generation,
    )


def dial(agentd: Agentd, *options: tuple[str, int]) -> grpc.Channel:
    # A subchannel of its own, or two channels to one address share a connection.
    own = ("grpc.use_local_subchannel_pool", 1)
    return grpc.insecure_channel(agentd.address, [own, *options])


def make_remote(channel: grpc.Channel, cluster: Cluster, name: str = "agent-1") -> Remote:
    key = Key()
    agent = Agent.objects.create(cluster=cluster, name=name, public_key=key.public)
    return Remote(channel, key, agent.pk)


def eventually(check: Callable[[], Any], within: float = PATIENCE) -> Any:
    """The first truthy answer of `check`."""
    end = time.monotonic() + within
    while not (answer := check()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return answer


def move(cluster: Any, **numbers: int) -> None:
    ClusterState.objects.filter(cluster=cluster).update(**numbers)


def result_of(deployment: Any, outcome: Any, **fields: Any) -> pb.DeployResult:
    values = {
        "deployment_id": str(deployment.pk),
        "revision": deployment.revision.digest,
        "generation": deployment.generation,
        "outcome": outcome,
    }
    return pb.DeployResult(**values | fields)
