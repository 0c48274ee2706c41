"""What people do, at random: publish, change, roll back, withdraw, cancel, hand out keys and revoke them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import httpx

from deploy.local.faults.history import History
from deploy.local.faults.people import PUBLISHES, RIVAL, People, new_key
from deploy.local.faults.world import FRAGILE, KEYED, Cluster, Publish, World
from deploy.local.smoke.portal import SmokeError

CRASH = "internal_error"


class Driver(threading.Thread):
    """One person of each kind. Refusals are part of life; a crash of the portal is none."""

    def __init__(
        self, world: World, people: People, history: History, rng: random.Random, name: str
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._world, self._history, self._rng = world, history, rng
        self._over = threading.Event()
        self._providers, self._consumer = people.providers, people.consumer
        self.done = 0

    def end(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        deeds: list[tuple[Callable[[Cluster, Publish], str], int]] = [
            (self._publish, 4),
            (self._change, 7),
            (self._roll_back, 4),
            (self._withdraw, 5),
            (self._regret, 3),
            (self._cancel, 2),
            (self._trespass, 1),
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
                self.name, f"{act.__name__[1:]} {publish.place}: {self._try(act, cluster, publish)}"
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

    # --- The providers ---

    def _ask(self, publish: Publish, verb: str, **words: Any) -> str:
        row = self._providers[publish.owner].post(f"{PUBLISHES}/{publish.id}/{verb}", **words)
        opened = row.get("open_deployment")
        # It may be over by the time the answer is written.
        return f"#{opened['number']}" if opened else "done already"

    def _publish(self, _cluster: Cluster, publish: Publish) -> str:
        return self._ask(publish, "publish")

    def _withdraw(self, _cluster: Cluster, publish: Publish) -> str:
        return self._ask(publish, "withdraw")

    def _change(self, _cluster: Cluster, publish: Publish) -> str:
        """Another revision, or an old one again: three timeouts to choose from."""
        timeout = self._rng.choice([5_000, 10_000, 15_000])
        route = {"path": "/", "match": "prefix", "methods": ["GET"], "timeout_ms": timeout}
        path = f"/api/v1/provider/api-services/{publish.service}"
        self._providers[publish.owner].patch(path, routes=[route])
        return f"timeout {timeout}, {self._ask(publish, 'publish')}"

    def _roll_back(self, _cluster: Cluster, publish: Publish) -> str:
        rows = self._providers[publish.owner].rows(
            f"{PUBLISHES}/{publish.id}/revisions", page_size=50
        )
        if not rows:
            return "no revision yet"
        number = self._rng.choice([row["number"] for row in rows])
        return f"to {number}, {self._ask(publish, 'rollback', revision=number)}"

    def _regret(self, _cluster: Cluster, publish: Publish) -> str:
        """A click and its cancellation at once: only what nobody has been sent yet can be cancelled."""
        return f"{self._change(_cluster, publish)}, {self._cancel(_cluster, publish)}"

    def _cancel(self, _cluster: Cluster, publish: Publish) -> str:
        provider = self._providers[publish.owner]
        rows = provider.rows(f"{PUBLISHES}/{publish.id}/deployments", page_size=1)
        if not rows or rows[0]["status"] != "QUEUED":
            return f"#{rows[0]['number']} is {rows[0]['status']}" if rows else "nothing to cancel"
        provider.post(f"/api/v1/provider/deployments/{rows[0]['id']}/cancel")
        return f"#{rows[0]['number']} cancelled"

    def _trespass(self, cluster: Cluster, _publish: Publish) -> str:
        """Another's host is never to be had: the steady publish is always there."""
        self._providers[RIVAL].post(f"{PUBLISHES}/{cluster.trespass}/publish")
        self._history.violate("I6", f"publish {cluster.trespass} took a host of another provider")
        return "went out"

    # --- The consumer ---

    def _new_key(self, cluster: Cluster, _publish: Publish) -> str:
        publish = self._rng.choice(cluster.publishes[:KEYED])
        subscriptions = self._consumer.rows("/api/v1/customer/subscriptions", page_size=100)
        mine = [each for each in subscriptions if each["plan"]["id"] == publish.plan]
        key = new_key(self._consumer, mine[0]["id"])
        self._world.keep_key(key, publish)
        return f"{key['id'][:8]} for {publish.place}"

    def _revoke(self, _cluster: Cluster, _publish: Publish) -> str:
        key_id = self._rng.choice(sorted(self._world.keys))
        self._consumer.post(f"/api/v1/customer/credentials/{key_id}/revoke")
        return f"{key_id[:8]} of {self._world.key_publishes[key_id].place}"
