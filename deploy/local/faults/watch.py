"""What must never be, at no moment: looked for all the time, by two threads."""

from __future__ import annotations

import threading
import time

import psycopg

from deploy.local.faults.history import History
from deploy.local.faults.intruder import MARK
from deploy.local.faults.sight import generation_on_disk
from deploy.local.faults.world import STEADY, Place, World
from deploy.local.smoke.portal import Gateway

LOOK_SECONDS = 0.4
CALL_SECONDS = 0.02
WITHOUT_KEY = 5  # one call of so many


class Watch(threading.Thread):
    """I2, I3, I5 and I8 from the database, the agents' disks and the gateways; I7 by calling them."""

    def __init__(self, world: World, history: History) -> None:
        super().__init__(name="watch", daemon=True)
        self._world, self._history = world, history
        self._over = threading.Event()
        self._caller = threading.Thread(target=self._call_steadily, name="caller", daemon=True)
        self._epochs: dict[str, int] = {}
        self._generations: dict[str, int] = {}
        self._ended: dict[str, str] = {}  # deployment -> how, once it is over
        self._verdicts: dict[str, str] = {}
        self.calls = 0

    def end(self) -> None:
        self._over.set()
        self.join()
        self._caller.join()

    def run(self) -> None:
        self._caller.start()
        while not self._over.wait(LOOK_SECONDS):
            self._look_at_disks()
            try:
                self._look_at_database()
            except psycopg.Error:
                continue  # PostgreSQL is away, as it should be now and then

    # --- I3: what an agent applied only ever grows ---

    def _look_at_disks(self) -> None:
        for place in self._world.places:
            generation = generation_on_disk(self._world.stack.agent_state(place.name))
            self._grows(self._generations, place.name, generation, "I3 applied generation")

    def _grows(self, known: dict[str, int], name: str, value: int, what: str) -> None:
        if value < known.get(name, 0):
            self._history.violate(what, f"of {name} fell from {known[name]} to {value}")
        known[name] = max(value, known.get(name, 0))

    # --- I2, I4, I5 ---

    def _look_at_database(self) -> None:
        for row in self._world.rows("SELECT id, name, session_epoch FROM clusters_agent"):
            self._grows(self._epochs, row["name"], row["session_epoch"], "I5 session epoch")
        ends = self._world.rows(
            "SELECT id::text, status FROM publishing_deployment WHERE finished_at IS NOT NULL"
        )
        self._stays(
            self._ended, {row["id"]: row["status"] for row in ends}, "I4 the end of deployment"
        )
        words = self._world.rows(
            "SELECT id::text, outcome FROM publishing_deploymentverdict"
            " WHERE outcome IN ('applied', 'failed')"
        )
        self._stays(self._verdicts, {row["id"]: row["outcome"] for row in words}, "I4 the verdict")
        self._look_for_lies()
        self._look_at_revocations()

    def _stays(self, known: dict[str, str], now: dict[str, str], what: str) -> None:
        """What was final stays as it was."""
        for pk, value in known.items():
            if now.get(pk) != value:
                self._history.violate(what, f"{pk} was {value} and is {now.get(pk, 'gone')}")
        known |= now

    def _look_for_lies(self) -> None:
        """What an intruder said in a session that was over: the agent's next report would cover it up."""
        rows = self._world.rows(
            "SELECT 'a verdict' AS what, deployment_id::text AS id FROM publishing_deploymentverdict"
            "  WHERE error LIKE %s"
            " UNION ALL SELECT 'the row', name FROM clusters_agent WHERE last_error LIKE %s",
            *[f"{MARK}%"] * 2,
        )
        for row in rows:
            self._history.violate(
                "I5", f"{row['what']} of {row['id']} says what an old session said"
            )

    # --- I8: an acknowledged revocation holds ---

    def _look_at_revocations(self) -> None:
        revoked = self._world.rows(
            "SELECT c.id::text, a.name FROM subscriptions_credential c"
            " JOIN subscriptions_subscription s ON s.id = c.subscription_id"
            " JOIN publishing_productpublish p ON p.id = s.publish_id"
            " JOIN clusters_agent a ON a.cluster_id = p.cluster_id"
            " WHERE c.revoked_version <= a.access_version"
            " ORDER BY c.revoked_at DESC LIMIT 4"
        )
        places = {place.name: place for place in self._world.places}
        for row in revoked:
            self._refuses(places[row["name"]], row["id"])

    def _refuses(self, place: Place, key_id: str) -> None:
        if key_id not in self._world.keys:
            return
        publish = self._world.key_publishes[key_id]
        gateway = self._world.gateway(place, publish.host)
        if gateway.status(publish.path, self._world.keys[key_id]) == 200:
            words = f"{place.name} serves revoked key {key_id[:8]} on {publish.place}"
            self._history.violate("I8", words)

    # --- I7: gateways serve, whatever happens to the control plane ---

    def _call_steadily(self) -> None:
        """With its key, and now and then without: a gateway that forgot its keys must not open either."""
        gateways = {place.name: self._world.steady(place) for place in self._world.places}
        while not self._over.is_set():
            for place in self._world.places:
                key = self._world.cluster_of(place).steady_key
                self._call(place, gateways[place.name], key, 200)
                if self.calls % WITHOUT_KEY == 0:
                    self._call(place, gateways[place.name], None, 401)
                time.sleep(CALL_SECONDS)

    def _call(self, place: Place, gateway: Gateway, key: str | None, wanted: int) -> None:
        was_harmed = place.harmed
        status = gateway.status(STEADY, key)
        self.calls += 1
        if status == 200 and key is None:
            self._history.violate("I8", f"{place.name} serves {STEADY} without a key")
        elif status == 200 and place.mending:
            place.harmed = place.mending = False
        elif not (was_harmed or place.harmed) and status != wanted:
            self._history.violate("I7", f"{place.name} answered {status}, not {wanted}")
