"""What must be so once all is healed: database, agents' disks, Envoy's own words and its answers agree."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from typing import Any

import httpx
import psycopg

from deploy.local.faults.history import History
from deploy.local.faults.watch import envoy_dump, generation_on_disk
from deploy.local.faults.world import STEADY, Cluster, Place, Publish, World

CONVERGE_SECONDS = 60
TOLD = {
    "SUCCEEDED": ("published", "withdrawn"),
    "FAILED": ("failed",),
    "SUPERSEDED": ("superseded",),
    "CANCELLED": ("cancelled",),
}
ENDS = tuple(kind for kinds in TOLD.values() for kind in kinds)


class Checker:
    def __init__(self, world: World, history: History) -> None:
        self._world, self._history = world, history

    def converge(self) -> float:
        """Wait until everything agrees; seconds. What still differs after a minute is a violation of I1."""
        began = time.monotonic()
        while differences := self._differences():
            if time.monotonic() - began > CONVERGE_SECONDS:
                for each in differences[:12]:
                    self._history.violate("I1", each)
                break
            time.sleep(0.3)
        return time.monotonic() - began

    def verify(self) -> None:
        """What needs no time to become so."""
        self._check_ends()
        self._check_verdicts()
        self._check_generations()
        self._check_tenants()
        self._check_claims()

    # --- I1: what is wanted is what is served, everywhere ---

    def _differences(self) -> list[str]:
        try:
            found = self._unsettled()
            return (
                found
                or [each for place in self._world.places for each in self._unlike(place)]
                or self._wrong_answers()
            )
        except (psycopg.Error, httpx.HTTPError, sqlite3.Error, OSError) as error:
            return [f"cannot look: {error!r}"[:200]]

    def _unsettled(self) -> list[str]:
        opened = self._world.rows(
            "SELECT publish_id::text, number, status, detail FROM publishing_deployment"
            " WHERE finished_at IS NULL"
        )
        behind = self._world.rows(
            "SELECT a.name, a.settled_generation, s.desired_generation, a.access_version,"
            " s.access_version AS wanted_access, a.last_error FROM clusters_agent a"
            " JOIN clusters_clusterstate s USING (cluster_id)"
            " WHERE a.settled_generation <> s.desired_generation OR a.access_version <> s.access_version"
        )
        unwanted = self._world.rows(
            "SELECT id::text, status FROM publishing_productpublish"
            " WHERE wanted_revision_id IS DISTINCT FROM live_revision_id"
        )
        return [
            *(f"deployment still open: {row}" for row in opened),
            *(f"agent behind: {row}" for row in behind),
            *(f"wanted is not live: {row}" for row in unwanted),
        ]

    def _wanted(self, place: Place) -> dict[str, str]:
        rows = self._world.rows(
            "SELECT p.id::text, r.digest FROM publishing_productpublish p"
            " JOIN publishing_publishrevision r ON r.id = p.live_revision_id"
            " WHERE p.cluster_id = %s",
            self._cluster_of(place).id,
        )
        return {row["id"]: row["digest"] for row in rows}

    def _unlike(self, place: Place) -> list[str]:
        wanted = self._wanted(place)
        dump = envoy_dump(self._world.stack.admin_socket(place.name))
        served = {publish: next(iter(by_port.values())) for publish, by_port in dump.items()}
        reported = self._world.rows(
            "SELECT s.publish_id::text, s.revision FROM publishing_agentpublish s"
            " JOIN clusters_agent a ON a.id = s.agent_id WHERE a.name = %s AND s.revision <> ''",
            place.name,
        )
        views = {
            "Envoy serves": served,
            "its disk says": dict(self._disk(place, "SELECT publish_id, revision FROM served")),
            "the portal shows": {row["publish_id"]: row["revision"] for row in reported},
        }
        return [
            f"{place.name}: {view} {self._delta(has, wanted)}"
            for view, has in views.items()
            if has != wanted
        ]

    def _delta(self, has: dict[str, str], wanted: dict[str, str]) -> str:
        differ = [each for each in has.keys() | wanted.keys() if has.get(each) != wanted.get(each)]
        return ", ".join(
            f"{each[:8]} at {has.get(each, 'nothing')[:8]}, not {wanted.get(each, 'nothing')[:8]}"
            for each in differ
        )

    def _disk(self, place: Place, query: str) -> list[Any]:
        file = self._world.stack.agent_state(place.name) / "agent.db"
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=2)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    # --- I1 and I8 as callers see it ---

    def _wrong_answers(self) -> list[str]:
        revoked = {
            row["id"]
            for row in self._world.rows(
                "SELECT id::text FROM subscriptions_credential WHERE revoked_at IS NOT NULL"
            )
        }
        return [
            words
            for cluster in self._world.clusters
            for place in cluster.places
            for words in self._wrong_at(cluster, place, revoked)
        ]

    def _wrong_at(self, cluster: Cluster, place: Place, revoked: set[str]) -> list[str]:
        wanted, found = self._wanted(place), []
        steady = self._world.gateway(place).status(STEADY)
        if steady != 200:
            found.append(f"{place.name}: {STEADY} answers {steady}")
        for publish in cluster.publishes:
            gateway = self._world.gateway(place, publish.port)
            shared = publish.port == self._world.stack.ports.gateway
            for key_id in self._keys_of(publish):
                live = publish.id in wanted
                right = (401 if key_id in revoked else 200) if live else 404
                # A port without any publish is closed.
                good = {right} if live or shared else {404, 0}
                got = gateway.status(publish.path, self._world.keys.get(key_id))
                if got not in good:
                    found.append(
                        f"{place.name}: {publish.path} answers {got}, not {right}, to key {key_id[:8]}"
                    )
        return found

    def _keys_of(self, publish: Publish) -> list[str]:
        """Its keys; for a public one a call without any."""
        if not publish.plan:
            return [""]
        return [key for key, path in self._world.key_paths.items() if path == publish.path]

    # --- I2, I4, I6 ---

    def _check_ends(self) -> None:
        rows = self._world.rows(
            "SELECT d.id::text, d.status, array_agg(e.kind) FILTER (WHERE e.kind = ANY(%s)) AS told"
            " FROM publishing_deployment d LEFT JOIN publishing_publishevent e ON e.deployment_id = d.id"
            " WHERE d.finished_at IS NOT NULL GROUP BY d.id, d.status",
            list(ENDS),
        )
        for row in rows:
            told = Counter(row["told"] or ())
            if told.total() != 1 or not told.keys() <= set(TOLD[row["status"]]):
                self._history.violate(
                    "I4", f"deployment {row['id']} is {row['status']}, told {dict(told)}"
                )

    def _check_verdicts(self) -> None:
        rows = self._world.rows(
            "SELECT d.id::text, d.status, d.kind,"
            " count(*) FILTER (WHERE v.outcome = 'failed') AS failed,"
            " count(*) FILTER (WHERE v.outcome = 'applied') AS applied"
            " FROM publishing_deployment d LEFT JOIN publishing_deploymentverdict v"
            " ON v.deployment_id = d.id WHERE d.status IN ('SUCCEEDED', 'FAILED')"
            " GROUP BY d.id, d.status, d.kind"
        )
        for row in rows:
            wrong = row["failed"] == 0 if row["status"] == "FAILED" else row["failed"] > 0
            if wrong or (row["status"] == "SUCCEEDED" and row["applied"] == 0):
                self._history.violate("I4", f"verdicts and end differ: {row}")

    def _check_generations(self) -> None:
        acked = self._world.rows(
            "SELECT a.name, max(d.generation) AS generation FROM publishing_deploymentverdict v"
            " JOIN publishing_deployment d ON d.id = v.deployment_id"
            " JOIN clusters_agent a ON a.id = v.agent_id WHERE v.outcome = 'applied' GROUP BY a.name"
        )
        for row in acked:
            held = generation_on_disk(self._world.stack.agent_state(row["name"]))
            if held < row["generation"]:
                words = f"{row['name']} holds generation {held}, acknowledged {row['generation']}"
                self._history.violate("I2", words)

    def _check_tenants(self) -> None:
        """Nothing of another cluster is on an agent's disk or in its Envoy."""
        rows = self._world.rows("SELECT id::text, cluster_id::text FROM publishing_productpublish")
        for place in self._world.places:
            own = self._cluster_of(place).id
            foreign = {row["id"] for row in rows if row["cluster_id"] != own}
            blobs = [
                bytes(blob)
                for query in ("SELECT body FROM bundles", "SELECT entry FROM access")
                for (blob,) in self._disk(place, query)
            ]
            served = envoy_dump(self._world.stack.admin_socket(place.name)).keys()
            there = {each for each in foreign if any(each.encode() in blob for blob in blobs)}
            for each in there | (foreign & served):
                self._history.violate("I6", f"{place.name} has publish {each} of another cluster")

    def _check_claims(self) -> None:
        rows = self._world.rows(
            "SELECT p.id::text, p.live_revision_id IS NOT NULL AS live, count(c.id) AS claims"
            " FROM publishing_productpublish p LEFT JOIN publishing_routeclaim c ON c.publish_id = p.id"
            " GROUP BY p.id"
        )
        for row in rows:
            if row["live"] != (row["claims"] > 0):
                self._history.violate("I1", f"claims and what is live differ: {row}")

    def _cluster_of(self, place: Place) -> Cluster:
        return next(each for each in self._world.clusters if place in each.places)
