"""Paths: which of them owns a call, how Envoy matches them, and what they become on the way.

A segment "{name}" is a parameter: it stands for any one segment. What it is called matters to the rewrite of
its own route alone, so `Where` writes all of them as "{}".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2 as rc

from agents.wire import bundle_pb2

PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]{0,63})\}")
MAX_PARAMETERS = 9  # RE2 names no more groups in a substitution
_ANY = "{}"
_EXACT, _LITERAL, _PARAMETER, _REST = range(4)


@dataclass(frozen=True, slots=True)
class Where:
    """A path and how it is matched."""

    match: str
    path: str

    @classmethod
    def of(cls, route: bundle_pb2.Route) -> Where:
        """A prefix is whole segments, so "/a/" is "/a"; an exact path is taken as it stands."""
        path = PARAMETER.sub(_ANY, route.path)
        if route.match == "exact":
            return cls("exact", path)
        return cls("prefix", path.rstrip("/") or "/")

    def rank(self) -> tuple[tuple[int, str], ...]:
        """Segment by segment from the left: a literal before a parameter, both before a prefix's rest."""
        segments = self.path[1:].split("/") if self.path != "/" else []
        ranked = [(_PARAMETER, "") if part == _ANY else (_LITERAL, part) for part in segments]
        return *ranked, (_EXACT if self.match == "exact" else _REST, "")

    @property
    def sample(self) -> str:
        """A path that matches."""
        return self.path.replace(_ANY, "-")


def path_match(where: Where) -> rc.RouteMatch:
    if _ANY in where.path:
        match = rc.RouteMatch()
        rest = "" if where.match == "exact" else "(/.*)?"
        match.safe_regex.regex = "".join(_regex(where.path, {})) + rest
        return match
    if where.match == "exact":
        return rc.RouteMatch(path=where.path)
    if where.path == "/":
        return rc.RouteMatch(prefix="/")
    return rc.RouteMatch(path_separated_prefix=where.path)


def set_rewrite(action: rc.RouteAction, route: bundle_pb2.Route) -> None:
    """Replace the matched path by the rewrite and keep what follows, with one slash between."""
    where, rewrite = Where.of(route), route.rewrite
    if not rewrite:
        return
    base = rewrite.rstrip("/")
    if _ANY in where.path:
        _substitute(action, route)
    elif where.match == "exact":
        action.prefix_rewrite = rewrite
    elif where.path == "/":
        action.prefix_rewrite = f"{base}/"
    elif base:
        action.prefix_rewrite = base
    else:
        # prefix_rewrite would make "//x" of "/billing/x" here.
        action.regex_rewrite.pattern.regex = f"^{re.escape(where.path)}(/|$)"
        action.regex_rewrite.substitution = "/"


def _substitute(action: rc.RouteAction, route: bundle_pb2.Route) -> None:
    used = PARAMETER.findall(route.rewrite)
    path = route.path if route.match == "exact" else route.path.rstrip("/")
    groups = {name: place for place, name in enumerate(_in_order(path, used), start=1)}
    pattern = f"^{''.join(_regex(path, groups))}"
    rewrite = route.rewrite
    if route.match == "exact":
        pattern += "$"
    else:
        rewrite = rewrite.rstrip("/")
        pattern += "" if rewrite else "(/|$)"
    action.regex_rewrite.pattern.regex = pattern
    literal = (rewrite or "/").replace("\\", r"\\")
    action.regex_rewrite.substitution = PARAMETER.sub(
        lambda found: f"\\{groups[found[1]]}", literal
    )


def _in_order(path: str, used: list[str]) -> list[str]:
    return [name for name in PARAMETER.findall(path) if name in used]


def _regex(path: str, groups: dict[str, int]) -> Iterator[str]:
    """Of a path with parameters, whatever they are called; those in `groups` are captured."""
    for part in path[1:].split("/"):
        name = PARAMETER.fullmatch(part)
        if name and name[1] in groups:
            yield "/([^/]+)"
        elif name or part == _ANY:
            yield "/[^/]+"
        else:
            yield f"/{re.escape(part)}"
