"""One publish as Envoy routes, in a form that can be merged with others of its host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from agents.edge.drivers.envoy.clusters import cluster_name, literal
from agents.edge.drivers.envoy.filters import guard, lua_metadata
from agents.edge.model import Publish
from agents.wire import bundle_pb2

PROBE_HEADER = "x-imp-probe"

_DEFAULT_TIMEOUT_MS = 15_000
_SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# A call that changes something is repeated only when the backend cannot have seen it.
_RETRY_UNSEEN = "connect-failure,refused-stream,reset-before-request"
_RETRY_ALWAYS = f"{_RETRY_UNSEEN},reset,gateway-error"
_OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


@dataclass(frozen=True, slots=True)
class Where:
    """A path and how it is matched."""

    match: str
    path: str

    def rank(self) -> tuple[bool, int, str]:
        """Exact before prefix, then the longest."""
        return self.match != "exact", -len(self.path), self.path


@dataclass(frozen=True, slots=True)
class PathRoutes:
    """What one publish serves at one path."""

    where: Where
    methods: frozenset[str]
    routes: tuple[rc.Route, ...]
    guard: rc.Route


def path_routes(publish: Publish) -> list[PathRoutes]:
    """The routes of a publish by path, most specific first."""
    by_path: dict[Where, list[bundle_pb2.Route]] = {}
    for route in publish.bundle.routes:
        by_path.setdefault(_where(route), []).append(route)
    rule = guard(publish.id, publish.bundle.auth.mode)
    return [
        PathRoutes(
            where=where,
            methods=frozenset(method for route in routes for method in route.methods),
            routes=tuple(
                made
                for route in sorted(routes, key=lambda each: each.id)
                for made in _routes(publish, route, where, rule)
            ),
            guard=rule,
        )
        for where, routes in sorted(by_path.items(), key=lambda item: item[0].rank())
    ]


def _where(route: bundle_pb2.Route) -> Where:
    """A prefix is whole segments, so "/a/" is "/a"; an exact path is taken as it stands."""
    if route.match == "exact":
        return Where("exact", route.path)
    return Where("prefix", route.path.rstrip("/") or "/")


def first_path(publish: Publish) -> str:
    """Where the publish is probed."""
    return min((_where(route) for route in publish.bundle.routes), key=Where.rank).path


def path_match(where: Where) -> rc.RouteMatch:
    if where.match == "exact":
        return rc.RouteMatch(path=where.path)
    if where.path == "/":
        return rc.RouteMatch(prefix="/")
    return rc.RouteMatch(path_separated_prefix=where.path)


def _routes(
    publish: Publish, route: bundle_pb2.Route, where: Where, rule: rc.Route
) -> Iterable[rc.Route]:
    """One Envoy route, or two where only some of the methods may be repeated freely."""
    methods = set(route.methods)
    safe = methods & _SAFE_TO_REPEAT if route.retries else set()
    for group, retry_on in ((safe, _RETRY_ALWAYS), (methods - safe, _RETRY_UNSEEN)):
        if not group:
            continue
        made = rc.Route(name=f"{publish.id}/{route.id}", match=path_match(where))
        made.MergeFrom(rule)
        made.match.headers.append(_method_is(group))
        made.route.CopyFrom(_action(publish, route, where))
        if route.retries:
            made.route.retry_policy.retry_on = retry_on
            made.route.retry_policy.num_retries.value = route.retries
        made.request_headers_to_add.extend(map(_literal_header, route.set_request_headers))
        made.response_headers_to_add.extend(map(_literal_header, route.set_response_headers))
        yield made


def _method_is(methods: Iterable[str]) -> rc.HeaderMatcher:
    ordered = sorted(methods)
    if len(ordered) == 1:
        return rc.HeaderMatcher(
            name=":method", string_match=string_pb2.StringMatcher(exact=ordered[0])
        )
    regex = regex_pb2.RegexMatcher(regex="|".join(ordered))
    return rc.HeaderMatcher(name=":method", string_match=string_pb2.StringMatcher(safe_regex=regex))


def _action(publish: Publish, route: bundle_pb2.Route, where: Where) -> rc.RouteAction:
    action = rc.RouteAction()
    action.timeout.FromMilliseconds(route.timeout_ms or _DEFAULT_TIMEOUT_MS)
    _rewrite(action, where, route.rewrite)
    upstream = next(each for each in publish.bundle.upstreams if each.id == route.upstream_id)
    backends = sorted(upstream.backends, key=lambda backend: backend.id)
    if len(backends) == 1:
        action.cluster = cluster_name(publish, backends[0].id)
    else:
        for backend in backends:
            weight = action.weighted_clusters.clusters.add()
            weight.name = cluster_name(publish, backend.id)
            weight.weight.value = max(backend.weight, 1)
    if any(literal(backend.host) is None for backend in backends):
        # A named backend is reached by its own name (virtual hosting, TLS); it still learns the
        # caller's from x-forwarded-host.
        action.auto_host_rewrite.value = True
        action.append_x_forwarded_host = True
    return action


def _rewrite(action: rc.RouteAction, where: Where, rewrite: str) -> None:
    """Replace the matched path by `rewrite` and keep what follows, with one slash between."""
    if not rewrite:
        return
    if where.match == "exact":
        action.prefix_rewrite = rewrite
        return
    base = rewrite.rstrip("/")
    if where.path == "/":
        action.prefix_rewrite = f"{base}/"
    elif base:
        action.prefix_rewrite = base
    else:
        # prefix_rewrite would make "//x" of "/billing/x" here.
        action.regex_rewrite.pattern.regex = f"^{re.escape(where.path)}(/|$)"
        action.regex_rewrite.substitution = "/"


def _literal_header(header: bundle_pb2.Header) -> base_pb2.HeaderValueOption:
    """Envoy substitutes %COMMANDS% in header values, the environment among them: escape."""
    return set_header(header.name, header.value.replace("%", "%%"))


def set_header(name: str, value: str) -> base_pb2.HeaderValueOption:
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=name, value=value), append_action=_OVERWRITE
    )


def not_allowed(where: Where, methods: Iterable[str], rule: rc.Route) -> rc.Route:
    """405 for every other method, after authentication: `rule` is of the publish."""
    route = answer(405, "method_not_allowed", rc.Route(match=path_match(where)))
    route.MergeFrom(rule)
    route.response_headers_to_add.append(set_header("allow", ", ".join(sorted(methods))))
    return route


def not_found(match: rc.RouteMatch) -> rc.Route:
    route = answer(404, "not_found", rc.Route(match=match))
    route.metadata.CopyFrom(lua_metadata(auth="none"))
    return route


def answer(status: int, code: str, route: rc.Route) -> rc.Route:
    """Make `route` answer an error of the gateway's own, in the form of the identity filter's."""
    route.direct_response.status = status
    route.direct_response.body.inline_string = f'{{"error":{{"code":"{code}"}}}}'
    route.response_headers_to_add.append(set_header("content-type", "application/json"))
    return route


def probe_route(publish: Publish, first: PathRoutes, token: str) -> rc.Route:
    """Passes the same filters as the publish's calls and answers its revision by itself."""
    route = rc.Route(name=f"{publish.id}/probe", match=rc.RouteMatch(path=first.where.path))
    route.MergeFrom(first.guard)
    route.metadata.filter_metadata["identity"].update({"probe": "1"})
    route.match.headers.append(
        rc.HeaderMatcher(name=PROBE_HEADER, string_match=string_pb2.StringMatcher(exact=token))
    )
    route.direct_response.status = 200
    route.direct_response.body.inline_string = probe_body(publish)
    return route


def probe_body(publish: Publish) -> str:
    return f"{publish.id}@{publish.revision[:8]}"
