"""The translation, without any gateway: pure, and the same bytes for the same input."""

import random
import re

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf.json_format import MessageToJson
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.edge.drivers.envoy.check import check
from agents.edge.drivers.envoy.filters import limits_filter
from agents.edge.drivers.envoy.identity import identity_filter
from agents.edge.drivers.envoy.kinds import ContentError, Kind
from agents.edge.drivers.envoy.resources import Resources, Settings, Translator
from agents.edge.model import Access, Publish
from tests.agents.edge.drivers.rig import Keys, backend, changed, header, publish, route

SETTINGS = Settings(b"secret", "0.0.0.0", "/roots.pem")


def build(*publishes: Publish) -> Resources:
    return Translator(SETTINGS).build(publishes)


def raw(resources: Resources) -> list[tuple[str, bytes]]:
    kinds = (Kind.CLUSTER, Kind.LISTENER, Kind.ROUTES)
    return [(name, each.value) for kind in kinds for name, each in resources.of(kind).items()]


def table(resources: Resources, port: int) -> route_pb2.RouteConfiguration:
    return route_pb2.RouteConfiguration.FromString(resources.routes[f"port/{port}"].value)


def some_publishes() -> list[Publish]:
    return [
        publish(
            8080 + n % 2,
            route(f"/{n}", methods=["POST", "GET"], retries=2, rewrite="/"),
            route("/shared", set_request_headers=[header("x-a", "50%")]),
            backends=[backend(1000 + n), backend(2000 + n, host="up.test", tls=True)],
            host=f"h{n % 3}.test",
        )
        for n in range(8)
    ]


def test_the_same_snapshot_gives_the_same_bytes() -> None:
    publishes = some_publishes()
    shuffled = publishes[:]
    random.Random(1).shuffle(shuffled)

    assert raw(build(*publishes)) == raw(build(*shuffled))


def test_the_order_inside_a_bundle_means_nothing() -> None:
    routes = [
        route(path, methods=methods) for path in ["/a", "/b"] for methods in (["GET"], ["PUT"])
    ]
    backends = [backend(port) for port in (1, 2, 3)]
    one = publish([80, 81], *routes, backends=backends)
    other = Publish(one.id, one.revision, changed(one, routes=routes[::-1]).bundle)

    assert raw(build(one)) == raw(build(other))


def test_keys_and_limits_are_deterministic_and_apart() -> None:
    keys = Keys()
    some = publish(80, backends=[backend(1)])
    for _ in range(20):
        keys.grant(some, plan=keys.plan(some, 7))
    access = keys.access()
    backwards = Access(
        9, dict(reversed(access.grants.items())), dict(reversed(access.plans.items()))
    )
    digest = "0" * 64

    assert identity_filter(access, digest) == identity_filter(backwards, digest)
    assert limits_filter(access, 2) == limits_filter(backwards, 2)
    assert limits_filter(access, 2) == limits_filter(Access(1, {}, access.plans), 2)


def test_a_listener_depends_on_its_port_alone() -> None:
    """Whatever is published there: a changed listener would drain its connections."""
    some = some_publishes()
    full = build(*some).listeners["listener/8080"]

    assert build(some[0]).listeners["listener/8080"] == full
    assert build(changed(some[0], host="other.test")).listeners["listener/8080"] == full


def test_the_backends_of_a_service_are_one_cluster_of_the_revision() -> None:
    some = publish(80, backends=[backend(1, weight=3), backend(2, host="a.test"), backend(3)])
    resources = build(some)

    (name,) = resources.clusters
    assert name == f"up/{some.id}/{some.revision[:8]}/b1"
    cluster = cluster_pb2.Cluster.FromString(resources.clusters[name].value)
    assert cluster.type == cluster_pb2.Cluster.STRICT_DNS
    shares = [each.load_balancing_weight.value for each in cluster.load_assignment.endpoints]
    assert shares == [3, 1, 1]
    config = table(resources, 80)
    assert config.validate_clusters.value
    assert config.virtual_hosts[0].routes[2].route.cluster == name
    alone = build(publish(80, backends=[backend(1)])).clusters.values()
    assert [cluster_pb2.Cluster.FromString(each.value).type for each in alone] == [
        cluster_pb2.Cluster.STATIC
    ]


