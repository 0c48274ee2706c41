"""From the click on Publish to the first 200 through the real gateway, stage by stage."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from benchmarks import envoy
from benchmarks.figures import Result
from benchmarks.place import scene_of, started
from benchmarks.watcher import Watcher
from deploy.local.smoke.portal import wait_until
from deploy.local.smoke.scene import HOST, Scene

RUNS, QUICK_RUNS, WARM_UP = 50, 8, 3
STAGES = ("commit", "wake", "fetch", "apply", "probe", "report")


def run(result: Result, *, quick: bool) -> None:
    runs = QUICK_RUNS if quick else RUNS
    with started() as stack:
        scene = scene_of(stack)
        prepare(scene, runs + WARM_UP)
        clicks = [click(scene, f"p-{number}") for number in range(runs + WARM_UP)][WARM_UP:]
        result.add_times("click → 200", [each["live"] for each in clicks], p50=150, p99=500)
        result.add_times("click → PUBLISHED", [each["published"] for each in clicks])
        _stages(result, scene, clicks)
        _gateway(result, scene, min(runs, 20))


def prepare(scene: Scene, count: int) -> None:
    """Products of one route each, every one a DRAFT of its own: nobody has seen any of them."""
    for number in range(count):
        product = scene.define(f"Bench {number}", f"/p-{number}", ["GET"])
        scene.create(f"p-{number}", product, "none")


def click(scene: Scene, name: str) -> dict[str, Any]:
    """Publish through REST. Seconds since the click, and the click's wall-clock time."""
    with Watcher(scene.stack.ports.gateway, HOST, f"/{name}", wanted=200) as watcher:
        clicked, wall = time.monotonic(), time.time()
        scene.provider.post(f"{scene.path(name)}/publish")
        answered = time.monotonic() - clicked
        live = watcher.wait() - clicked
    wait_until(lambda: scene.detail(name)["status"] == "PUBLISHED", "PUBLISHED")
    row = deployment_of(scene, name)
    published = row.finished_at.timestamp() - wall
    return {"name": name, "wall": wall, "answered": answered, "live": live, "published": published}


def deployment_of(scene: Scene, name: str) -> Any:
    from publishing.models import Deployment

    return Deployment.objects.get(publish=scene.publishes[name])


def _stages(result: Result, scene: Scene, clicks: list[dict[str, Any]]) -> None:
    """From the deployment's own times and timings, and the agent's log in between."""
    log = _log(scene)
    rows: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for each in clicks:
        deployment = deployment_of(scene, each["name"])
        timings = deployment.verdicts.get().timings
        applied = log[str(deployment.pk)]
        began = applied - (timings["apply_ms"] + timings["probe_ms"] + timings["fetch_ms"]) / 1000
        committed = deployment.created_at.timestamp()
        rows["commit"].append(committed - each["wall"])
        rows["wake"].append(began - committed)
        for stage in ("fetch", "apply", "probe"):
            rows[stage].append(timings[f"{stage}_ms"] / 1000)
        rows["report"].append(deployment.finished_at.timestamp() - applied)
    for stage in STAGES:
        result.add_times(f"stage {stage}", rows[stage])


def _log(scene: Scene) -> dict[str, float]:
    """By deployment: when the agent had proved it."""
    found = {}
    for line in (scene.stack.logs / "agent-1.log").read_text().splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("message") == "Applied":
            found[entry["deployment"]] = datetime.fromisoformat(entry["time"]).timestamp()
    return found


def _gateway(result: Result, scene: Scene, runs: int) -> None:
    """Beside it: what of that time is Envoy's own, and what the driver alone needs."""
    durations = envoy.update_durations(scene.stack.agent_state())
    result.raw["Envoy's update_duration, ms"] = durations
    for kind in ("cds", "rds"):
        found = [values for name, values in durations.items() if f".{kind}." in name]
        if found:
            result.add(f"Envoy's own {kind.upper()} update: p50", found[0].get("p50"), "ms")
            result.add(f"Envoy's own {kind.upper()} update: p99", found[0].get("p99"), "ms")
    acks, answers = envoy.publishes_alone(runs, scene.stack.ports.upstream)
    result.add_times("driver alone: apply", acks, baseline="lab: ACK 2.4 / 3.2 ms")
    result.add_times("driver alone: apply → 200", answers, baseline="lab: 2.9 / 4.3 ms")
