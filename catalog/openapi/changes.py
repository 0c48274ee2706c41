"""What a document would change about the routes that a service has. Pure: rows and previews in, rows out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.addresses import canonical
from catalog.models import Route

OWN = [column.attname for column in Route._meta.concrete_fields if column.name != "service"]


@dataclass(frozen=True, slots=True)
class Change:
    kind: str  # added | changed | removed | kept
    match: str
    path: str
    methods: list[str]  # that stay
    more: list[str] = field(default_factory=list)  # methods that come
    less: list[str] = field(default_factory=list)  # methods that go
    operations: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Changes:
    rows: list[Change]
    routes: list[dict[str, Any]]  # for catalog.services.apis: what the service's routes would be

    def of(self, kind: str) -> list[Change]:
        return [row for row in self.rows if row.kind == kind]

    @property
    def counts(self) -> dict[str, int]:
        return {kind: len(self.of(kind)) for kind in ("added", "changed", "removed", "kept")}

    @property
    def any(self) -> bool:
        return any(row.kind != "kept" for row in self.rows)

    @property
    def fingerprint(self) -> str:
        """Two equal ones mean the same changes: whoever applies says which he saw."""
        told = [
            (row.kind, row.match, row.path, row.methods, row.more, row.less) for row in self.rows
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def compare(
    wanted: Iterable[Mapping[str, Any]], existing: Sequence[Route], *, remove_missing: bool = True
) -> Changes:
    """Routes keep their id and settings. Those of one path that were split by hand stay split."""
    by_path: dict[tuple[str, str], list[Route]] = {}
    for row in existing:
        by_path.setdefault((row.match, canonical(row.path)), []).append(row)
    rows: list[Change] = []
    routes: list[dict[str, Any]] = []
    for route in wanted:
        present = by_path.pop((route["match"], canonical(route["path"])), [])
        rows.append(_change(route, present))
        routes += _adjusted(present, route["methods"]) if present else [_new(route)]
    for left in (row for group in by_path.values() for row in group):
        gone = remove_missing
        methods = list(left.methods)
        rows.append(
            Change(
                "removed" if gone else "kept",
                left.match,
                left.path,
                [] if gone else methods,
                less=methods if gone else [],
            )
        )
        routes += [] if gone else [_values(left)]
    # What stays as it is comes last: nobody looks for it.
    return Changes(sorted(rows, key=lambda row: (row.kind == "kept", row.path, row.match)), routes)


def _change(route: Mapping[str, Any], present: Sequence[Route]) -> Change:
    wanted = set(route["methods"])
    had = {method for row in present for method in row.methods}
    kind = "added" if not present else "kept" if had == wanted else "changed"
    return Change(
        kind,
        route["match"],
        present[0].path if present else route["path"],
        sorted(had & wanted),
        sorted(wanted - had),
        sorted(had - wanted),
        list(route.get("operations", [])),
    )


def _adjusted(present: Sequence[Route], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Each route keeps the methods that stay; new ones join the first."""
    found = [_values(row) for row in present]
    new = set(wanted) - {method for row in present for method in row.methods}
    for values in found:
        values["methods"] = sorted((set(values["methods"]) & set(wanted)) | new)
        new = set()
    return [values for values in found if values["methods"]]


def _new(route: Mapping[str, Any]) -> dict[str, Any]:
    return {"match": route["match"], "path": route["path"], "methods": route["methods"]}


def _values(row: Route) -> dict[str, Any]:
    return {name: getattr(row, name) for name in OWN}
