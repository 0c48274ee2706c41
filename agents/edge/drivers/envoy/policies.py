"""What a service's policies add to its routes. Each is enforced by a filter of the chain, per route."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import lru_cache

from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as rbac_filter_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2
from google.protobuf import any_pb2
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from agents.edge.drivers.envoy.filters import CALLERS, CORS, SIZE
from agents.edge.drivers.envoy.kinds import pack
from agents.wire import bundle_pb2

# A body without a declared length is held back until it is complete: never more than this.
MAX_HELD_BYTES = 10 * 1024 * 1024
# What a backend says itself would let in whom the policy does not.
_OF_CORS = tuple(
    f"access-control-{name}"
    for name in (
        "allow-credentials", "allow-headers", "allow-methods", "allow-origin", "expose-headers", "max-age"
    )
)  # fmt: skip
_REQUESTED = "access-control-request-method"


def of_every_call(upstream: bundle_pb2.Upstream, methods: Collection[str]) -> rc.Route:
    """What each route to `upstream` carries, at a path with these methods."""
    rule = rc.Route()
    if upstream.HasField("callers"):
        rule.typed_per_filter_config[CALLERS].CopyFrom(
            _only(tuple(upstream.callers.allow), tuple(upstream.callers.deny))
        )
    if upstream.HasField("cors"):
        rule.typed_per_filter_config[CORS].CopyFrom(_cors(upstream.cors, methods))
        rule.response_headers_to_remove.extend(_OF_CORS)
        # The answer differs by origin, which caches have to know.
        rule.response_headers_to_add.append(
            base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key="vary", value="origin"),
                append_action=base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD,
            )
        )
    return rule


@lru_cache(maxsize=64)  # each path of a service asks for the same
def _only(allow: tuple[str, ...], deny: tuple[str, ...]) -> any_pb2.Any:
    """By the address that the connection, or a trusted proxy before us, says."""
    principals = []
    if allow:
        principals.append(_any_of(allow))
    if deny:
        principals.append(rbac_pb2.Principal(not_id=_any_of(deny)))
    both = rbac_pb2.Principal(and_ids=rbac_pb2.Principal.Set(ids=principals))
    policy = rbac_pb2.Policy(permissions=[rbac_pb2.Permission(any=True)], principals=[both])
    rules = rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies={"callers": policy})
    return pack(rbac_filter_pb2.RBACPerRoute(rbac=rbac_filter_pb2.RBAC(rules=rules)))


def _any_of(networks: Collection[str]) -> rbac_pb2.Principal:
    ids = []
    for network in sorted(networks):
        address, _, length = network.partition("/")
        cidr = address_pb2.CidrRange(
            address_prefix=address, prefix_len=UInt32Value(value=int(length))
        )
        ids.append(rbac_pb2.Principal(remote_ip=cidr))
    return rbac_pb2.Principal(or_ids=rbac_pb2.Principal.Set(ids=ids))


def _cors(cors: bundle_pb2.Cors, methods: Collection[str]) -> any_pb2.Any:
    return pack(
        cors_pb2.CorsPolicy(
            allow_origin_string_match=[_origin(each) for each in sorted(cors.allow_origins)],
            allow_methods=", ".join(sorted(cors.allow_methods or methods)),
            allow_headers=", ".join(sorted(cors.allow_headers)),
            expose_headers=", ".join(sorted(cors.expose_headers)),
            max_age=str(cors.max_age),
            allow_credentials=BoolValue(value=cors.allow_credentials),
            # A preflight of another origin is answered, too: without a word of consent.
            forward_not_matching_preflights=BoolValue(value=False),
        )
    )


def _origin(origin: str) -> string_pb2.StringMatcher:
    if origin == "*":
        return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=".*"))
    if "*" not in origin:
        return string_pb2.StringMatcher(exact=origin)
    scheme, domain = origin.split("*", 1)
    regex = rf"{re.escape(scheme)}[a-z0-9.-]+{re.escape(domain)}"
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=regex))


def preflight(match: rc.RouteMatch, methods: Collection[str]) -> rc.Route:
    """A browser asking whether it may use one of `methods`: the CORS filter answers, whoever asks.

    It does so on routes to a cluster only. This one leads to none, should a call ever get past the filter.
    """
    route = rc.Route(match=match)
    route.route.cluster_header = "x-imp-nowhere"  # stripped from every call
    asked = ((":method", "OPTIONS"), (_REQUESTED, "|".join(sorted(methods))), ("origin", ".+"))
    for name, regex in asked:
        string = string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=regex))
        route.match.headers.append(rc.HeaderMatcher(name=name, string_match=string))
    return route


def by_size(route: rc.Route, limit: int) -> Iterator[rc.Route]:
    """The route for bodies of up to `limit` bytes.

    A body that declares its length, and a fitting one, passes as it comes. Any other is counted while it is
    held back, which is what the filter can do.
    """
    if limit:
        fitting = rc.Route()
        fitting.CopyFrom(route)
        length = fitting.match.headers.add(name="content-length")
        length.range_match.start, length.range_match.end = 0, limit + 1
        yield fitting
        held = UInt32Value(value=min(limit, MAX_HELD_BYTES))
        counted = buffer_pb2.BufferPerRoute(buffer=buffer_pb2.Buffer(max_request_bytes=held))
        route.typed_per_filter_config[SIZE].CopyFrom(pack(counted))
    yield route
