"""Checks 9 to 11: clusters without an agent, with one that is away, with two."""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import datetime

from deploy.local.smoke.disturb import end_of, kill, send_signal, start
from deploy.local.smoke.portal import Gateway, wait_until
from deploy.local.smoke.report import Report
from deploy.local.smoke.scene import HOST, Scene

EARLY, TWINS = "127.0.0.2", ("127.0.0.3", "127.0.0.4")
VICTIM = "twin-2"
# An agent is given up 90 s after its last sign of life, and a sweep may be 5 s away.
GIVEN_UP_SECONDS = 120


def no_agent_yet(scene: Scene, report: Report) -> None:
    """9: a publish waits for the first agent of its cluster, and says so."""
    cluster, token = scene.new_cluster("smoke-empty")
    product = scene.define("Early", "/early", ["GET"])
    scene.create("early", product, "none", cluster=cluster)
    scene.send("early", "publish")
    waiting = scene.deployment("early")
    report.expect("without an agent a publish is QUEUED", waiting["status"], "QUEUED")
    report.check("and says why", "no agent" in waiting["detail"].lower(), waiting["detail"])
    scene.stack.start_agent(token, "early", bind=EARLY)
    report.timings_ms["live_after_join"] = scene.arrival("early", "PUBLISHED")
    report.expect("it goes live when one joins", at(scene, EARLY).status("/early"), 200)


def revocation_outlives_restarts(scene: Scene, report: Report, right: str, revoked: str) -> None:
    """10: refused stays refused; a gateway that cannot be asked is not claimed to refuse."""
    agent = scene.stack.child("agent-1")
    report.expect("the revocation was acknowledged", scene.receipts(revoked), {"confirmed"})
    kill(agent)
    os.kill(scene.stack.envoy_pid(), signal.SIGKILL)
    start(agent)
    wait_until(lambda: scene.gateway.status("/billing", right) == 200, "serving again")
    status = scene.gateway.status("/billing", revoked)
    report.expect("a revoked key stays refused after restarts", status, 401)
    brief = scene.subscribe(scene.add_plan("billing", "Brief", 1000), "brief shop")
    wait_until(lambda: scene.gateway.status("/billing", brief) == 200, "the brief key's 200")
    kill(agent)
    scene.revoke(brief)
    report.expect("while a gateway is offline", scene.receipts(brief), {"pending"})
    start(agent)
    report.timings_ms["revoke_confirmed_after_start"] = wait_until(
        lambda: scene.receipts(brief) == {"confirmed"}, "the receipt's confirmation"
    )
    report.expect("then the key is refused", scene.gateway.status("/billing", brief), 401)


def two_agents(scene: Scene, report: Report) -> None:
    """11: both converge; one that fails fails the deployment and reverts both."""
    stack = scene.stack
    cluster, token = scene.new_cluster("smoke-twins")
    for name, token_, address in zip(
        ("twin-1", "twin-2"), (token, scene.new_token(cluster)), TWINS, strict=True
    ):
        stack.start_agent(token_, name, bind=address)
    product = scene.define("Twins", "/twins", ["GET"])
    scene.create("twins", product, "none", cluster=cluster)
    wait_until(lambda: scene.live_agents(cluster) == 2, "both agents being live")
    scene.publish("twins")
    answers = [at(scene, address).status("/twins") for address in TWINS]
    report.expect("two agents both converge", answers, [200, 200])
    with socket.create_server((TWINS[1], 0)) as holder:
        _one_fails(scene, report, cluster, holder.getsockname()[1])


def _one_fails(scene: Scene, report: Report, cluster: str, port: int) -> None:
    gateway = scene.make_gateway("half taken", port)
    product = scene.define("Half", "/half", ["GET"])
    scene.create("half", product, "none", gateway=gateway, cluster=cluster)
    scene.send("half", "publish")
    deployment = end_of(scene, "half")
    outcomes = {verdict["outcome"] for verdict in deployment["verdicts"]}
    report.expect("one failing agent fails the deployment", deployment["status"], "FAILED")
    report.check("its verdict is its own", "failed" in outcomes, outcomes)
    report.expect("the publish stays DRAFT on both", scene.detail("half")["status"], "DRAFT")
    wait_until(
        lambda: at(scene, TWINS[0], port).status("/half") in {0, 404},
        "the revert on the agent that had applied it",
    )
    answers = [at(scene, address).status("/twins") for address in TWINS]
    report.expect("and what was live serves on", answers, [200, 200])


def one_dies(scene: Scene) -> float:
    """11: an agent is killed in the middle of a deployment. When that was."""
    victim = scene.stack.child(VICTIM)
    scene.withdraw("twins")
    send_signal(victim, signal.SIGSTOP)
    scene.send("twins", "publish")
    wait_until(lambda: _outcomes(scene) == ["applied", "pending"], "the other one's verdict")
    kill(victim)
    return time.monotonic()


def other_finishes(scene: Scene, report: Report, died: float) -> None:
    """11: the other one finishes the deployment alone, once the dead one is given up."""
    wait_until(
        lambda: scene.detail("twins")["status"] == "PUBLISHED",
        "the other agent finishing",
        max(20.0, GIVEN_UP_SECONDS - (time.monotonic() - died)),
    )
    deployment = scene.deployment("twins")
    began, ended = (
        datetime.fromisoformat(deployment[each]) for each in ("created_at", "finished_at")
    )
    report.timings_ms["finish_without_the_dead"] = (ended - began).total_seconds() * 1000
    report.expect(
        "an agent that dies lets the other finish", _outcomes(scene), ["applied", "stale"]
    )
    victim = scene.stack.child(VICTIM)
    start(victim)
    report.timings_ms["late_one_converges"] = wait_until(
        lambda: at(scene, TWINS[1]).status("/twins") == 200, "the late one converging"
    )
    report.check("and it converges when it is back", True)


def _outcomes(scene: Scene) -> list[str]:
    verdicts = scene.deployment("twins")["verdicts"]
    return sorted(verdict["outcome"] for verdict in verdicts)


def at(scene: Scene, address: str, port: int = 0) -> Gateway:
    return Gateway(f"http://{address}:{port or scene.stack.ports.gateway}", HOST)
