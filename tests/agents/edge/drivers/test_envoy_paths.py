"""Which calls reach which route, and as what they arrive."""

import pytest

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.model import Outcome
from tests.agents.edge.drivers.rig import (
    HOST,
    Echo,
    Keys,
    backend,
    call,
    header,
    publish,
    route,
    snapshot,
    status,
)

pytestmark = pytest.mark.envoy


async def test_paths_have_one_name(driver: EnvoyDriver, echo: Echo, keys: Keys, port: int) -> None:
    """The keyed route must not be reachable through the public one, spelled differently."""
    billing = publish(port, backends=[backend(echo.port)])
    public = publish(port, route("/public"), backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(billing, public))

    assert (await call(port, "/public/..%2fbilling")).code == "bad_request"
    assert await status(port, "/public/..%5cbilling") == 400
    assert await status(port, "/public%2fx") == 400
    assert await status(port, "/public/../billing") == 401
    assert await status(port, "/public/%2e%2e/billing") == 401
    assert await status(port, "/public/./../billing/x") == 401
    assert await status(port, "//billing") == 401
    assert await status(port, "/bill%69ng") == 401
    assert await status(port, "/billing/../x") == 404
    assert await status(port, "/billingfoo") == 404
    assert await status(port, "/BILLING") == 404
    assert echo.calls == []
    # ".." takes the empty segment away; what counts is that the backend sees what was matched.
    assert (await call(port, "/public//..//billing")).json["path"] == "/public/billing"


async def test_hosts_are_names(driver: EnvoyDriver, echo: Echo, keys: Keys, port: int) -> None:
    public = publish(port, backends=[backend(echo.port)], mode="none", host="Pay.Test")
    await driver.apply(snapshot(public))

    for host in (
        "pay.test",
        "PAY.test",
        f"pay.test:{port}",
        "pay.test:1",
        "PAY.TEST.",
        "pay.test.",
    ):
        assert await status(port, "/billing", host=host) == 200, host
    for host in ("other.test", "pay.test.evil", "xpay.test", "127.0.0.1"):
        answer = await call(port, "/billing", host=host)
        assert (answer.status, answer.code) == (404, "not_found"), host


async def test_the_most_specific_path_wins(driver: EnvoyDriver, port: int) -> None:
    echoes = {name: Echo(name) for name in ("root", "orders", "mine", "exact")}
    paths = {"root": "/", "orders": "/orders", "mine": "/orders/mine/"}
    parts = [
        publish(port, route(path), backends=[backend(echoes[name].port)], mode="none")
        for name, path in paths.items()
    ]
    exact = route("/orders", match="exact", methods=["POST"])
    parts.append(publish(port, exact, backends=[backend(echoes["exact"].port)], mode="none"))
    await driver.apply(snapshot(*parts))

    async def served_by(path: str, method: str = "GET") -> str | int:
        answer = await call(port, path, method=method)
        return answer.json["name"] if answer.status == 200 else answer.status

    assert await served_by("/") == "root"
    assert await served_by("/other/x?y=1") == "root"
    assert await served_by("/ordersx") == "root"
    assert await served_by("/orders/x") == "orders"
    assert await served_by("/orders/mine") == "mine"
    assert await served_by("/orders/mine/7") == "mine"
    assert await served_by("/orders/miner") == "orders"
    # The exact path passes what it lacks on to the prefix of the same path ...
    assert await served_by("/orders", "POST") == "exact"
    assert await served_by("/orders", "GET") == "orders"
    assert (await call(port, "/orders", method="PUT")).headers["allow"] == "GET, POST"
    # ... but no path passes a method on to a shorter one.
    assert await served_by("/orders/x", "POST") == 405
    for echo in echoes.values():
        echo.close()


