"""Exit 0 only if every check holds; the last line is one JSON object of checks and timings.

First the main job, in less than a minute (`main_job_seconds`); then the same stack under faults, about two
minutes more. SMOKE=main leaves those out.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from deploy.local import processes
from deploy.local.ports import PortError
from deploy.local.processes import ChildFailed
from deploy.local.smoke import agents, faults
from deploy.local.smoke.portal import SmokeError, wait_until
from deploy.local.smoke.report import Report
from deploy.local.smoke.scene import LIMIT, Scene
from deploy.local.stack import Ports, Stack

SPOOFED = {
    "x-consumer": "someone/else/entirely",
    "X-Consumer-Id": "42",
    "x-plan": "enterprise",
    "x-credential-id": "1",
}


def main() -> int:
    processes.exit_on_signals()
    os.environ["IMP_AGENT_POLL_SECONDS"] = str(faults.POLL_SECONDS)
    began, report = time.monotonic(), Report()
    with tempfile.TemporaryDirectory(prefix="imp-smoke-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o711)  # PostgreSQL's user has to pass through
        try:
            with Stack(home / "stack", Ports.free(), durable=False) as stack:
                run(stack, report)
        except (SmokeError, ChildFailed, PortError, httpx.HTTPError) as error:
            report.error = f"{type(error).__name__}: {error}"
    print(report.line(time.monotonic() - began), flush=True)
    return 1 if report.error else 0


def run(stack: Stack, report: Report) -> None:
    began = time.monotonic()
    stack.start()
    accounts = json.loads(
        stack.manage("seed_demo", "--stage", "accounts", "--json").splitlines()[-1]
    )
    scene = Scene.enter(stack, accounts["logins"])
    scene.register_cluster()
    report.expect("cluster is pending before an agent joins", scene.cluster_status(), "pending")
    stack.start_agent(scene.agent_token)
    report.timings_ms["join_to_active"] = wait_until(
        lambda: scene.cluster_status() == "active", "the cluster becoming active"
    )
    build(scene)
    keys = publish_and_subscribe(scene, report)
    enforcement(scene, report, keys)
    spoofing(scene, report, keys)
    proof(scene, report)
    revocation(scene, report, keys)
    withdrawal(scene, report, keys)
    report.main_job_seconds = round(time.monotonic() - began, 1)
    if not only_main():
        disturb(scene, report, keys)


def only_main() -> bool:
    return os.environ.get("SMOKE", "") == "main"


def disturb(scene: Scene, report: Report, keys: dict[str, str]) -> None:
    """An agent is given up after 90 s, so one dies first, and the rest is done meanwhile."""
    right = keys["right"]
    agents.two_agents(scene, report)
    died = agents.one_dies(scene)
    faults.port_taken(scene, report, right)
    faults.processes_killed(scene, report, right)
    faults.deployment_survives(scene, report)
    agents.no_agent_yet(scene, report)
    agents.revocation_outlives_restarts(scene, report, right, keys["revoked"])
    faults.redis_away(scene, report)
    faults.postgres_restarted(scene, report, right)
    agents.other_finishes(scene, report, died)


def build(scene: Scene) -> None:
    scene.template = scene.make_gateway("smoke gateway", scene.stack.ports.gateway)
    scene.create("billing", scene.define("Billing", "/billing", ["GET", "POST"]), "api-key")
    scene.create("orders", scene.define("Orders", "/orders", ["GET"]), "api-key")
    scene.create("public", scene.define("Weather", "/public", ["GET"]), "none")


def publish_and_subscribe(scene: Scene, report: Report) -> dict[str, str]:
    """The neighbours first, so that "404 before publish" is the gateway's answer, not a closed port."""
    for name in ("orders", "public"):
        report.timings_ms[f"publish_{name}"] = scene.publish(name)
    report.expect("before publish 404", scene.gateway.status("/billing"), 404)
    began = time.monotonic()
    scene.provider.post(f"{scene.path('billing')}/publish", note="smoke")
    wait_until(lambda: scene.gateway.status("/billing") == 401, "the route answering 401")
    report.timings_ms["click_to_route"] = round((time.monotonic() - began) * 1000, 1)
    wait_until(lambda: scene.detail("billing")["status"] == "PUBLISHED", "PUBLISHED")
    report.timings_ms["click_to_published"] = round((time.monotonic() - began) * 1000, 1)
    plan = scene.add_plan("billing", "Basic", 1000)
    keys = {
        "right": scene.subscribe(plan, "shop"),
        "revoked": scene.subscribe(plan, "shop to be revoked"),
        "limited": scene.subscribe(scene.add_plan("billing", "Tiny", LIMIT), "small shop"),
        "other": scene.subscribe(scene.add_plan("orders", "Basic", 1000), "other shop"),
    }
    report.timings_ms["key_to_200"] = wait_until(
        lambda: scene.gateway.status("/billing", keys["right"]) == 200, "a 200 with the right key"
    )
    wait_until(lambda: scene.gateway.status("/orders", keys["other"]) == 200, "the other key's 200")
    return keys