def test_backends_with_different_health_checks_share_by_weight() -> None:
    backends = [
        backend(1, weight=1, health_check_path="/a"),
        backend(2, weight=2, health_check_path="/b"),
        backend(3, weight=4),
        backend(4, weight=8, health_check_path="/a"),
    ]
    some = publish(80, backends=backends)
    resources = build(some)

    stem = f"up/{some.id}/{some.revision[:8]}"
    weighted = table(resources, 80).virtual_hosts[0].routes[2].route.weighted_clusters.clusters
    assert [(each.name, each.weight.value) for each in weighted] == [
        (f"{stem}/b1", 13),
        (f"{stem}/b2", 2),
    ]
    assert set(resources.clusters) == {f"{stem}/b1", f"{stem}/b2"}


def test_backends_that_no_route_reaches_get_no_cluster() -> None:
    some = publish(80, backends=[backend(1)])
    some.bundle.upstreams.add(id="spare", backends=[backend(2)])

    assert len(build(some).clusters) == 1


def test_every_virtual_host_ends_in_404() -> None:
    resources = build(*some_publishes())

    for port in (8080, 8081):
        hosts = table(resources, port).virtual_hosts
        assert hosts[-1].domains == ["*"]
        for host in hosts:
            last = host.routes[-1]
            assert (last.match.prefix, last.direct_response.status) == ("/", 404)
            auth = last.metadata.filter_metadata["identity"].fields["auth"].string_value
            assert auth == "none"


def test_every_route_of_a_keyed_publish_is_guarded() -> None:
    config = table(build(*some_publishes()), 8080)
    guarded = [
        each
        for host in config.virtual_hosts
        for each in host.routes
        if each.metadata.filter_metadata["identity"].fields["auth"].string_value == "api-key"
    ]

    assert guarded
    for each in guarded:
        identity = each.metadata.filter_metadata["identity"].fields
        assert identity["publish"].string_value in MessageToJson(config)
        assert "rbac" in each.typed_per_filter_config


_SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3)
_TEMPLATES = st.lists(st.sampled_from(["a", "b", "ab", "{}"]), max_size=3)
_ROUTES = st.lists(
    st.tuples(st.sampled_from(["prefix", "exact"]), _TEMPLATES, st.sampled_from(["GET", "PUT"])),
    min_size=1,
    max_size=8,
    unique_by=lambda each: (each[0], tuple(each[1]), each[2]),
)


@settings(max_examples=200, deadline=None)
@given(_ROUTES, _SEGMENTS, st.sampled_from(["GET", "PUT"]))
def test_the_order_of_routes_means_most_specific_first(
    declared: list[tuple[str, list[str], str]], asked: list[str], method: str
) -> None:
    """What Envoy's first match answers is what the rule says, for any set of routes."""
    paths = [(match, _named(segments), verb) for match, segments, verb in declared]
    some = publish(
        80,
        *(
            route(path, match=match, methods=[verb], id=f"{match}:{path}:{verb}")
            for match, path, verb in paths
        ),
        backends=[backend(1)],
    )
    config = table(build(some), 80)
    path = "/" + "/".join(asked)

    assert _first_match(config, path, method) == _rule(paths, path, method)


def _named(segments: list[str]) -> str:
    return "/" + "/".join(
        f"{{p{place}}}" if part == "{}" else part for place, part in enumerate(segments)
    )


def _first_match(config: route_pb2.RouteConfiguration, path: str, method: str) -> str:
    for each in config.virtual_hosts[0].routes:
        match, kind = each.match, each.match.WhichOneof("path_specifier")
        fits = {
            "path": path == match.path,
            "prefix": path.startswith(match.prefix),
            "path_separated_prefix": f"{path}/".startswith(f"{match.path_separated_prefix}/"),
            "safe_regex": re.fullmatch(match.safe_regex.regex, path) is not None,
        }[kind]
        for condition in match.headers:
            fits = fits and condition.name == ":method" and condition.string_match.exact == method
        if fits and each.direct_response.status:
            return str(each.direct_response.status)
        if fits:
            return each.name.partition("/")[2]
    raise AssertionError("nothing matched")


