"""From revoking a key to the gateway's first 401 for it, with more and more keys beside it."""

from __future__ import annotations

import json
import time
from uuid import UUID

from benchmarks import bulk, envoy, footprint
from benchmarks.figures import Result
from benchmarks.place import scene_of, started
from benchmarks.watcher import Watcher
from deploy.local.smoke.scene import HOST, Scene

SIZES, QUICK_SIZES = (10, 10_000, 50_000), (10, 500)
RUNS, QUICK_RUNS = 40, 8
SUBSCRIPTIONS = 1_000
LAB = {10_000: "lab, push alone: 41 / 45 ms", 50_000: "lab, push alone: 196 / 272 ms"}
PATIENCE = 120


def run(result: Result, *, quick: bool) -> None:
    runs = QUICK_RUNS if quick else RUNS
    with started() as stack:
        scene = scene_of(stack)
        plan = keyed_publish(scene)
        subscriptions = bulk.subscriptions(plan, 20 if quick else SUBSCRIPTIONS)
        known: list[tuple[UUID, str]] = []
        for size in QUICK_SIZES if quick else SIZES:
            # The runs' own keys come on top, so that the last run meets as many as the first.
            known += bulk.keys(subscriptions, size + runs - len(known))
            took = _until(scene, known[-1][1], 200)
            print(f"  {size:,} keys known after {took:.1f} s", flush=True)
            delays = [_revoke(scene, *known.pop(0)) for _ in range(runs)]
            result.add_times(
                f"revoke → 401, {size:,} keys",
                delays,
                p99=1000 if size <= 10_000 else None,
                baseline=LAB.get(size, ""),
            )
            _memory(result, scene, size)
    for size in QUICK_SIZES if quick else SIZES:
        _, refused = envoy.keys_alone(min(runs, 15), size)
        result.add_times(
            f"driver alone: push → 401, {size:,} keys", refused, baseline=LAB.get(size, "")
        )


def keyed_publish(scene: Scene) -> str:
    """A live publish that wants a key; the id of its plan, whose limit nobody reaches."""
    scene.create("keyed", scene.define("Keyed", "/keyed", ["GET"]), "api-key")
    scene.publish("keyed")
    return scene.add_plan("keyed", "Wide", 2**31 - 1)


def _revoke(scene: Scene, credential: UUID, secret: str) -> float:
    """Seconds since the click."""
    _until(scene, secret, 200)
    with _watch(scene, secret, 401) as watcher:
        clicked = time.monotonic()
        scene.consumer.post(f"/api/v1/customer/credentials/{credential}/revoke")
        return watcher.wait() - clicked


def _until(scene: Scene, secret: str, status: int) -> float:
    began = time.monotonic()
    with _watch(scene, secret, status) as watcher:
        return watcher.wait(PATIENCE) - began


def _watch(scene: Scene, secret: str, status: int) -> Watcher:
    return Watcher(scene.stack.ports.gateway, HOST, "/keyed", secret, wanted=status)


def _memory(result: Result, scene: Scene, size: int) -> None:
    stack = scene.stack
    note = json.loads((stack.agent_state() / "envoy.json").read_text())
    agent = next(child for child in stack.group if child.name == "agent-1")
    result.add(f"Envoy with {size:,} keys", footprint.rss_kib([note["pid"]]) / 1024, "MiB")
    result.add(f"agent with {size:,} keys", footprint.rss_kib([agent.pid or 0]) / 1024, "MiB")
