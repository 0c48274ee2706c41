"""What people do, at random: publish, change, withdraw, cancel, hand out keys and revoke them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import httpx

from deploy.local.faults.history import History
from deploy.local.faults.world import FRAGILE, KEYED, Cluster, Publish, World
from deploy.local.smoke.portal import Portal, SmokeError

PUBLISHES = "/api/v1/provider/product-publishes"
CRASH = "internal_error"


class Driver(threading.Thread):
    """One person of each kind. Refusals are part of life; a crash of the portal is none."""

    def __init__(self, world: World, history: History, rng: random.Random, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._world, self._history, self._rng = world, history, rng
        self._over = threading.Event()
        by_role = {login["role"]: login for login in world.logins}
        self._provider, self._consumer = (
            Portal(world.stack.url, by_role[role]["email"], by_role[role]["password"])
            for role in ("provider", "consumer")
        )
        self.done = 0

    def end(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        deeds: list[tuple[Callable[[Cluster, Publish], str], int]] = [
            (self._publish, 4),
            (self._change, 7),
            (self._withdraw, 5),
            (self._cancel, 3),
            (self._new_key, 3),
            (self._revoke, 3),
        ]
        acts, weights = zip(*deeds, strict=True)
        while not self._over.wait(self._rng.uniform(0.0, 0.25)):
            cluster = self._rng.choice(self._world.clusters)
            # The fragile one more often: a port must be taken just when it is clicked.
            publish = self._rng.choice([*cluster.publishes, cluster.publishes[FRAGILE]])
            act = self._rng.choices(acts, weights)[0]
            self._history.note(
                self.name, f"{act.__name__[1:]} {publish.path}: {self._try(act, cluster, publish)}"
            )
            self.done += 1

    def _try(
        self, act: Callable[[Cluster, Publish], str], cluster: Cluster, publish: Publish
    ) -> str:
        try:
            return act(cluster, publish)
        except SmokeError as error:
            if CRASH in str(error):
                self._history.violate("CRASH", str(error)[:300])
            return f"refused: {error}"[:220]
        except (httpx.HTTPError, ValueError) as error:
            return f"no answer: {error!r}"[:120]
        except Exception as error:  # noqa: BLE001 - a person who silently leaves would prove nothing
            self._history.violate("DRIVER", repr(error)[:300])
            return repr(error)

    def _publish(self, _cluster: Cluster, publish: Publish) -> str:
        return _asked(self._provider.post(f"{PUBLISHES}/{publish.id}/publish"))

    def _withdraw(self, _cluster: Cluster, publish: Publish) -> str:
        return _asked(self._provider.post(f"{PUBLISHES}/{publish.id}/withdraw"))

    def _change(self, cluster: Cluster, publish: Publish) -> str:
        """Another revision, or an old one again: three timeouts to choose from."""
        timeout = self._rng.choice([5_000, 10_000, 15_000])
        route = {"path": "/", "match": "prefix", "methods": ["GET"], "timeout_ms": timeout}
        self._provider.patch(f"/api/v1/provider/api-services/{publish.service}", routes=[route])
        return f"timeout {timeout}, {self._publish(cluster, publish)}"

    def _cancel(self, _cluster: Cluster, publish: Publish) -> str:
        rows = self._provider.rows(f"{PUBLISHES}/{publish.id}/deployments")
        if not rows or rows[0]["status"] != "QUEUED":
            return f"#{rows[0]['number']} is {rows[0]['status']}" if rows else "nothing to cancel"
        newest = rows[0]
        self._provider.post(f"/api/v1/provider/deployments/{newest['id']}/cancel")
        return f"#{newest['number']}"

    def _new_key(self, cluster: Cluster, _publish: Publish) -> str:
        publish = self._rng.choice(cluster.publishes[:KEYED])
        subscriptions = self._consumer.rows("/api/v1/customer/subscriptions", page_size=200)
        mine = [each for each in subscriptions if each["plan"]["id"] == publish.plan]
        key = self._consumer.post(
            "/api/v1/customer/credentials", subscription_id=mine[0]["id"], name="another"
        )
        self._world.keep_key(key["id"], key["key"], publish, cluster)
        return f"{key['id'][:8]} for {publish.path}"

    def _revoke(self, _cluster: Cluster, _publish: Publish) -> str:
        key_id = self._rng.choice(sorted(self._world.keys))
        self._consumer.post(f"/api/v1/customer/credentials/{key_id}/revoke")
        return f"{key_id[:8]} of {self._world.key_paths[key_id]}"


def _asked(publish: dict[str, Any]) -> str:
    """The deployment that a click began; it may be over by the time the answer is written."""
    opened = publish.get("open_deployment")
    return f"#{opened['number']}" if opened else "done already"