def enforcement(scene: Scene, report: Report, keys: dict[str, str]) -> None:
    gateway = scene.gateway
    report.expect("no key 401", gateway.status("/billing"), 401)
    report.expect("wrong key 401", gateway.status("/billing", "ik_wrong_key"), 401)
    report.expect("a key of 300 bytes 401", gateway.status("/billing", "k" * 300), 401)
    report.expect("another product's key 403", gateway.status("/billing", keys["other"]), 403)
    answer = gateway.call("/billing/invoices/1?x=1", keys["right"])
    report.expect("right key 200", answer.status_code, 200)
    report.expect("the sample upstream answered", answer.json()["service"], "sample")
    refused = gateway.call("/billing", keys["right"], method="DELETE")
    report.expect("undeclared method 405", refused.status_code, 405)
    report.expect("405 names what is allowed", refused.headers.get("allow"), "GET, POST")
    report.expect(
        "undeclared method without key 401", gateway.status("/billing", method="PUT"), 401
    )
    codes = [gateway.status("/billing", keys["limited"]) for _ in range(LIMIT + 3)]
    report.expect("the plan's limit lets its calls through", codes[:LIMIT], [200] * LIMIT)
    report.check("over the plan's limit 429", 429 in codes[LIMIT:], codes)
    report.expect(
        "another plan is not limited by it", gateway.status("/billing", keys["right"]), 200
    )
    report.expect("public publish 200 without a key", gateway.status("/public"), 200)


def spoofing(scene: Scene, report: Report, keys: dict[str, str]) -> None:
    gateway = scene.gateway
    keyed = _received(gateway.call("/billing", keys["right"], headers=SPOOFED))
    public = _received(gateway.call("/public", keys["right"], headers=SPOOFED))
    report.check("the key never reaches the upstream", "x-api-key" not in keyed | public, keyed)
    leaked = {
        name: value
        for headers in (keyed, public)
        for name, value in headers.items()
        if value in SPOOFED.values()
    }
    report.expect("spoofed identity never reaches the upstream", leaked, {})
    forged = gateway.status("/billing", keys["right"], headers={"x-imp-probe": "0" * 64})
    report.expect("a forged probe reaches no upstream", forged, 404)
    report.check("public routes carry no identity", "x-consumer" not in public, public)
    report.expect(
        "escaped slash cannot leave the public route",
        gateway.status("/public/..%2fbilling"),
        400,
    )
    report.expect("dot segments are resolved first", gateway.status("/public/../billing"), 401)
    report.expect("a path beside the prefix 404", gateway.status("/billingfoo", keys["right"]), 404)
    port = scene.stack.ports.gateway
    with_port = gateway.status(
        "/billing", keys["right"], headers={"Host": f"api.smoke.test:{port}"}
    )
    report.expect("Host with a port 200", with_port, 200)


def proof(scene: Scene, report: Report) -> None:
    deployment = scene.provider.rows(f"{scene.path('billing')}/deployments")[0]
    calls = [call for verdict in deployment["verdicts"] for call in verdict["probe"]]
    report.expect("the deployment succeeded", deployment["status"], "SUCCEEDED")
    report.check("the deployment carries its proof", len(calls) >= 2, calls)
    report.check("the proof is what was expected", all(_as_expected(call) for call in calls), calls)
    answers = {call["got"] for call in calls}
    report.expect("the probe saw 401 without and 200 with a key", answers, {200, 401})
    login = scene.logins["provider"]
    page = scene.provider.page(
        f"/provider/publishes/{scene.publishes['billing']}", login["email"], login["password"]
    )
    report.check("the page shows the proof", "publish-live" in page and ">401<" in page, page[:300])


def revocation(scene: Scene, report: Report, keys: dict[str, str]) -> None:
    report.expect("the key works before", scene.gateway.status("/billing", keys["revoked"]), 200)
    scene.revoke(keys["revoked"])
    took = wait_until(
        lambda: scene.gateway.status("/billing", keys["revoked"]) == 401, "the revoked key's 401"
    )
    report.timings_ms["revoke_to_401"] = took
    report.check("a revoked key is refused within 1 s", took <= 1000, took)
    report.expect("other keys still work", scene.gateway.status("/billing", keys["right"]), 200)


def withdrawal(scene: Scene, report: Report, keys: dict[str, str]) -> None:
    report.timings_ms["withdraw"] = scene.withdraw("billing", "smoke")
    report.expect("withdrawn 404", scene.gateway.status("/billing", keys["right"]), 404)
    report.expect("its neighbour still 200", scene.gateway.status("/orders", keys["other"]), 200)
    report.timings_ms["republish"] = scene.publish("billing", "again")
    report.expect("the same key 200 again", scene.gateway.status("/billing", keys["right"]), 200)
    report.expect(
        "the revoked one stays refused", scene.gateway.status("/billing", keys["revoked"]), 401
    )


def _received(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code != 200:
        raise SmokeError(f"{answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
    return answer.json()["headers"]


def _as_expected(call: dict[str, Any]) -> bool:
    return call["got"] == call["expected"]


if __name__ == "__main__":
    sys.exit(main())
