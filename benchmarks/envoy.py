"""Envoy's own word on how long it took to take a configuration, and the driver without a control plane."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import uuid
from pathlib import Path
from typing import Any

import httpx

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.drivers.envoy.sockets import sockets_for
from agents.edge.model import Access, Outcome, Publish, Snapshot
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


def driver_alone(runs: int, upstream: int) -> tuple[list[float], list[float]]:
    """Publishes through the driver in this process: seconds to Envoy's last ACK, and to the first 200."""
    with tempfile.TemporaryDirectory(prefix="imp-alone-", dir="/tmp") as folder:
        return asyncio.run(_driver_alone(Path(folder), runs, upstream))


async def _driver_alone(state: Path, runs: int, upstream: int) -> tuple[list[float], list[float]]:
    driver = EnvoyDriver(state, "bench", b"bench", bind_address="127.0.0.1")
    await driver.start(Snapshot(0, {}), Access(version=0))
    port = ports.free()[0]
    acks, answers = [], []
    publishes: dict[str, Publish] = {}
    try:
        for number in range(runs + 1):
            publish = _publish(number, port, upstream)
            publishes[publish.id] = publish
            snapshot = Snapshot(
                number + 1,
                dict(publishes),
                denied_networks=DENIED_NETWORKS,
                allowed_networks=("127.0.0.0/8",),
            )
            with Watcher(port, HOST, f"/p-{number}", wanted=200) as watcher:
                began = asyncio.get_running_loop().time()
                verdict = (await driver.apply(snapshot))[publish.id]
                assert verdict.outcome is Outcome.APPLIED, verdict.error
                first = await asyncio.to_thread(watcher.wait)
            if number:  # the first one opens the port
                acks.append(verdict.apply_ms / 1000)
                answers.append(first - began)
    finally:
        await driver.stop()
    return acks, answers


def _publish(number: int, port: int, upstream: int) -> Publish:
    pk = str(uuid.uuid4())
    backend: Any = bundle_pb2.Backend(id="b", host="127.0.0.1", port=upstream, weight=1)
    bundle = bundle_pb2.Bundle(
        schema=1,
        publish_id=pk,
        host=HOST,
        listeners=[bundle_pb2.Listener(port=port, protocol="HTTP")],
        auth=bundle_pb2.Auth(mode="none"),
        routes=[
            bundle_pb2.Route(
                id="r",
                match="prefix",
                path=f"/p-{number}",
                methods=["GET"],
                timeout_ms=15000,
                upstream_id="u",
            )
        ],
        upstreams=[bundle_pb2.Upstream(id="u", name="u", backends=[backend])],
    )
    digest = hashlib.sha256(bundle.SerializeToString()).hexdigest()
    return Publish(pk, digest, bundle, deployment=str(uuid.uuid4()))