def _rule(paths: list[tuple[str, str, str]], path: str, method: str) -> str:
    """Walk the path segment by segment: who has the literal stays, else who has a parameter."""
    asked = [part for part in path.split("/") if part]
    fitting = [each for each in paths if _fits(each, asked)]
    for place in range(len(asked)):
        # A prefix that ended before is less specific than anything that goes on.
        longer = [each for each in fitting if len(_parts(each)) > place]
        literal = [each for each in longer if _parts(each)[place] == asked[place]]
        fitting = literal or longer or fitting
        if not longer:
            break
    exact = [each for each in fitting if each[0] == "exact"]
    for match, declared, verb in exact + [each for each in fitting if each[0] == "prefix"]:
        if verb == method:
            return f"{match}:{declared}:{verb}"
    return "405" if fitting else "404"


def _parts(route: tuple[str, str, str]) -> list[str]:
    return [part for part in route[1].split("/") if part]


def _fits(route: tuple[str, str, str], asked: list[str]) -> bool:
    parts = _parts(route)
    if len(parts) > len(asked) or (route[0] == "exact" and len(parts) < len(asked)):
        return False
    return all(part[0] == "{" or part == asked[place] for place, part in enumerate(parts))


def limited(**policies: object) -> dict[str, object]:
    return {"upstreams": [{"id": "main", "backends": [backend(1)], **policies}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 3}, "schema 3"),
        ({"schema": 0}, "schema 0"),
        ({"publish_id": "00000000-0000-4000-8000-000000000000"}, "another publish"),
        ({"auth": {"mode": "oauth2"}}, "'oauth2' is not supported"),
        ({"auth": {"mode": ""}}, "is not supported"),
        ({"listeners": []}, "no listener"),
        ({"listeners": [{"port": 0, "protocol": "HTTP"}]}, "port 0"),
        ({"listeners": [{"port": 70000, "protocol": "HTTP"}]}, "port 70000"),
        ({"listeners": [{"port": 80, "protocol": "HTTPS"}]}, "no certificate"),
        ({"listeners": [{"port": 80, "protocol": "TCP"}]}, "'TCP'"),
        ({"routes": []}, "no route"),
        ({"upstreams": [{"id": "main"}]}, "no backend"),
        ({"upstreams": [{"id": "main", "backends": [backend(1, id="a/b")]}]}, "not an id"),
        ({"upstreams": [{"id": "main", "backends": [backend(0)]}]}, "port 0"),
        ({"routes": [route("/{id}.json")]}, "no whole segment"),
        ({"routes": [route("/{a}{b}")]}, "no whole segment"),
        ({"routes": [route("/{}")]}, "no whole segment"),
        ({"routes": [route("/{id}/{id}")]}, "parameter twice"),
        ({"routes": [route("/{id}", rewrite="/{no}")]}, "unknown parameter"),
        ({"routes": [route("".join(f"/{{p{n}}}" for n in range(10)))]}, "too many parameters"),
        ({"routes": [route(remove_request_headers=["X-Consumer"])]}, "set by the gateway alone"),
        (limited(cors={"allow_origins": ["example.com"]}), "not an origin"),
        (limited(cors={"allow_origins": ["*"], "allow_credentials": True}), "for every origin"),
        (limited(cors={"max_age": 5}), "CORS for nobody"),
        (limited(callers={"allow": ["10.0.0.5/8"]}), "not a network"),
        (limited(callers={"deny": ["10.0.0.5"]}), "not a network"),
        (limited(callers={}), "callers of no network"),
    ],
)
def test_bundles_that_this_driver_does_not_serve(changes: dict[str, object], words: str) -> None:
    good = publish(80, backends=[backend(1)])
    check(good)
    bad = Publish(good.id, good.revision, changed(good, **changes).bundle)

    with pytest.raises(ContentError, match=words):
        check(bad)


def test_an_id_that_is_no_uuid_is_refused() -> None:
    """Ids enter file names, Lua source and header values."""
    for bad_id in ("../../etc", "5b0e0b1c-0000-4000-8000-00000000000A", ""):
        some = publish(80, backends=[backend(1)], publish_id=bad_id or "x")
        with pytest.raises(ContentError, match="not a UUID"):
            check(some)