async def test_methods_of_one_path_go_to_different_backends(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    other = Echo("other")
    read = publish(port, route("/a"), backends=[backend(echo.port)], mode="none")
    write = publish(
        port, route("/a", methods=["POST", "PUT"]), backends=[backend(other.port)], mode="none"
    )
    await driver.apply(snapshot(read, write))

    assert (await call(port, "/a")).json["name"] == "echo"
    assert (await call(port, "/a", method="PUT")).json["name"] == "other"
    assert (await call(port, "/a", method="DELETE")).headers["allow"] == "GET, POST, PUT"
    other.close()


@pytest.mark.parametrize(
    ("match", "path", "rewrite", "asked", "arrives"),
    [
        ("prefix", "/billing", "", "/billing/x?a=1", "/billing/x?a=1"),
        ("prefix", "/billing", "/", "/billing/x?a=1", "/x?a=1"),
        ("prefix", "/billing", "/", "/billing", "/"),
        ("prefix", "/billing", "/", "/billing?a=/billing/b", "/?a=/billing/b"),
        ("prefix", "/billing", "/", "/billing/", "/"),
        ("prefix", "/b.c", "/", "/b.c/b.c/x", "/b.c/x"),
        ("prefix", "/billing", "/v2", "/billing/x", "/v2/x"),
        ("prefix", "/billing", "/v2/", "/billing/x", "/v2/x"),
        ("prefix", "/billing", "/v2", "/billing", "/v2"),
        ("prefix", "/", "/v2", "/x/y", "/v2/x/y"),
        ("prefix", "/", "/", "/x", "/x"),
        ("exact", "/billing", "/", "/billing?a=1", "/?a=1"),
        ("exact", "/billing", "/v2/all", "/billing", "/v2/all"),
        ("prefix", "/billing", "/%ENVIRONMENT(HOME)%", "/billing/x", "/%ENVIRONMENT(HOME)%/x"),
        ("exact", "/billing", r"/\1%PROTOCOL%", "/billing", r"/\1%PROTOCOL%"),
    ],
)
async def test_rewrites(
    driver: EnvoyDriver,
    echo: Echo,
    port: int,
    match: str,
    path: str,
    rewrite: str,
    asked: str,
    arrives: str,
) -> None:
    rewritten = route(path, match=match, rewrite=rewrite)
    await driver.apply(
        snapshot(publish(port, rewritten, backends=[backend(echo.port)], mode="none"))
    )

    assert (await call(port, asked)).json["path"] == arrives


async def test_header_values_are_literal(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    texts = ["%ENVIRONMENT(HOME)%", "100%", "%%", "%REQ(x-secret)%", "%not a command"]
    transformed = route(
        set_request_headers=[header(f"x-in-{i}", text) for i, text in enumerate(texts)],
        set_response_headers=[header(f"x-out-{i}", text) for i, text in enumerate(texts)],
    )
    public = publish(port, transformed, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(public))

    answer = await call(port, "/billing", headers=[("x-in-0", "the caller's"), ("x-secret", "s")])

    assert [answer.seen[f"x-in-{i}"] for i in range(len(texts))] == texts
    assert [answer.headers[f"x-out-{i}"] for i in range(len(texts))] == texts


async def test_callers_do_not_steer_the_gateway(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    public = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(public))
    steering = [
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-max-retries", "9"),
        ("x-envoy-original-path", "/evil"),
    ]

    assert await status(port, "/billing/slow", headers=steering) == 200
    assert await status(port, "/billing/status/503", headers=steering) == 503
    assert len(echo.calls) == 2
    seen = dict(echo.calls[0]["headers"])
    assert not {name for name, _ in steering} & seen.keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"set_request_headers": [header("x-consumer", "me")]}, "x-consumer"),
        ({"set_request_headers": [header("X-Imp-Plan", "gold")]}, "X-Imp-Plan"),
        ({"set_request_headers": [header("transfer-encoding", "chunked")]}, "transfer-encoding"),
        ({"set_request_headers": [header(":path", "/evil")]}, "headers may not be modified"),
        ({"set_request_headers": [header("x-a", "b\r\nx-evil: c")]}, "value"),
        ({"methods": []}, "no method"),
        ({"methods": ["GET|.*"]}, "not a method"),
        ({"path": "/a?b"}, "not a path"),
        ({"path": "a"}, "begin with /"),
        ({"match": "regex"}, "match 'regex'"),
        ({"upstream_id": "none"}, "no backend"),
    ],
)
async def test_what_is_refused_says_why(
    driver: EnvoyDriver, echo: Echo, port: int, changes: dict[str, object], words: str
) -> None:
    bad = publish(port, route(**{"path": "/billing", **changes}), backends=[backend(echo.port)])

    verdict = (await driver.apply(snapshot(bad)))[bad.id]

    assert verdict.outcome is Outcome.FAILED
    assert words in verdict.error


@pytest.mark.parametrize("host", ["*", "*.test", "", "a b", "-a.test", "a..b", "é.test"])
async def test_a_host_cannot_be_a_pattern(
    driver: EnvoyDriver, echo: Echo, port: int, host: str
) -> None:
    bad = publish(port, backends=[backend(echo.port)], host=host)
    good = publish(port, backends=[backend(echo.port)], host=HOST)

    verdicts = await driver.apply(snapshot(bad, good))

    assert "is not a host name" in verdicts[bad.id].error
    assert verdicts[good.id].outcome is Outcome.APPLIED


