"""Envoy's own word on how long it took to take a configuration, and the driver without a control plane."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.drivers.envoy.sockets import sockets_for
from agents.edge.model import Access, Grant, Outcome, Publish, Snapshot
from agents.wire import bundle_pb2
from benchmarks.watcher import Watcher
from core.addresses import DENIED_NETWORKS
from deploy.local import ports

HOST = "alone.bench.test"


def update_durations(state: Path) -> dict[str, dict[str, float]]:
    """Milliseconds by kind of resource: what Envoy spent on an update, from its arrival on."""
    transport = httpx.HTTPTransport(uds=sockets_for(state).admin)
    with httpx.Client(transport=transport, trust_env=False) as client:
        answer = client.get("http://envoy/stats?filter=update_duration&format=json").json()
    found: dict[str, dict[str, float]] = {}
    for part in answer["stats"]:
        histograms = part.get("histograms", {})
        quantiles = histograms.get("supported_quantiles", [])
        for each in histograms.get("computed_quantiles", []):
            values = [value["cumulative"] or 0.0 for value in each["values"]]
            found[each["name"]] = {f"p{q:g}": v for q, v in zip(quantiles, values, strict=False)}
    return found


Times = list[float]


def publishes_alone(runs: int, upstream: int) -> tuple[Times, Times]:
    """Publishes through the driver in this process: seconds to Envoy's last ACK, and to the first 200."""
    return asyncio.run(_alone(lambda driver: _publishes_alone(driver, runs, upstream)))


def keys_alone(runs: int, keys: int) -> tuple[Times, Times]:
    """Of so many keys one is taken away: seconds to Envoy's ACK, and to the first 401."""
    return asyncio.run(_alone(lambda driver: _keys_alone(driver, runs, keys)))


async def _alone(
    measure: Callable[[EnvoyDriver], Awaitable[tuple[Times, Times]]],
) -> tuple[Times, Times]:
    with tempfile.TemporaryDirectory(prefix="imp-alone-", dir="/tmp") as folder:
        driver = EnvoyDriver(Path(folder), "bench", b"bench", bind_address="127.0.0.1")
        await driver.start(Snapshot(0, {}), Access(version=0))
        try:
            return await measure(driver)
        finally:
            await driver.stop()


async def _publishes_alone(driver: EnvoyDriver, runs: int, upstream: int) -> tuple[Times, Times]:
    port = ports.free()[0]
    acks, answers = [], []
    publishes: dict[str, Publish] = {}
    for number in range(runs + 1):
        publish = _publish(f"/p-{number}", port, upstream)
        publishes[publish.id] = publish
        with Watcher(port, HOST, f"/p-{number}", wanted=200) as watcher:
            began = time.monotonic()
            verdict = (await driver.apply(_snapshot(publishes)))[publish.id]
            assert verdict.outcome is Outcome.APPLIED, verdict.error
            first = await asyncio.to_thread(watcher.wait)
        if number:  # the first one opens the port
            acks.append(verdict.apply_ms / 1000)
            answers.append(first - began)
    return acks, answers


async def _keys_alone(driver: EnvoyDriver, runs: int, keys: int) -> tuple[Times, Times]:
    # Nobody listens behind it: a key that counts gets a 503.
    port, nowhere = ports.free(2)
    publish = _publish("/keyed", port, nowhere, mode="api-key")
    verdict = (await driver.apply(_snapshot({publish.id: publish})))[publish.id]
    assert verdict.outcome is Outcome.APPLIED, verdict.error
    secrets = [f"ik_{number}_{uuid.uuid4().hex}" for number in range(keys + runs)]
    grants = dict(_grant(publish.id, secret) for secret in secrets)
    await driver.apply_access(Access(1, dict(grants)))
    acks, answers = [], []
    for number in range(runs):
        with Watcher(port, HOST, "/keyed", secrets[number], wanted=503) as watcher:
            await asyncio.to_thread(watcher.wait)
        del grants[_digest(secrets[number])]
        with Watcher(port, HOST, "/keyed", secrets[number], wanted=401) as watcher:
            began = time.monotonic()
            await driver.apply_access(Access(number + 2, dict(grants)))
            acks.append(time.monotonic() - began)
            answers.append(await asyncio.to_thread(watcher.wait) - began)
    return acks, answers


def _grant(publish_id: str, secret: str) -> tuple[str, Grant]:
    digest = _digest(secret)
    return digest, Grant(digest, publish_id, str(uuid.uuid4()), str(uuid.uuid4()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _snapshot(publishes: dict[str, Publish]) -> Snapshot:
    return Snapshot(
        len(publishes),
        dict(publishes),
        denied_networks=DENIED_NETWORKS,
        allowed_networks=("127.0.0.0/8",),
    )


def _publish(path: str, port: int, upstream: int, mode: str = "none") -> Publish:
    pk = str(uuid.uuid4())
    backend = bundle_pb2.Backend(id="b", host="127.0.0.1", port=upstream, weight=1)
    route = bundle_pb2.Route(
        id="r", match="prefix", path=path, methods=["GET"], timeout_ms=15000, upstream_id="u"
    )
    bundle = bundle_pb2.Bundle(
        schema=1,
        publish_id=pk,
        host=HOST,
        listeners=[bundle_pb2.Listener(port=port, protocol="HTTP")],
        auth=bundle_pb2.Auth(mode=mode),
        routes=[route],
        upstreams=[bundle_pb2.Upstream(id="u", name="u", backends=[backend])],
    )
    digest = hashlib.sha256(bundle.SerializeToString()).hexdigest()
    return Publish(pk, digest, bundle, deployment=str(uuid.uuid4()))
