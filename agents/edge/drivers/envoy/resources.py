"""Publishes -> listeners, route configurations and clusters. Pure: same input, same bytes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from envoy.config.route.v3 import route_components_pb2 as rc
from envoy.config.route.v3 import route_pb2
from google.protobuf import any_pb2

from agents.edge.drivers.envoy.check import check
from agents.edge.drivers.envoy.clusters import clusters_of
from agents.edge.drivers.envoy.kinds import Kind, Named, pack
from agents.edge.drivers.envoy.listeners import listener
from agents.edge.drivers.envoy.paths import Where
from agents.edge.drivers.envoy.routes import (
    PROBE_HEADER,
    PathRoutes,
    not_allowed,
    not_found,
    path_routes,
    probe_route,
)
from agents.edge.model import Publish

_Key = tuple[str, str]  # publish id and revision

REVISIONS = "imp"  # the namespace in a route configuration's metadata: publish id -> revision


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for every publish of one agent."""

    probe_secret: bytes
    bind_address: str
    roots: str

    def probe_token(self, publish_id: str) -> str:
        """Only this agent can name a publish's probe route."""
        return hmac.new(self.probe_secret, publish_id.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Resources:
    clusters: Named
    listeners: Named
    routes: Named

    def of(self, kind: Kind) -> Named:
        return {
            Kind.CLUSTER: self.clusters,
            Kind.LISTENER: self.listeners,
            Kind.ROUTES: self.routes,
        }[kind]


@dataclass(frozen=True, slots=True)
class _Translated:
    """One publish, translated once and then reused: a change costs what changed."""

    publish: Publish
    host: str
    ports: Mapping[int, str]  # port -> "" or the secret that HTTPS is served with
    probe: rc.Route
    paths: tuple[PathRoutes, ...]
    clusters: Mapping[str, any_pb2.Any]


class Translator:
    def __init__(self, settings: Settings) -> None:
        self.trusted_hops = 0  # the operator's, of the cluster
        self._settings = settings
        self._known: dict[_Key, _Translated] = {}
        self._hosts: dict[tuple[str, tuple[_Key, ...]], bytes] = {}  # by host and what it serves

    def translate(self, publish: Publish) -> _Translated:
        """Raises ContentError for what this driver does not serve."""
        key = (publish.id, publish.revision)
        if key not in self._known:
            check(publish)
            paths = tuple(path_routes(publish))
            token = self._settings.probe_token(publish.id)
            clusters = clusters_of(publish, self._settings.roots)
            self._known[key] = _Translated(
                publish=publish,
                host=publish.bundle.host.lower(),
                ports={each.port: each.tls.secret_id for each in publish.bundle.listeners},
                probe=probe_route(publish, paths[0], token),
                paths=paths,
                clusters={name: pack(cluster) for name, cluster in clusters.items()},
            )
        return self._known[key]

    def build(
        self, publishes: Iterable[Publish], open_ports: Mapping[int, bool] | None = None
    ) -> Resources:
        """Everything that serves `publishes`. `open_ports`, each with whether it speaks HTTPS, answer
        404 if nothing else is there."""
        parts = sorted(map(self.translate, publishes), key=lambda part: part.publish.id)
        secure = dict(open_ports or {})
        for part in parts:
            secure |= {port: bool(secret_id) for port, secret_id in part.ports.items()}
        ports = sorted(secure)
        return Resources(
            clusters={name: packed for part in parts for name, packed in part.clusters.items()},
            listeners={
                f"listener/{port}": pack(
                    listener(
                        port,
                        self._settings.bind_address,
                        self.trusted_hops,
                        _hosts(port, parts) if secure[port] else None,
                    )
                )
                for port in ports
            },
            routes={routes_name(port): self._route_configuration(port, parts) for port in ports},
        )

    def keep_only(self, publishes: Iterable[Publish]) -> None:
        """Forget what no longer serves any of `publishes`."""
        keys = {(publish.id, publish.revision) for publish in publishes}
        self._known = {key: part for key, part in self._known.items() if key in keys}
        self._hosts = {
            key: packed for key, packed in self._hosts.items() if keys.issuperset(key[1])
        }

    def _route_configuration(self, port: int, parts: Iterable[_Translated]) -> any_pb2.Any:
        """Messages of one type add up when their bytes are joined: hosts are packed only once."""
        here = sorted((part for part in parts if port in part.ports), key=lambda part: part.host)
        packed = pack(_frame(port, here))
        hosts = [
            self._host(host, list(group))
            for host, group in groupby(here, key=lambda part: part.host)
        ]
        packed.value = b"".join((packed.value, *hosts, self._host("*", [])))
        return packed

    def _host(self, host: str, parts: list[_Translated]) -> bytes:
        key = (host, tuple((part.publish.id, part.publish.revision) for part in parts))
        if key not in self._hosts:
            alone = route_pb2.RouteConfiguration(virtual_hosts=[_virtual_host(host, parts)])
            self._hosts[key] = alone.SerializeToString(deterministic=True)
        return self._hosts[key]


def _hosts(port: int, parts: Iterable[_Translated]) -> dict[str, str]:
    """Host -> secret. Publishes of one host agree on it: see tls.clashes."""
    return {part.host: secret_id for part in parts if (secret_id := part.ports.get(port))}


def routes_name(port: int) -> str:
    return f"port/{port}"


def _frame(port: int, here: Iterable[_Translated]) -> route_pb2.RouteConfiguration:
    """A route configuration but for its virtual hosts."""
    config = route_pb2.RouteConfiguration(
        name=routes_name(port),
        # Also stripped by filters; these are added by filters after that, or open the probe.
        request_headers_to_remove=["x-imp-plan", PROBE_HEADER, "x-api-key"],
    )
    # A route to a cluster that Envoy lacks is a NACK and not a 503.
    config.validate_clusters.value = True
    revisions = {part.publish.id: part.publish.revision for part in here}
    config.metadata.filter_metadata[REVISIONS].update(revisions)
    return config


def _virtual_host(host: str, parts: list[_Translated]) -> rc.VirtualHost:
    virtual_host = rc.VirtualHost(name=host, domains=[host])
    virtual_host.routes.extend(part.probe for part in parts)
    # A probe that finds no probe route must not fall through to somebody's backend.
    stray = rc.RouteMatch(prefix="/")
    stray.headers.append(rc.HeaderMatcher(name=PROBE_HEADER, present_match=True))
    virtual_host.routes.append(not_found(stray))
    virtual_host.routes.extend(_ordered(parts))
    virtual_host.routes.append(not_found(rc.RouteMatch(prefix="/")))
    return virtual_host


def _ordered(parts: list[_Translated]) -> Iterator[rc.Route]:
    """Every path of a host, most specific first, each ending in its 405.

    The most specific path owns a call: a method that it lacks is a 405 even where a shorter prefix
    has it. Only an exact path passes on to the prefix of the very same path.
    """
    by_path: dict[Where, list[PathRoutes]] = {}
    for part in parts:
        for each in part.paths:
            by_path.setdefault(each.where, []).append(each)
    for where, same in sorted(by_path.items(), key=lambda item: item[0].rank()):
        for each in same:
            yield from each.routes
        sibling = Where("exact" if where.match == "prefix" else "prefix", where.path)
        if where.match == "exact" and sibling in by_path:
            continue
        methods = _methods(same)
        if where.match == "prefix" and sibling in by_path:
            both = by_path[sibling] + same
            yield not_allowed(sibling, _methods(both), both[0].rule)
        yield not_allowed(where, methods, same[0].rule)


def _methods(same: list[PathRoutes]) -> frozenset[str]:
    return frozenset[str]().union(*(each.methods for each in same))
