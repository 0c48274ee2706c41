"""The document's values to a preview: what would become which route, and what would not, and why.

A preview is plain JSON, so that it can be kept:
{format, name, version, description, base_path, backends: [{host, port, tls}],
 routes: [{match, path, methods, operations: [{method, name, summary, deprecated}]}],
 notes: [{where, code, details, skipped}], note_count, operation_count}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from catalog import rules
from catalog.addresses import canonical
from catalog.models import METHODS, Match
from catalog.openapi import servers
from catalog.openapi.problems import Unreadable
from catalog.openapi.text import Doubled
from catalog.services.parts import MAX_ROUTES
from catalog.text import MAX_TEXT
from core.errors import InvalidInput

OPERATIONS = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
MAX_NOTES = 500
MAX_REFERENCES = 20
# Control characters, which no field takes, and halves of surrogate pairs, which no database does.
UNWANTED = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
UNWANTED_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]+")


def read(document: Any, *, source_url: str = "") -> dict[str, Any]:
    """The preview. `source_url` is what relative servers are relative to. Raises Unreadable."""
    return _Reading(document, source_url).preview()


class _Reading:
    def __init__(self, document: Any, source_url: str) -> None:
        if not isinstance(document, Mapping):
            raise Unreadable("not_object")
        self.document = document
        self.format = _format(document)
        self.source_url = source_url
        self.notes: list[dict[str, Any]] = []
        self.routes: dict[tuple[str, str], dict[str, Any]] = {}

    def preview(self) -> dict[str, Any]:
        paths = self.document.get("paths")
        _refuse_doubled(self.document, "")
        if not isinstance(paths, Mapping) or not paths:
            raise Unreadable("no_paths")
        _refuse_doubled(paths, "paths")
        self._servers()
        for path, item in paths.items():
            if not str(path).startswith("x-"):
                self._path(str(path), item)
        if self.document.get("webhooks"):
            self.note("webhooks", "webhooks")
        routes = list(self.routes.values())
        return self._about() | {
            "format": self.format,
            "base_path": self.base_path,
            "backends": self.backends,
            "routes": routes,
            "operation_count": sum(len(route["operations"]) for route in routes),
            "notes": self.notes[:MAX_NOTES],
            "note_count": len(self.notes),
        }

    def note(self, where: str, code: str, *, skipped: bool = True, **details: Any) -> None:
        """Remember what a reader should know about this place of the document."""
        kept = {
            key: plain(value, 500) if isinstance(value, str) else value
            for key, value in details.items()
        }
        self.notes.append(
            {"where": plain(where, 300), "code": code, "details": kept, "skipped": skipped}
        )

    # --- The whole -------------------------------------------------------------------------------

    def _about(self) -> dict[str, Any]:
        info = self.document.get("info")
        info = info if isinstance(info, Mapping) else {}
        description = str(info.get("description") or info.get("summary") or "")
        description = UNWANTED_BUT_LINES.sub(" ", description.replace("\r\n", "\n")).strip()
        if len(description) > MAX_TEXT:
            self.note("info.description", "cut", skipped=False, limit=MAX_TEXT)
        return {
            "name": plain(info.get("title"), 120),
            "version": plain(info.get("version"), 40) or "1.0",
            "description": description[:MAX_TEXT],
        }

    def _servers(self) -> None:
        """The first usable one gives base path and backend."""
        chosen: servers.Server | None = None
        for url in servers.urls(self.document, self.source_url):
            if chosen:
                self.note(url, "other_server", skipped=False)
                continue
            chosen = servers.usable(url)
            if chosen is None:
                self.note(url, "server", skipped=False)
        self.base_path = chosen.base_path if chosen else "/"
        self.backends = [chosen.backend] if chosen and chosen.backend else []

    # --- Paths ------------------------------------------------------------------------------------

    def _path(self, path: str, item: Any) -> None:
        if not path.startswith("/"):
            self.note(path, "no_slash")
            return
        found = self._resolved(path, item)
        if found is None:
            return
        _refuse_doubled(found, path)
        if found.get("servers"):
            self.note(path, "servers", skipped=False)
        operations = list(self._operations(path, found))
        route = self._route(path) if operations else None
        if route:
            self._merge(path, route, operations)

    def _resolved(self, path: str, item: Any) -> Mapping[str, Any] | None:
        """The path item itself, behind any references inside this document."""
        seen: set[str] = set()
        while isinstance(item, Mapping) and isinstance(item.get("$ref"), str):
            ref = item["$ref"]
            target = self._at(ref)
            if not isinstance(target, Mapping) or ref in seen or len(seen) > MAX_REFERENCES:
                self.note(path, _wrong_with(ref, target), ref=ref)
                return None
            seen.add(ref)
            item = {**target, **{key: value for key, value in item.items() if key != "$ref"}}
        if isinstance(item, Mapping):
            return item
        self.note(path, "malformed")
        return None

    def _at(self, ref: str) -> Any:
        """What a JSON pointer of this document points to; nothing of another document."""
        if not ref.startswith("#"):
            return None
        value: Any = self.document
        for part in ref.lstrip("#").split("/")[1:]:
            if not isinstance(value, Mapping):
                return None
            value = value.get(_unescaped(part))
        return value

    def _operations(self, path: str, item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        named = [(str(key), value) for key, value in item.items() if str(key).lower() in OPERATIONS]
        if not named:
            self.note(path, "no_methods")
        for key, operation in named:
            method = key.upper()
            if method not in METHODS:
                self.note(path, "method", method=method)
                continue
            said = operation if isinstance(operation, Mapping) else {}
            if said.get("servers"):
                self.note(f"{method} {path}", "servers", skipped=False)
            yield {
                "method": method,
                "name": plain(said.get("operationId"), 120),
                "summary": plain(said.get("summary"), 160),
                "deprecated": said.get("deprecated") is True,
            }

    def _route(self, path: str) -> dict[str, Any] | None:
        """The path in our terms, without methods yet."""
        match = Match.EXACT
        wanted = path
        if path != "/" and path.endswith("/"):
            wanted, match = path.rstrip("/") or "/", Match.PREFIX
            self.note(path, "trailing", skipped=False)
        try:
            known = rules.route({"match": match, "path": wanted, "methods": ["GET"]})
        except InvalidInput:
            self.note(path, "refused", match=match.value, path=wanted)
            return None
        return {"match": match.value, "path": known["path"], "methods": [], "operations": []}

    def _merge(self, path: str, route: dict[str, Any], operations: list[dict[str, Any]]) -> None:
        """One route per path; two paths that match the same calls are one."""
        key = (route["match"], canonical(route["path"]))
        if key not in self.routes and len(self.routes) >= MAX_ROUTES:
            self.note(path, "too_many", limit=MAX_ROUTES)
            return
        kept = self.routes.setdefault(key, route)
        for operation in operations:
            if operation["method"] in kept["methods"]:
                self.note(path, "taken", method=operation["method"], path=kept["path"])
                continue
            kept["methods"] = sorted([*kept["methods"], operation["method"]])
            kept["operations"].append(operation)


def plain(value: Any, limit: int) -> str:
    """One line of at most `limit` characters."""
    text = value if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return UNWANTED.sub(" ", str(text)).strip()[:limit].strip()


def _format(document: Mapping[str, Any]) -> str:
    if str(document.get("swagger", "")) in {"2.0", "2"}:
        return "Swagger 2.0"
    version = document.get("openapi")
    if version is None:
        raise Unreadable("not_openapi")
    if not re.match(r"3\.[01](\.|$)", str(version)):
        raise Unreadable("version", version=plain(version, 20) or "?")
    return f"OpenAPI {plain(version, 20)}"


def _refuse_doubled(found: Mapping[str, Any], where: str) -> None:
    if isinstance(found, Doubled) and found.twice:
        key = min(found.twice)
        raise Unreadable("twice", key=plain(f"{where}: {key}" if where else key, 300))


def _wrong_with(ref: str, target: Any) -> str:
    """Why a reference leads nowhere."""
    if not ref.startswith("#"):
        return "remote"
    return "circular" if isinstance(target, Mapping) else "missing"


def _unescaped(part: str) -> str:
    return unquote(part).replace("~1", "/").replace("~0", "~")
