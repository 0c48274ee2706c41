"""One route changed among two thousand publishes of a cluster: what is fetched, and how long it takes."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import bulk, envoy
from benchmarks.figures import Result, quantile
from benchmarks.place import scene_of, started
from benchmarks.tap import Tap
from benchmarks.watcher import Watcher
from deploy.local import ports
from deploy.local.smoke.portal import wait_until
from deploy.local.smoke.scene import HOST, Scene

PUBLISHES, QUICK_PUBLISHES = 2_000, 60
RUNS, QUICK_RUNS = 20, 5
PATIENCE = 300


def run(result: Result, *, quick: bool) -> None:
    count = QUICK_PUBLISHES if quick else PUBLISHES
    with Tap(ports.free()[0]) as tap, started(rest_port=tap.port) as stack:
        tap.target = stack.ports.web
        scene = scene_of(stack)
        service = _victim(scene)
        began = time.monotonic()
        bulk.publishes(scene.template, scene.cluster, count - 1, stack.ports.upstream)
        print(f"  {count:,} publishes made in {time.monotonic() - began:.0f} s", flush=True)
        _all_at_once(result, scene, tap, count)
        _one_by_one(result, scene, tap, service, QUICK_RUNS if quick else RUNS, count)
        durations = envoy.update_durations(stack.agent_state())
        result.raw["Envoy's update_duration, ms"] = durations


def _victim(scene: Scene) -> str:
    """The publish whose route changes; the id of its service."""
    from catalog.models import Product

    product = scene.define("Victim", "/victim", ["GET"])
    scene.create("victim", product, "none")
    scene.publish("victim")
    return str(Product.objects.get(pk=product).services.get().pk)


def _all_at_once(result: Result, scene: Scene, tap: Tap, count: int) -> None:
    """As after a restore: a cluster's whole state is new to its gateway."""
    before, began = tap.fetched, time.monotonic()
    bulk.move_on([scene.cluster])
    wait_until(lambda: _applied(scene), f"{count} publishes being applied", PATIENCE)
    result.add(f"{count:,} publishes, all new to a gateway", time.monotonic() - began, "s")
    result.add(f"{count:,} publishes, fetched", (tap.fetched - before) / 1024, "KiB")
    time.sleep(3)


def _applied(scene: Scene) -> bool:
    from clusters.models import Agent, ClusterState

    time.sleep(0.05)
    wanted = ClusterState.objects.get(cluster=scene.cluster).desired_generation
    return Agent.objects.get(cluster=scene.cluster).applied_generation >= wanted


def _one_by_one(
    result: Result, scene: Scene, tap: Tap, service: str, runs: int, count: int
) -> None:
    changes = [_change(scene, tap, service, number) for number in range(runs + 1)][1:]
    name = f"one route of {count:,} publishes"
    result.add_times(f"{name}: click → 200", [each["live"] for each in changes])
    fetched = sorted(each["fetched"] / 1024 for each in changes)
    result.raw[f"{name}: fetched KiB"] = fetched
    result.add(f"{name}: fetched", quantile(fetched, 0.5), "KiB", baseline="O(change) is wanted")
    for stage in ("fetch", "apply", "probe"):
        values = [each["timings"][f"{stage}_ms"] / 1000 for each in changes]
        baseline = "lab: RDS push with 2,000 routes 56 / 79 ms" if stage == "apply" else ""
        result.add_times(f"{name}: stage {stage}", values, baseline=baseline)


def _change(scene: Scene, tap: Tap, service: str, number: int) -> dict[str, Any]:
    """A route of the victim becomes another one, and the click that brings it to the gateway."""
    from publishing.models import Deployment

    scene.provider.put(
        f"/api/v1/provider/api-services/{service}",
        name="Victim service",
        base_path="/victim",
        routes=[
            {"path": "/", "match": "prefix", "methods": ["GET"]},
            {"path": f"/new-{number}", "match": "exact", "methods": ["POST"]},
        ],
        backends=[{"host": "127.0.0.1", "port": scene.stack.ports.upstream}],
    )
    before = tap.fetched
    # Only the new revision knows a POST there.
    with Watcher(
        scene.stack.ports.gateway, HOST, f"/victim/new-{number}", method="POST", wanted=200
    ) as watcher:
        clicked = time.monotonic()
        scene.send("victim", "publish")
        live = watcher.wait() - clicked
    wait_until(lambda: scene.detail("victim")["open_deployment"] is None, "PUBLISHED")
    time.sleep(1)  # whatever else the agent reads because of it
    newest = Deployment.objects.filter(publish=scene.publishes["victim"]).order_by("-number")[0]
    timings = newest.verdicts.get().timings
    return {"live": live, "fetched": tap.fetched - before, "timings": timings}
