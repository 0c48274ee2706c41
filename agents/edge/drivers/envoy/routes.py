"""One publish as Envoy routes, in a form that can be merged with others of its host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.core.v3 import base_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from agents.edge.drivers.envoy.clusters import literal, pools_of
from agents.edge.drivers.envoy.filters import guard, lua_metadata
from agents.edge.drivers.envoy.kinds import pack
from agents.edge.drivers.envoy.paths import Where, path_match, set_rewrite
from agents.edge.drivers.envoy.policies import by_size, of_every_call, preflight
from agents.edge.model import Publish
from agents.wire import bundle_pb2

PROBE_HEADER = "x-imp-probe"

_DEFAULT_TIMEOUT_MS = 15_000
_SAFE_TO_REPEAT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# A call that changes something is repeated only when the backend cannot have seen it.
_RETRY_UNSEEN = "connect-failure,refused-stream,reset-before-request"
_RETRY_ALWAYS = f"{_RETRY_UNSEEN},reset,5xx"
_OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


@dataclass(frozen=True, slots=True)
class PathRoutes:
    """What one publish serves at one path."""

    where: Where
    methods: frozenset[str]
    routes: tuple[rc.Route, ...]
    guard: rc.Route  # who may call
    rule: rc.Route  # the same, with the policies that all routes of the path share


def path_routes(publish: Publish) -> list[PathRoutes]:
    """The routes of a publish by path, most specific first."""
    by_path: dict[Where, list[bundle_pb2.Route]] = {}
    for route in publish.bundle.routes:
        by_path.setdefault(Where.of(route), []).append(route)
    return [
        _at_path(publish, where, sorted(routes, key=lambda each: each.id))
        for where, routes in sorted(by_path.items(), key=lambda item: item[0].rank())
    ]


def _at_path(publish: Publish, where: Where, routes: list[bundle_pb2.Route]) -> PathRoutes:
    methods = frozenset(method for route in routes for method in route.methods)
    who = guard(publish.id, publish.bundle.auth.mode)
    upstreams = {each.id: each for each in publish.bundle.upstreams}
    rules = {
        each: of_every_call(upstreams[each], methods)
        for each in sorted({route.upstream_id for route in routes})
    }
    made: list[rc.Route] = []
    for upstream_id, rule in rules.items():
        mine = [route for route in routes if route.upstream_id == upstream_id]
        rule.MergeFrom(who)
        if upstreams[upstream_id].HasField("cors"):
            theirs = {method for route in mine for method in route.methods}
            made.append(preflight(path_match(where), theirs))
            made[-1].MergeFrom(rule)
        for route in mine:
            made.extend(_routes(publish, route, where, rule, upstreams[upstream_id]))
    shared, *others = rules.values()
    same = all(each == shared for each in others)
    return PathRoutes(where, methods, tuple(made), guard=who, rule=shared if same else who)


def first_path(publish: Publish) -> str:
    """Where the publish is probed."""
    return min((Where.of(route) for route in publish.bundle.routes), key=Where.rank).sample


def _routes(
    publish: Publish,
    route: bundle_pb2.Route,
    where: Where,
    rule: rc.Route,
    upstream: bundle_pb2.Upstream,
) -> Iterator[rc.Route]:
    """One Envoy route, or several where methods are repeated differently or bodies have a limit."""
    methods = set(route.methods)
    safe = methods & (methods if route.retry_unsafe else _SAFE_TO_REPEAT)
    safe = safe if route.retries else set()
    for group, retry_on in ((safe, _RETRY_ALWAYS), (methods - safe, _RETRY_UNSEEN)):
        if not group:
            continue
        made = rc.Route(name=f"{publish.id}/{route.id}", match=path_match(where))
        made.MergeFrom(rule)
        made.match.headers.append(_method_is(group))
        for each in by_size(made, upstream.max_request_bytes):
            each.route.CopyFrom(_action(publish, route, upstream))
            if route.retries:
                each.route.retry_policy.CopyFrom(_again(route.retries, retry_on))
            _transform(each, route)
            yield each


def _again(times: int, retry_on: str) -> rc.RetryPolicy:
    """At another backend, where there is one."""
    policy = rc.RetryPolicy(retry_on=retry_on, host_selection_retry_max_attempts=3)
    policy.num_retries.value = times
    elsewhere = policy.retry_host_predicate.add(name="previous_hosts")
    elsewhere.typed_config.CopyFrom(pack(previous_hosts_pb2.PreviousHostsPredicate()))
    return policy


def _transform(made: rc.Route, route: bundle_pb2.Route) -> None:
    """Taken away first, then set."""
    made.request_headers_to_remove.extend(sorted(route.remove_request_headers))
    made.response_headers_to_remove.extend(sorted(route.remove_response_headers))
    made.request_headers_to_add.extend(map(_literal_header, route.set_request_headers))
    made.response_headers_to_add.extend(map(_literal_header, route.set_response_headers))


def _method_is(methods: Iterable[str]) -> rc.HeaderMatcher:
    ordered = sorted(methods)
    if len(ordered) == 1:
        return rc.HeaderMatcher(
            name=":method", string_match=string_pb2.StringMatcher(exact=ordered[0])
        )
    regex = regex_pb2.RegexMatcher(regex="|".join(ordered))
    return rc.HeaderMatcher(name=":method", string_match=string_pb2.StringMatcher(safe_regex=regex))


def _action(
    publish: Publish, route: bundle_pb2.Route, upstream: bundle_pb2.Upstream
) -> rc.RouteAction:
    action = rc.RouteAction()
    action.timeout.FromMilliseconds(route.timeout_ms or _DEFAULT_TIMEOUT_MS)
    set_rewrite(action, route)
    pools = pools_of(publish, upstream)
    if len(pools) == 1:
        action.cluster = pools[0].name
    else:
        for pool in pools:
            weight = action.weighted_clusters.clusters.add(name=pool.name)
            weight.weight.value = pool.weight
    if any(literal(backend.host) is None for backend in upstream.backends):
        # A named backend is reached by its own name (virtual hosting, TLS); it still learns the
        # caller's from x-forwarded-host.
        action.auto_host_rewrite.value = True
        action.append_x_forwarded_host = True
    return action


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
    route = rc.Route(name=f"{publish.id}/probe", match=rc.RouteMatch(path=first.where.sample))
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
