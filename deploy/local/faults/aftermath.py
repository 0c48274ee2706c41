"""How fast everything is once all is healed: I8, and I1 for one more change on each cluster."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.local.faults.history import History
from deploy.local.faults.people import PROVIDER, PUBLISHES, People, new_key
from deploy.local.faults.world import STEADY, Cluster, World

# A wake takes milliseconds; without one the next sweep is 5 s away. The rest is a busy machine.
BOUND_SECONDS = 10.0
CHANGED = 1  # a keyed publish of the provider


class Aftermath:
    def __init__(self, world: World, people: People, history: History, seed: int) -> None:
        self._world, self._history, self._seed = world, history, seed
        self._provider, self._consumer = people.providers[PROVIDER], people.consumer

    def measure(self) -> dict[str, float]:
        """Seconds from the click until every gateway does what it should, the slowest of the clusters."""
        keys = {
            cluster.id: new_key(self._consumer, cluster.steady_subscription)
            for cluster in self._world.clusters
        }
        opened = self._until("I1", "open to a new key", lambda each: self._answer(each, keys, 200))
        for key in keys.values():
            self._consumer.post(f"/api/v1/customer/credentials/{key['id']}/revoke")
        closed = self._until(
            "I8", "closed to a revoked key", lambda each: self._answer(each, keys, 401)
        )
        self._publish()
        published = self._until("I1", "at the end of a publish", self._published)
        return {"key_s": opened, "revoke_s": closed, "publish_s": published}

    def _answer(self, cluster: Cluster, keys: dict[str, dict[str, str]], wanted: int) -> bool:
        secret = keys[cluster.id]["key"]
        answers = {self._world.steady(place).status(STEADY, secret) for place in cluster.places}
        return answers == {wanted}

    def _publish(self) -> None:
        publishes = [cluster.publishes[CHANGED] for cluster in self._world.clusters]
        # No driver ever chooses this timeout, so there is something to publish.
        timeout = 20_000 + self._seed
        route = {"path": "/", "match": "prefix", "methods": ["GET"], "timeout_ms": timeout}
        path = f"/api/v1/provider/api-services/{publishes[0].service}"
        self._provider.patch(path, routes=[route])
        for publish in publishes:
            self._provider.post(f"{PUBLISHES}/{publish.id}/publish")

    def _published(self, cluster: Cluster) -> bool:
        rows = self._world.rows(
            "SELECT status FROM publishing_deployment WHERE publish_id = %s"
            " ORDER BY number DESC LIMIT 1",
            cluster.publishes[CHANGED].id,
        )
        return bool(rows[0]["status"] == "SUCCEEDED")

    def _until(self, invariant: str, what: str, holds: Callable[[Cluster], bool]) -> float:
        began, missing = time.monotonic(), list(self._world.clusters)
        while missing := [cluster for cluster in missing if not holds(cluster)]:
            if time.monotonic() - began > BOUND_SECONDS:
                for cluster in missing:
                    words = f"cluster {cluster.places[0].name[:-2]} is not {what} within"
                    self._history.violate(invariant, f"{words} {BOUND_SECONDS:.0f} s")
                break
            time.sleep(0.01)
        return round(time.monotonic() - began, 2)
