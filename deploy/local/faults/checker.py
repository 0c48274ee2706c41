"""What must be so once all is healed: database, agents' disks, Envoy's own words and its answers agree."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping

import httpx
import psycopg

from deploy.local.faults.history import History
from deploy.local.faults.people import HOSTS, PROVIDER, RIVAL
from deploy.local.faults.sight import on_disk, served_by
from deploy.local.faults.world import STEADY, Cluster, Place, Publish, World

CONVERGE_SECONDS = 60


class Checker:
    """I1, and I8 as callers see it."""

    def __init__(self, world: World, history: History) -> None:
        self._world, self._history = world, history

    def converge(self) -> float:
        """Wait until everything agrees; seconds. What still differs after a minute is a violation of I1."""
        began, last = time.monotonic(), ""
        while differences := self._differences():
            if differences[0] != last:
                last = differences[0]
                self._history.note("checker", f"not yet: {last}"[:300])
            if time.monotonic() - began > CONVERGE_SECONDS:
                for each in differences[:12]:
                    self._history.violate("I1", each)
                break
            time.sleep(0.3)
        return time.monotonic() - began

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
            "SELECT d.publish_id::text, d.number, d.status, d.detail,"
            " array_agg(a.name || ' ' || v.outcome) AS verdicts"
            " FROM publishing_deployment d"
            " LEFT JOIN publishing_deploymentverdict v ON v.deployment_id = d.id"
            " LEFT JOIN clusters_agent a ON a.id = v.agent_id"
            " WHERE d.finished_at IS NULL GROUP BY d.id"
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
            self._world.cluster_of(place).id,
        )
        return {row["id"]: row["digest"] for row in rows}

    def _unlike(self, place: Place) -> list[str]:
        wanted, stack = self._wanted(place), self._world.stack
        reported = self._world.rows(
            "SELECT s.publish_id::text, s.revision FROM publishing_agentpublish s"
            " JOIN clusters_agent a ON a.id = s.agent_id WHERE a.name = %s AND s.revision <> ''",
            place.name,
        )
        held = on_disk(stack.agent_state(place.name), "SELECT publish_id, revision FROM served")
        views = {
            "Envoy serves": served_by(stack.admin_socket(place.name)).revisions,
            "its disk says": dict(held),
            "the portal shows": {row["publish_id"]: row["revision"] for row in reported},
        }
        return [
            f"{place.name}: {view} {_delta(has, wanted)}"
            for view, has in views.items()
            if has != wanted
        ]

    # --- As callers see it ---

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
        steady = self._world.steady(place).status(STEADY, cluster.steady_key)
        if steady != 200:
            found.append(f"{place.name}: {STEADY} answers {steady}")
        for publish in cluster.publishes:
            keys = self._keys_of(publish)
            for key_id in keys:
                live = publish.id in wanted
                right = (401 if key_id in revoked else 200) if live else 404
                got = self._answer(place, publish, publish.host, key_id)
                if got not in self._good(publish, right):
                    asked = f"{publish.place} answers {got}, not {right}, to key {key_id[:8]}"
                    found.append(f"{place.name}: {asked}")
            stranger = HOSTS[RIVAL if publish.owner == PROVIDER else PROVIDER]
            if self._answer(place, publish, stranger, keys[0]) not in {404, 0}:
                found.append(f"{place.name}: {publish.place} is served at {stranger} as well")
        return found

    def _good(self, publish: Publish, right: int) -> set[int]:
        """A port without any publish is closed."""
        shared = publish.port == self._world.stack.ports.gateway
        return {right} if shared or right != 404 else {404, 0}

    def _answer(self, place: Place, publish: Publish, host: str, key_id: str) -> int:
        gateway = self._world.gateway(place, host, publish.port)
        return gateway.status(publish.path, self._world.keys.get(key_id))

    def _keys_of(self, publish: Publish) -> list[str]:
        """Its keys; for a public one a call without any."""
        if not publish.plan:
            return [""]
        return [key for key, what in self._world.key_publishes.items() if what is publish]


def _delta(has: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    differ = [each for each in has.keys() | wanted.keys() if has.get(each) != wanted.get(each)]
    return ", ".join(
        f"{each[:8]} at {has.get(each, 'nothing')[:8]}, not {wanted.get(each, 'nothing')[:8]}"
        for each in differ
    )
