"""What the rows of the database must say at the end of a round, and what may be where: I2, I4, I6."""

from __future__ import annotations

from collections import Counter

from deploy.local.faults.history import History
from deploy.local.faults.sight import Route, generation_on_disk, on_disk, served_by
from deploy.local.faults.world import Place, World

TOLD = {
    "SUCCEEDED": ("published", "withdrawn"),
    "FAILED": ("failed",),
    "SUPERSEDED": ("superseded",),
    "CANCELLED": ("cancelled",),
}
ENDS = [kind for kinds in TOLD.values() for kind in kinds]


class Ledger:
    def __init__(self, world: World, history: History) -> None:
        self._world, self._history = world, history

    def verify(self) -> None:
        """What needs no time to become so."""
        self._check_ends()
        self._check_verdicts()
        self._check_generations()
        self._check_claims()
        for place in self._world.places:
            self._check_tenants(place)
            self._check_routes(place)

    # --- I4: one effect for each deployment ---

    def _check_ends(self) -> None:
        rows = self._world.rows(
            "SELECT d.id::text, d.status, array_agg(e.kind) FILTER (WHERE e.kind = ANY(%s)) AS told"
            " FROM publishing_deployment d LEFT JOIN publishing_publishevent e ON e.deployment_id = d.id"
            " WHERE d.finished_at IS NOT NULL GROUP BY d.id, d.status",
            ENDS,
        )
        for row in rows:
            told = Counter(row["told"] or ())
            if told.total() != 1 or not told.keys() <= set(TOLD[row["status"]]):
                words = f"deployment {row['id']} is {row['status']}, told {dict(told)}"
                self._history.violate("I4", words)

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

    # --- I2: what was acknowledged is still there ---

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

    # --- I6: nothing of one tenant or cluster at another's ---

    def _check_tenants(self, place: Place) -> None:
        """Nothing of another cluster is on an agent's disk."""
        own = self._world.cluster_of(place).id
        foreign = [
            row["id"]
            for row in self._world.rows(
                "SELECT id::text FROM publishing_productpublish WHERE cluster_id <> %s", own
            )
        ]
        state = self._world.stack.agent_state(place.name)
        queries = ("SELECT body FROM bundles", "SELECT entry FROM access")
        held = b"".join(bytes(blob) for query in queries for (blob,) in on_disk(state, query))
        for each in foreign:
            if each.encode() in held:
                self._history.violate("I6", f"{place.name} has publish {each} of another cluster")

    def _check_routes(self, place: Place) -> None:
        """What Envoy routes is what is claimed on its cluster, by the same publish, in a host of its own."""
        rows = self._world.rows(
            "SELECT r.port, r.host, r.match, r.path, r.method, r.publish_id::text AS publish,"
            " h.organization_id = p.organization_id AS own"
            " FROM publishing_routeclaim r JOIN publishing_productpublish p ON p.id = r.publish_id"
            " LEFT JOIN publishing_hostclaim h ON h.cluster_id = r.cluster_id AND h.host = r.host"
            " WHERE r.cluster_id = %s",
            self._world.cluster_of(place).id,
        )
        claimed = {
            Route(row["port"], row["host"], row["match"], _whole(row), row["method"]): row[
                "publish"
            ]
            for row in rows
        }
        for row in rows:
            if not row["own"]:
                self._history.violate("I6", f"{row['host']} is another's: {row['publish']}")
        served = served_by(self._world.stack.admin_socket(place.name)).routes
        for route in served.keys() | claimed.keys():
            if served.get(route) != claimed.get(route):
                words = f"{tuple(route)} is {served.get(route)}'s, claimed by {claimed.get(route)}"
                self._history.violate("I6", f"{place.name}: {words}")

    def _check_claims(self) -> None:
        rows = self._world.rows(
            "SELECT p.id::text, p.live_revision_id IS NOT NULL AS live, count(c.id) AS claims"
            " FROM publishing_productpublish p LEFT JOIN publishing_routeclaim c ON c.publish_id = p.id"
            " GROUP BY p.id"
        )
        for row in rows:
            if row["live"] != (row["claims"] > 0):
                self._history.violate("I1", f"claims and what is live differ: {row}")


def _whole(row: dict[str, str]) -> str:
    """A prefix is whole segments."""
    return row["path"] if row["match"] == "exact" else row["path"].rstrip("/") or "/"
