"""Text to plain values, JSON or YAML, within bounds that no document can talk its way out of.

YAML is built from the parser's events, not by PyYAML's own constructor: that one crashes the process on
deep nesting, expands merge keys without a limit, and reads versions as numbers and dates.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import yaml

from catalog.openapi.problems import MAX_BYTES, MEGABYTES, Unreadable

MAX_DEPTH = 100
MAX_PARTS = 1_000_000  # values in all, counting an alias as what it repeats
NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]{0,15})")
WORDS = {"null": None, "~": None, "": None, "true": True, "false": False}
MERGE = "<<"


class Doubled(dict):
    """An object of which some keys were written twice; the last one counts."""

    def __init__(self, *pairs: Any) -> None:
        super().__init__(*pairs)
        self.twice: set[str] = set()


def load(raw: bytes) -> Any:
    """The document's values. Raises Unreadable."""
    if len(raw) > MAX_BYTES:
        raise Unreadable("too_large", megabytes=f"{len(raw) / 1024**2:.1f}", limit=MEGABYTES)
    text = decoded(raw)
    if not text.strip():
        raise Unreadable("empty")
    return _json(text) if text.lstrip()[0] in "{[" and _looks_json(text) else _yaml(text)


def decoded(raw: bytes) -> str:
    """Text that PostgreSQL can keep. Raises Unreadable."""
    encoding = "utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable("encoding") from None
    if "\x00" in text:
        raise Unreadable("encoding")
    return text


def _looks_json(text: str) -> bool:
    """YAML may begin with a brace, too; but then it has no quote right after it."""
    return bool(re.match(r'\s*(\{\s*("|\})|\[)', text))


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise Unreadable("deep", limit=MAX_DEPTH) from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            "json", line=error.lineno, column=error.colno, reason=error.msg.lower()
        ) from None
    except ValueError:  # a number of thousands of digits
        raise Unreadable("json", line=1, column=1, reason="number too long") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = Doubled(pairs)
    if len(found) < len(pairs):
        found.twice = {key for key, times in Counter(key for key, _ in pairs).items() if times > 1}
    return found


def _yaml(text: str) -> Any:
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(
            "yaml",
            line=mark.line + 1 if mark else 1,
            column=mark.column + 1 if mark else 1,
            reason=error.problem or error.context or "",
        ) from None
    except yaml.YAMLError as error:
        raise Unreadable(
            "yaml", line=1, column=1, reason=str(error).splitlines()[0][:200]
        ) from None
    return builder.result


class _Open:
    """A collection whose end has not come yet."""

    __slots__ = ("anchor", "key", "merged", "parts_before", "value", "waits")

    def __init__(self, value: Any, anchor: str | None, parts_before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.parts_before = parts_before
        self.key: Any = None
        self.waits = False  # a key was read, its value was not
        self.merged: list[Any] = []


class _Builder:
    """Values from events. Its stack is a list, so depth costs nothing but what MAX_DEPTH allows."""

    def __init__(self) -> None:
        self.result: Any = None
        self._stack: list[_Open] = []
        self._known: dict[str, tuple[Any, int]] = {}  # by anchor: the value and its parts
        self._open: set[str] = set()
        self._parts = 0
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._count(1)
            value = _scalar(event)
            self._know(event.anchor, value, 1)
            self._add(value)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._begin(
                Doubled() if isinstance(event, yaml.MappingStartEvent) else [], event.anchor
            )
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._repeat(event.anchor or "")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise Unreadable("documents")

    def _begin(self, value: Any, anchor: str | None) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise Unreadable("deep", limit=MAX_DEPTH)
        self._stack.append(_Open(value, anchor, self._parts))
        self._count(1)
        if anchor:
            self._open.add(anchor)

    def _end(self) -> None:
        done = self._stack.pop()
        for source in done.merged:
            for key, value in source.items():
                done.value.setdefault(key, value)
        if done.anchor:
            self._open.discard(done.anchor)
            self._know(done.anchor, done.value, self._parts - done.parts_before)
        self._add(done.value)

    def _repeat(self, anchor: str) -> None:
        if anchor in self._open:
            raise Unreadable("cycle", name=anchor[:80])
        if anchor not in self._known:
            raise Unreadable(
                "yaml", line=1, column=1, reason=f"found undefined alias {anchor[:80]}"
            )
        value, parts = self._known[anchor]
        self._count(parts)
        self._add(value)

    def _add(self, value: Any) -> None:
        if not self._stack:
            self.result = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.waits:
            top.key = value if isinstance(value, str | int | bool | None) else repr(value)[:80]
            top.waits = True
        else:
            top.waits = False
            _put(top, value)

    def _know(self, anchor: str | None, value: Any, parts: int) -> None:
        if anchor:
            self._known[anchor] = (value, parts)

    def _count(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_PARTS:
            raise Unreadable("bomb", limit=MAX_PARTS)


def _put(top: _Open, value: Any) -> None:
    if top.key == MERGE:
        sources = value if isinstance(value, list) else [value]
        top.merged += [source for source in sources if isinstance(source, dict)]
        return
    key = str(top.key)  # 200: and "200": are the same response
    if key in top.value:
        top.value.twice.add(key)
    top.value[key] = value


def _scalar(event: yaml.ScalarEvent) -> Any:
    """By the few types that JSON and YAML 1.2 agree on. Everything else is text: 1.10 and 2026-01-01, too."""
    value: str = event.value
    if not event.implicit[0]:
        return value
    if value in WORDS:
        return WORDS[value]
    return int(value) if NUMBER.fullmatch(value) else value
