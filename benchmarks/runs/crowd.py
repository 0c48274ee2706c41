"""One real agent among many simulated ones of the same cluster: does the crowd slow a publish down?"""

from __future__ import annotations

import time

from benchmarks import bulk
from benchmarks.figures import Result
from benchmarks.fleets import Fleets
from benchmarks.place import BenchStack, scene_of, started
from benchmarks.runs.publish import prepare
from benchmarks.watcher import Watcher
from deploy.local.smoke.portal import SmokeError, wait_until
from deploy.local.smoke.scene import HOST, Scene

CROWD, QUICK_CROWD = 999, 49
RUNS, QUICK_RUNS = 30, 5
SETTLE_SECONDS = 120


def run(result: Result, *, quick: bool) -> None:
    crowd, runs = (QUICK_CROWD, QUICK_RUNS) if quick else (CROWD, RUNS)
    with started(tls=True) as stack:
        scene = scene_of(stack)
        prepare(scene, runs + 1)
        file = stack.home / "agents.jsonl"
        bulk.agents([scene.cluster], crowd, file)
        with Fleets(file, f"127.0.0.1:{stack.ports.agentd}", ca=stack.ca, work=True) as fleets:
            fleets.ask("connect")
            if not fleets.wait_up(crowd, 180):
                raise SmokeError(f"only {fleets.up()} of {crowd} agents connected")
            time.sleep(10)  # their first reads
            fleets.collect()
            _publishes(result, stack, scene, crowd, runs)
            result.raw["lost"] = dict(fleets.collect().lost)


def _publishes(result: Result, stack: BenchStack, scene: Scene, crowd: int, runs: int) -> None:
    live, published = [], []
    cpu = {name: stack.cpu_seconds(name) for name in ("web", "agentd", "postgres")}
    for number in range(runs + 1):
        took = _publish(scene, f"p-{number}")
        if number:  # the first one opens the port
            live.append(took[0])
            published.append(took[1])
        time.sleep(3)  # the agents report
    name = f"1 real + {crowd} simulated agents"
    result.add_times(f"{name}: click → 200 at the real one", live, p99=2000)
    result.add_times(f"{name}: click → PUBLISHED", published)
    for child, used in cpu.items():
        each = (stack.cpu_seconds(child) - used) / (runs + 1)
        result.add(f"{name}: {child}, processor time of a publish", each, "s")


def _publish(scene: Scene, name: str) -> tuple[float, float]:
    with Watcher(scene.stack.ports.gateway, HOST, f"/{name}", wanted=200) as watcher:
        clicked = time.monotonic()
        scene.provider.post(f"{scene.path(name)}/publish")
        live = watcher.wait(SETTLE_SECONDS) - clicked
    wait_until(lambda: _is_published(scene, name), f"{name} PUBLISHED", SETTLE_SECONDS)
    return live, time.monotonic() - clicked


def _is_published(scene: Scene, name: str) -> bool:
    """Asked of the database, and not often: the portal has enough to do."""
    from publishing.models import ProductPublish

    time.sleep(0.05)
    return ProductPublish.objects.filter(pk=scene.publishes[name], status="PUBLISHED").exists()