async def test_parameters_stand_for_one_segment(driver: EnvoyDriver, port: int) -> None:
    echoes = {name: Echo(name) for name in ("one", "me", "below", "orders", "rest")}
    routes = {
        "one": route("/users/{id}", match="exact"),
        "me": route("/users/me", match="exact"),
        "below": route("/users/me/{thing}", match="exact", methods=["GET", "PUT"]),
        "orders": route("/users/{id}/orders"),
        "rest": route("/"),
    }
    parts = [
        publish(port, each, backends=[backend(echoes[name].port)], mode="none")
        for name, each in routes.items()
    ]
    verdicts = await driver.apply(snapshot(*parts))
    assert {each.outcome for each in verdicts.values()} == {Outcome.APPLIED}, verdicts

    async def served_by(path: str, method: str = "GET") -> str | int:
        answer = await call(port, path, method=method)
        return answer.json["name"] if answer.status == 200 else answer.status

    assert await served_by("/users/7") == "one"
    assert await served_by("/users/7?x=/y") == "one"
    assert await served_by("/users/%EA%B2%B0.x") == "one"
    assert await served_by("/users/me") == "me"
    assert await served_by("/users/me/orders") == "below"
    assert await served_by("/users/me/orders", "PUT") == "below"
    assert await served_by("/users/7/orders") == "orders"
    assert await served_by("/users/7/orders/") == "orders"
    assert await served_by("/users/7/orders/9/lines?a=b") == "orders"
    assert await served_by("/users/me/orders/9") == "orders"
    assert await served_by("/users/7/ordersx") == "rest"
    assert await served_by("/users/7/x") == "rest"
    assert await served_by("/users/") == "rest"
    assert await served_by("/users") == "rest"
    assert await served_by("/users/7", "PUT") == 405
    assert await served_by("/users/7%2Forders") == 400
    for echo in echoes.values():
        echo.close()


async def test_a_keyed_path_with_parameters(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    """Proved like any other, and its key is asked for before its methods are told."""
    reading = route("/users/{id}", match="exact")
    writing = route("/users/{name}", match="exact", methods=["PUT"])
    users = publish(port, reading, writing, backends=[backend(echo.port)])
    key = keys.grant(users)
    await driver.apply_access(keys.access())

    verdict = (await driver.apply(snapshot(users)))[users.id]

    assert verdict.outcome is Outcome.APPLIED, verdict
    assert {(each.path, each.got) for each in verdict.probe} == {
        ("/users/-", 401),
        ("/users/-", 200),
    }
    assert await status(port, "/users/7") == 401
    assert await status(port, "/users/7", key) == 200
    assert await status(port, "/users/7", key, method="PUT") == 200
    assert (await call(port, "/users/7", key, method="POST")).headers["allow"] == "GET, PUT"


LONG = "/" + "/".join(f"{'x' * 40}/{{p{number}}}" for number in range(9))


@pytest.mark.parametrize(
    ("match", "path", "rewrite", "asked", "arrives"),
    [
        ("exact", "/u/{id}", "", "/u/7?a=1", "/u/7?a=1"),
        ("exact", "/u/{id}", "/users/{id}/all", "/u/7?a=/u/1", "/users/7/all?a=/u/1"),
        ("exact", "/u/{id}", "/fixed", "/u/7?a=1", "/fixed?a=1"),
        ("exact", "/u/{id}", "/", "/u/7", "/"),
        ("exact", "/u/{a}/{b}", "/{b}/{a}", "/u/1/2", "/2/1"),
        ("exact", "/u/{a}/{b}", "/only/{b}", "/u/1/2", "/only/2"),
        ("exact", "/u.x/{id}", "/y/{id}", "/u.x/%41%2e", "/y/A."),
        ("exact", "/u/{id}", r"/\1/\0%PROTOCOL%/{id}", "/u/7", r"/\1/\0%PROTOCOL%/7"),
        ("prefix", "/u/{id}", "/users/{id}", "/u/7/x/y?a=1", "/users/7/x/y?a=1"),
        ("prefix", "/u/{id}", "/users/{id}/", "/u/7", "/users/7"),
        ("prefix", "/u/{id}/o", "/{id}", "/u/7/o/u/8/o", "/7/u/8/o"),
        ("prefix", "/u/{id}", "/", "/u/7/x", "/x"),
        ("prefix", "/u/{id}", "/", "/u/7", "/"),
        ("prefix", "/{id}", "/v2", "/7/x", "/v2/x"),
        ("prefix", LONG, "/{p8}/{p0}", LONG.replace("{", "").replace("}", "") + "/z", "/p8/p0/z"),
    ],
)
async def test_rewrites_with_parameters(
    driver: EnvoyDriver,
    echo: Echo,
    port: int,
    match: str,
    path: str,
    rewrite: str,
    asked: str,
    arrives: str,
) -> None:
    rewritten = route(path, match=match, rewrite=rewrite)
    one = publish(port, rewritten, backends=[backend(echo.port)], mode="none")
    verdict = (await driver.apply(snapshot(one)))[one.id]
    assert verdict.outcome is Outcome.APPLIED, verdict

    assert (await call(port, asked)).json["path"] == arrives
