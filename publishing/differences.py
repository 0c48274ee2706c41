"""What differs between two bundles, in words that a provider knows. Pure: documents in, changes out.

Whatever a bundle says is compared, known here or not: a part that the format gains later shows up as a
section of its own, named as in the document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Document = Mapping[str, Any]
ABSENT: Document = {}
# Sections in the order in which they are told; what is not named here comes after, by name.
ORDER = ("host", "listeners", "auth", "routes", "upstreams", "backends")
# The same on both sides, always; and what follows from what else is in the document.
SILENT = frozenset(("publish_id", "schema"))
KEYS = ("id", "name", "port")  # what tells the items of a list apart, the first that they have


class Change(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Field:
    """`name` is a path as "cors.allow_origins"; "" where the section is one value. None = not set."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Difference:
    section: (
        str  # host, listeners, auth, routes, upstreams, backends, or another part of the bundle
    )
    change: Change
    id: str
    name: str  # "GET, POST /orders", "8080", "orders.svc:8080"; "" where a section has no items
    of: str  # the API service of a route or backend
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    differences: tuple[Difference, ...]

    def __bool__(self) -> bool:
        return bool(self.differences)

    @property
    def added(self) -> int:
        return self._count(Change.ADDED)

    @property
    def removed(self) -> int:
        return self._count(Change.REMOVED)

    @property
    def changed(self) -> int:
        return self._count(Change.CHANGED)

    def _count(self, change: Change) -> int:
        return sum(each.change is change for each in self.differences)


@dataclass(frozen=True, slots=True)
class Item:
    """One element of a list section, with what names it for people."""

    id: str
    name: str
    of: str
    values: Document


def compare(before: Document | None, after: Document | None) -> Comparison:
    """None = nothing is served: then everything is added, or removed."""
    old, new = _sections(before or ABSENT), _sections(after or ABSENT)
    names = [name for name in ORDER if name in old or name in new]
    names += sorted((old.keys() | new.keys()) - set(ORDER))
    found: list[Difference] = []
    for name in names:
        found += _section(name, old.get(name), new.get(name))
    return Comparison(tuple(found))


def _sections(document: Document) -> dict[str, Any]:
    """The document's parts, with the backends of all upstreams as a part of its own."""
    parts = {key: value for key, value in document.items() if key not in SILENT}
    upstreams = parts.pop("upstreams", [])
    services = {each.get("id", ""): each.get("name", "") for each in upstreams}
    if upstreams:
        bare = [{k: v for k, v in each.items() if k != "backends"} for each in upstreams]
        parts["upstreams"] = [_item("upstreams", each, "") for each in bare]
        parts["backends"] = [
            _item("backends", backend, each.get("name", ""))
            for each in upstreams
            for backend in each.get("backends", [])
        ]
    for key, value in parts.items():
        if _is_listing(value) and not all(isinstance(each, Item) for each in value):
            parts[key] = [_item(key, each, _owner(each, services)) for each in value]
    return parts


def _owner(values: Document, services: Mapping[str, str]) -> str:
    return services.get(values.get("upstream_id", ""), "")


def _is_listing(value: Any) -> bool:
    """A list of objects; a list of plain values is one value."""
    return isinstance(value, list) and bool(value) and not isinstance(value[0], str | int | float)


def _item(section: str, values: Document, of: str) -> Item:
    key = next((str(values[key]) for key in KEYS if key in values), "")
    return Item(key, _name(section, values) or key, of, values)


def _name(section: str, values: Document) -> str:
    if section == "routes":
        methods = ", ".join(values.get("methods", []))
        return f"{methods} {values.get('path', '')}".strip()
    if section == "backends":
        return f"{values.get('host', '')}:{values.get('port', '')}"
    return str(values.get("name", ""))


def _section(name: str, old: Any, new: Any) -> Iterator[Difference]:
    if any(isinstance(side, list) and side and isinstance(side[0], Item) for side in (old, new)):
        yield from _items(name, old or [], new or [])
    elif fields := _fields(old, new):
        change = _change(old, new)
        yield Difference(name, change, id="", name="", of="", fields=fields)


def _items(section: str, old: Sequence[Item], new: Sequence[Item]) -> Iterator[Difference]:
    """By id; what was made anew under the same name is one change, not a loss and a gain."""
    left, right = {_key(each): each for each in old}, {_key(each): each for each in new}
    both = [key for key in left if key in right]
    pairs: list[tuple[Item | None, Item | None]] = [(left.pop(key), right.pop(key)) for key in both]
    names = {(each.name, each.of): key for key, each in left.items() if each.name}
    for each in right.values():
        twin = left.pop(names.pop((each.name, each.of), ""), None)
        pairs.append((twin, each))
    pairs += [(each, None) for each in left.values()]
    found = [_difference(section, *pair) for pair in pairs]
    yield from sorted((each for each in found if each), key=lambda each: (each.of, each.name))


def _key(item: Item) -> str:
    return item.id or repr(sorted(item.values.items()))


def _difference(section: str, old: Item | None, new: Item | None) -> Difference | None:
    shown = new or old
    assert shown is not None
    fields = _fields(old and old.values, new and new.values)
    if old is not None and new is not None:
        fields = tuple(
            Field("service", old.of, new.of) if each.name == "upstream_id" else each
            for each in fields
        )
        if not fields:
            return None
    else:  # an id says nothing, and the service is said
        fields = tuple(each for each in fields if each.name not in {"id", "upstream_id"})
    change = _change(old, new)
    return Difference(section, change, shown.id, shown.name, shown.of, fields)


def _change(old: Any, new: Any) -> Change:
    if old is None:
        return Change.ADDED
    return Change.REMOVED if new is None else Change.CHANGED


def _fields(old: Any, new: Any) -> tuple[Field, ...]:
    left, right = dict(_flat(old)), dict(_flat(new))
    return tuple(
        Field(path, left.get(path), right.get(path))
        for path in dict.fromkeys([*left, *right])
        if left.get(path) != right.get(path)
    )


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Objects by path; lists of named objects too, so that one header is one line."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(value[key], f"{path}.{key}".strip("."))
    elif _is_named(value):
        for each in value:
            key = next(key for key in KEYS if key in each)
            rest = {name: item for name, item in each.items() if name != key}
            inner = rest["value"] if rest.keys() == {"value"} else rest or True
            yield from _flat(inner, f"{path}.{each[key]}".strip("."))
    elif value is not None:
        yield path, value


def _is_named(value: Any) -> bool:
    return _is_listing(value) and all(
        isinstance(each, Mapping) and any(key in each for key in KEYS) for each in value
    )
