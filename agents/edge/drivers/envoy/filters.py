"""The chain of HTTP filters, the same on every port, and what a route adds to it."""

from __future__ import annotations

import math

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2, config_source_pb2, extension_pb2
from envoy.config.rbac.v3 import rbac_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2
from envoy.extensions.filters.http.cors.v3 import cors_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as rbac_filter_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.type.matcher.v3 import string_pb2
from envoy.type.v3 import percent_pb2, token_bucket_pb2
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value

from agents.edge.drivers.envoy import identity
from agents.edge.drivers.envoy.check import UUID
from agents.edge.drivers.envoy.kinds import pack
from agents.edge.model import Access

LIMITS = "limits"
CORS = "cors"
CALLERS = "callers"
SIZE = "size"
_RBAC = "rbac"
_MAX_SUBSCRIPTIONS = 100_000


def chain() -> list[hcm_pb2.HttpFilter]:
    """Order is meaning: strip, then say who calls, then decide, then count."""
    return [
        _filter("strip", _strip()),
        # By address first of all: not even a preflight is answered.
        _filter(CALLERS, rbac_filter_pb2.RBAC()),
        _filter(CORS, cors_pb2.Cors()),
        # jwt_authn goes here, required per route: identity reads the claims that it verified.
        _by_ecds(identity.NAME, lua_pb2.Lua()),
        _filter(_RBAC, rbac_filter_pb2.RBAC()),
        # The daily quota's Lua filter goes here, by ECDS: its block list names subscriptions.
        _by_ecds(LIMITS, local_rate_limit_pb2.LocalRateLimit()),
        # Last, so that nobody's body is held back who may not call.
        _only_where_asked(_filter(SIZE, buffer_pb2.Buffer(max_request_bytes=UInt32Value(value=1)))),
        _filter("router", router_pb2.Router(suppress_envoy_headers=True)),
    ]


def _filter(name: str, config: Message) -> hcm_pb2.HttpFilter:
    return hcm_pb2.HttpFilter(name=name, typed_config=pack(config))


def _only_where_asked(http_filter: hcm_pb2.HttpFilter) -> hcm_pb2.HttpFilter:
    http_filter.disabled = True
    return http_filter


def _by_ecds(name: str, kind: Message) -> hcm_pb2.HttpFilter:
    """Delivered apart from the listener, so that a new key drains no connection."""
    source = config_source_pb2.ExtensionConfigSource(
        config_source=ads_source(),
        type_urls=[f"type.googleapis.com/{kind.DESCRIPTOR.full_name}"],
    )
    return hcm_pb2.HttpFilter(name=name, config_discovery=source)


def ads_source() -> config_source_pb2.ConfigSource:
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.ApiVersion.V3,
    )


def _strip() -> header_mutation_pb2.HeaderMutation:
    """No caller may bring identity along, on public routes either.

    The route is chosen before filters run, so x-imp-probe has done its work by now.
    """
    config = header_mutation_pb2.HeaderMutation()
    for pattern in (
        string_pb2.StringMatcher(prefix="x-consumer"),
        string_pb2.StringMatcher(prefix="x-credential"),
        string_pb2.StringMatcher(prefix="x-imp-"),
        string_pb2.StringMatcher(exact="x-plan"),
    ):
        config.mutations.request_mutations.append(
            mutation_rules_pb2.HeaderMutation(
                remove_on_match=mutation_rules_pb2.HeaderMutation.RemoveOnMatch(key_matcher=pattern)
            )
        )
    return config


def guard(publish_id: str, mode: str) -> route_components_pb2.Route:
    """What each route of a publish carries: who may call, for the identity filter and for RBAC."""
    route = route_components_pb2.Route()
    route.metadata.CopyFrom(lua_metadata(auth=mode, publish=publish_id))
    if mode != "none":
        route.typed_per_filter_config[_RBAC].CopyFrom(_only_subscribers_of(publish_id))
    return route


def lua_metadata(**values: str) -> base_pb2.Metadata:
    metadata = base_pb2.Metadata()
    metadata.filter_metadata[identity.NAME].update(values)
    return metadata


def _only_subscribers_of(publish_id: str) -> any_pb2.Any:
    """The identity filter has said so already; this holds should it ever be wrong."""
    principal = rbac_pb2.Principal(
        header=route_components_pb2.HeaderMatcher(
            name="x-consumer", string_match=string_pb2.StringMatcher(prefix=f"{publish_id}/")
        )
    )
    policy = rbac_pb2.Policy(permissions=[rbac_pb2.Permission(any=True)], principals=[principal])
    rules = rbac_pb2.RBAC(action=rbac_pb2.RBAC.ALLOW, policies={"subscribers": policy})
    return pack(rbac_filter_pb2.RBACPerRoute(rbac=rbac_filter_pb2.RBAC(rules=rules)))


def limits_filter(access: Access, agent_count: int) -> any_pb2.Any:
    """A bucket per minute for each subscription of each plan that has a limit.

    Apart from the keys: Envoy empties every bucket when this resource changes, and only then.
    """
    config = local_rate_limit_pb2.LocalRateLimit(
        stat_prefix=LIMITS,
        filter_enabled=_always("limits_enabled"),
        filter_enforced=_always("limits_enforced"),
        # Calls without a plan match no descriptor and fall into this bucket.
        token_bucket=_bucket(2**31),
        max_dynamic_descriptors=UInt32Value(value=_MAX_SUBSCRIPTIONS),
        rate_limits=[_by_plan_and_subscription()],
    )
    config.always_consume_default_token_bucket.value = False
    for plan_id in sorted(access.plans):
        limit = access.plans[plan_id].rate_per_minute
        if limit and UUID.fullmatch(plan_id):
            config.descriptors.append(_descriptor(plan_id, math.ceil(limit / max(agent_count, 1))))
    return pack(extension_pb2.TypedExtensionConfig(name=LIMITS, typed_config=pack(config)))


def _always(key: str) -> base_pb2.RuntimeFractionalPercent:
    everyone = percent_pb2.FractionalPercent(numerator=100)
    return base_pb2.RuntimeFractionalPercent(default_value=everyone, runtime_key=key)


def _by_plan_and_subscription() -> route_components_pb2.RateLimit:
    rate_limit = route_components_pb2.RateLimit()
    for header, key in (("x-imp-plan", "plan"), ("x-consumer", "subscription")):
        action = rate_limit.actions.add().request_headers
        action.header_name, action.descriptor_key = header, key
    return rate_limit


def _descriptor(plan_id: str, bucket: int) -> ratelimit_pb2.LocalRateLimitDescriptor:
    """Without a value, `subscription` stands for any: each gets a bucket of its own."""
    entry = ratelimit_pb2.RateLimitDescriptor.Entry
    return ratelimit_pb2.LocalRateLimitDescriptor(
        entries=[entry(key="plan", value=plan_id), entry(key="subscription")],
        token_bucket=_bucket(bucket),
    )


def _bucket(tokens: int) -> token_bucket_pb2.TokenBucket:
    return token_bucket_pb2.TokenBucket(
        max_tokens=tokens,
        tokens_per_fill=UInt32Value(value=tokens),
        fill_interval=duration_pb2.Duration(seconds=60),
    )
