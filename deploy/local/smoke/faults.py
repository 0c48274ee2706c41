"""Checks 6 to 8 and 12: a port that is taken, processes killed, databases away."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from deploy.local.smoke.disturb import calls_keep_working, end_of, kill, send_signal, start
from deploy.local.smoke.portal import Gateway, SmokeError, wait_until
from deploy.local.smoke.report import Report
from deploy.local.smoke.scene import HOST, Scene

POLL_SECONDS = 2  # what the agents of this run are told
REDIS_AWAY_SECONDS = 30
CLEAN = {200, 503}  # what a request may be answered while PostgreSQL restarts


def port_taken(scene: Scene, report: Report, key: str) -> None:
    """6: a listener that cannot open fails its own deployment, with the gateway's words, and nothing else."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        scene.allow_port(port)
        gateway = scene.make_gateway("taken port", port)
        product = scene.define("Blocked", "/blocked", ["GET"])
        scene.create("blocked", product, "none", gateway=gateway)
        with calls_keep_working(scene, report, "a port is taken", "/billing", key):
            scene.send("blocked", "publish")
            deployment = end_of(scene, "blocked")
            words = " ".join(verdict["error"] for verdict in deployment["verdicts"])
            report.expect("a taken port fails the deployment", deployment["status"], "FAILED")
            report.check("with Envoy's own words", "Address already in use" in words, words)
            report.expect("the publish stays DRAFT", scene.detail("blocked")["status"], "DRAFT")
            before = rejected(scene)
            time.sleep(2.5 * POLL_SECONDS)
            report.expect("Envoy is not sent it again", rejected(scene), before)
    report.timings_ms["publish_once_free"] = scene.publish("blocked")
    answer = Gateway(f"http://127.0.0.1:{port}", HOST).status("/blocked")
    report.expect("once the port is free a new click succeeds", answer, 200)


def processes_killed(scene: Scene, report: Report, key: str) -> None:
    """7: gateways serve without the control plane, without the agent, and from disk."""
    stack = scene.stack
    web, agentd, agent = (stack.child(name) for name in ("web", "agentd", "agent-1"))
    with calls_keep_working(scene, report, "web and agentd are killed", "/billing", key):
        kill(web, agentd)
        time.sleep(1)
        start(web, agentd)
    pid = stack.envoy_pid()
    with calls_keep_working(scene, report, "the agent is killed", "/billing", key):
        kill(agent)
        time.sleep(0.5)
        start(agent)
        report.timings_ms["publish_after_kill"] = scene.withdraw("blocked")
    report.expect("Envoy keeps its pid when the agent is back", stack.envoy_pid(), pid)
    kill(agent, web, agentd)
    os.kill(pid, signal.SIGKILL)
    start(agent)
    report.timings_ms["from_disk_to_200"] = wait_until(
        lambda: scene.gateway.status("/billing", key) == 200, "a 200 from disk"
    )
    report.check("the control plane was down meanwhile", not web.is_running())
    report.check("another Envoy serves from disk", stack.envoy_pid() not in {0, pid})
    start(web, agentd)


def deployment_survives(scene: Scene, report: Report) -> None:
    """8: an agent that sleeps and an agentd that dies only delay a publish."""
    agentd, agent = scene.stack.child("agentd"), scene.stack.child("agent-1")
    scene.withdraw("public")
    send_signal(agent, signal.SIGSTOP)
    scene.send("public", "publish")
    wait_until(lambda: scene.deployment("public")["status"] == "DISPATCHED", "DISPATCHED")
    kill(agentd)
    start(agentd)
    send_signal(agent, signal.SIGCONT)
    report.timings_ms["publish_after_agentd_died"] = scene.arrival("public", "PUBLISHED")
    report.check("a publish survives a dead agentd and a stopped agent", True)


def redis_away(scene: Scene, report: Report) -> None:
    """12: without Redis everything still happens, seconds later."""
    valkey, began = scene.stack.valkey, time.monotonic()
    valkey.stop()
    report.timings_ms["withdraw_without_redis"] = scene.withdraw("public")
    report.timings_ms["publish_without_redis"] = scene.publish("public")
    report.expect("without Redis a publish only takes longer", scene.gateway.status("/public"), 200)
    time.sleep(max(0.0, REDIS_AWAY_SECONDS - (time.monotonic() - began)))
    valkey.start()
    report.timings_ms["withdraw_after_redis"] = scene.withdraw("public")
    report.timings_ms["publish_after_redis"] = scene.publish("public")
    report.expect("Redis gone and back: only delay", scene.gateway.status("/public"), 200)


def postgres_restarted(scene: Scene, report: Report, key: str) -> None:
    """12: while PostgreSQL restarts requests fail cleanly, and nothing is lost."""
    scene.withdraw("public")
    with (
        load(scene) as seen,
        calls_keep_working(scene, report, "the database restarts", "/billing", key),
    ):
        time.sleep(0.5)
        scene.send("public", "publish")
        scene.stack.postgres.stop()
        time.sleep(1)
        scene.stack.postgres.start()
        path = scene.path("billing")
        wait_until(lambda: scene.provider.status(path) == 200, "the portal answering again")
    report.check("requests that fail, fail cleanly", set(seen) <= CLEAN, dict(seen))
    report.timings_ms["publish_over_restart"] = scene.arrival("public", "PUBLISHED")
    report.expect("nothing was lost", scene.gateway.status("/public"), 200)


@contextmanager
def load(scene: Scene, threads: int = 3) -> Iterator[Counter[int]]:
    """Reads of the portal from several threads; how often each status came."""
    seen: Counter[int] = Counter()
    over, path = threading.Event(), scene.path("billing")

    def ask() -> None:
        while not over.wait(0.01):
            seen[scene.provider.status(path)] += 1

    askers = [threading.Thread(target=ask, daemon=True) for _each in range(threads)]
    for asker in askers:
        asker.start()
    try:
        yield seen
    finally:
        over.set()
        for asker in askers:
            asker.join()


def rejected(scene: Scene, agent: str = "agent-1") -> int:
    """How many updates Envoy has refused so far, by its own count."""
    socket_path = scene.stack.admin_socket(agent)
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket_path), trust_env=False) as client:
        lines = client.get("http://envoy/stats", params={"filter": "update_rejected"}).text
    counts = [int(line.rpartition(":")[2]) for line in lines.splitlines() if ":" in line]
    if not counts:
        raise SmokeError(f"Envoy of {agent} has no counter update_rejected")
    return sum(counts)
