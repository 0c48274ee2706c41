"""The identity filter: `identity.lua` with the table of keys in it, as one ECDS resource."""

from __future__ import annotations

import logging
from functools import cache
from importlib import resources

from envoy.config.core.v3 import base_pb2, extension_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from google.protobuf import any_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from agents.edge.drivers.envoy.check import DIGEST, UUID
from agents.edge.drivers.envoy.kinds import pack
from agents.edge.model import Access, Grant

logger = logging.getLogger(__name__)

NAME = "identity"


def identity_filter(access: Access, probe_digest: str) -> any_pb2.Any:
    """Every key of the cluster, and this agent's own, which opens probe routes only."""
    lua = lua_pb2.Lua(
        default_source_code=base_pb2.DataSource(inline_string=source(access, probe_digest)),
        # The route was chosen by headers that are stripped on the way (the probe's): it must not
        # be chosen again.
        clear_route_cache=BoolValue(value=False),
    )
    return pack(extension_pb2.TypedExtensionConfig(name=NAME, typed_config=pack(lua)))


def source(access: Access, probe_digest: str) -> str:
    """Lua with the table filled in. Same access, same text."""
    if not DIGEST.fullmatch(probe_digest):
        raise ValueError("the probe's digest is not a SHA-256")
    pairs: dict[str, int] = {}
    lines = []
    for digest in sorted(access.grants):
        grant = access.grants[digest]
        if not _is_clean(grant):
            # Left out, so the key is refused; the other keys must still get through.
            logger.error("key left out: malformed grant of publish %r", grant.publish_id)
            continue
        pair = pairs.setdefault(f"{grant.publish_id}/{grant.plan_id}", len(pairs) + 1)
        state = 0 if grant.suspended else 1
        lines.append(f"{grant.digest} {state} {pair} {grant.subscription_id}")
    return (
        _template()
        .replace("@PROBE@", probe_digest)
        .replace("@PAIRS@", "\n".join(pairs))
        .replace("@GRANTS@", "\n".join(lines))
    )


def _is_clean(grant: Grant) -> bool:
    """Nothing that a tenant chose may enter Lua source."""
    ids = (grant.publish_id, grant.plan_id, grant.subscription_id)
    return bool(DIGEST.fullmatch(grant.digest)) and all(map(UUID.fullmatch, ids))


@cache
def _template() -> str:
    text = resources.files(__package__).joinpath("identity.lua").read_text()
    # The header comment names the placeholders too.
    return text[text.index("local bit") :]
