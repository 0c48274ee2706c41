"""What a service's policies do to calls. Every call is a real one through a real Envoy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.model import Access, Outcome, Publish
from tests.agents.edge.drivers.rig import (
    Answer,
    Echo,
    Keys,
    backend,
    call,
    header,
    of_bundle,
    publish,
    route,
    snapshot,
    status,
)

pytestmark = pytest.mark.envoy

SHOP = "https://shop.example.com"
CORS = {
    "allow_origins": [SHOP, "https://*.partner.example"],
    "allow_headers": ["content-type", "x-api-key"],
    "expose_headers": ["x-total"],
    "max_age": 600,
}
LOCAL = ["127.0.0.1/32"]


async def applied(driver: EnvoyDriver, *publishes: Publish, **changes: object) -> None:
    verdicts = await driver.apply(snapshot(*publishes, **changes))
    assert {each.outcome for each in verdicts.values()} == {Outcome.APPLIED}, verdicts


async def asked(port: int, path: str, origin: str, method: str = "GET") -> Answer:
    """A preflight, as browsers send it: without a credential."""
    headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", method),
        ("Access-Control-Request-Headers", "x-api-key"),
    ]
    return await call(port, path, method="OPTIONS", headers=headers)


def cors_of(answer: Answer) -> dict[str, str]:
    name = "access-control-"
    return {key.removeprefix(name): answer.headers[key] for key in answer.headers if name in key}


# --- CORS ------------------------------------------------------------------------------------------


async def test_a_preflight_of_a_keyed_route_needs_no_key(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    shop = publish(
        port,
        route("/orders", methods=["GET"]),
        route("/orders", methods=["POST"]),
        backends=[backend(echo.port)],
        cors=CORS,
    )
    await applied(driver, shop)

    answer = await asked(port, "/orders/7", SHOP, "POST")

    assert answer.status == 200
    assert cors_of(answer) == {
        "allow-origin": SHOP,
        "allow-methods": "GET, POST",
        "allow-headers": "content-type, x-api-key",
        "expose-headers": "x-total",
        "max-age": "600",
    }
    assert echo.calls == []


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (SHOP, True),
        ("https://a.partner.example", True),
        ("https://a.b.partner.example", True),
        ("https://partner.example", False),
        ("https://evil-partner.example", False),
        ("https://a.partner.example.evil", False),
        ("https://a.partner.example:8443", False),
        ("http://a.partner.example", False),
        ("http://shop.example.com", False),
        ("https://shop.example.com.evil", False),
        ("https://xshop.example.com", False),
        ("null", False),
    ],
)
async def test_which_origins_are_let_in(
    driver: EnvoyDriver, echo: Echo, port: int, origin: str, allowed: bool
) -> None:
    shop = publish(port, route("/cors"), backends=[backend(echo.port)], cors=CORS, mode="none")
    await applied(driver, shop)

    preflight = await asked(port, "/cors", origin)
    answer = await call(port, "/cors", headers=[("Origin", origin)])

    assert preflight.status == 200
    assert cors_of(preflight).get("allow-origin") == (origin if allowed else None)
    assert len(echo.calls) == 1, "no preflight reaches a backend"
    # The call itself is answered: it is the browser that keeps the answer from the page.
    assert answer.status == 200
    assert cors_of(answer) == (
        {"allow-origin": origin, "expose-headers": "x-total"} if allowed else {}
    ), "the backend's own word would have let everybody in"
    assert answer.headers["vary"] == "accept,origin"


async def test_a_page_can_read_why_it_was_refused(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    """Refusals carry the origin, or a browser shows the page a network error."""
    shop = publish(
        port,
        route("/orders", methods=["GET", "POST"]),
        backends=[backend(echo.port)],
        cors=CORS,
        max_request_bytes=5,
    )
    other = publish(port, route("/other"), backends=[backend(echo.port)])
    key, foreign = keys.grant(shop, plan=keys.plan(shop, 2)), keys.grant(other)
    await driver.apply_access(keys.access())
    await applied(driver, shop, other)

    async def answer(key: str | None, method: str = "GET", body: bytes = b"") -> tuple[int, str]:
        headers = [("Origin", SHOP), ("Content-Length", str(len(body)))]
        got = await call(port, "/orders", key, method=method, headers=headers, body=body)
        return got.status, cors_of(got).get("allow-origin", "")

    assert await answer(None) == (401, SHOP)
    assert await answer(foreign) == (403, SHOP)
    assert await answer(key, "POST", b"123456") == (413, SHOP)
    assert {await answer(key) for _ in range(4)} == {(200, SHOP), (429, SHOP)}


async def test_each_service_of_a_path_has_its_own_cors(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    both = publish(
        port,
        route("/a", methods=["GET"]),
        route("/a", methods=["PUT"], upstream_id="strict"),
        backends=[backend(echo.port)],
        cors=CORS,
        mode="none",
    )
    both.bundle.upstreams.add(
        id="strict",
        backends=[backend(echo.port)],
        cors={"allow_origins": ["https://admin.example.com"], "allow_methods": ["PUT"]},
    )
    both = of_bundle(both.bundle)
    await applied(driver, both)

    assert "allow-origin" in cors_of(await asked(port, "/a", SHOP, "GET"))
    assert "allow-origin" not in cors_of(await asked(port, "/a", SHOP, "PUT"))
    admin = await asked(port, "/a", "https://admin.example.com", "PUT")
    assert cors_of(admin)["allow-methods"] == "PUT"
    # A method that nobody has is no preflight's business.
    assert (await asked(port, "/a", SHOP, "DELETE")).status == 405


async def test_every_origin_and_credentials(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    anyone = publish(
        port,
        route("/any"),
        backends=[backend(echo.port)],
        mode="none",
        cors={"allow_origins": ["*"]},
    )
    named = publish(
        port,
        route("/named"),
        backends=[backend(echo.port)],
        mode="none",
        cors={"allow_origins": [SHOP], "allow_credentials": True},
    )
    await applied(driver, anyone, named)

    assert "allow-origin" in cors_of(await asked(port, "/any", "https://who.ever"))
    assert cors_of(await asked(port, "/named", SHOP))["allow-credentials"] == "true"
    assert "allow-credentials" not in cors_of(await asked(port, "/any", SHOP))


async def test_options_without_cors_are_a_method_like_any_other(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    plain = publish(port, backends=[backend(echo.port)], mode="none")
    declared = publish(
        port,
        route("/declared", methods=["GET", "OPTIONS"]),
        backends=[backend(echo.port)],
        mode="none",
        cors=CORS,
    )
    await applied(driver, plain, declared)

    assert (await asked(port, "/billing", SHOP)).status == 405
    # With CORS a preflight is the gateway's; another OPTIONS reaches the backend that asked for it.
    assert "allow-origin" not in cors_of(await asked(port, "/declared", "https://evil.example"))
    assert echo.calls == []
    assert (await asked(port, "/declared", "")).json[
        "path"
    ] == "/declared"  # no origin, no preflight
    assert (await call(port, "/declared", method="OPTIONS")).json["method"] == "OPTIONS"


# --- Addresses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("callers", "expected"),
    [
        ({"allow": LOCAL}, 200),
        ({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.2/32"]}, 200),
        ({"allow": ["10.0.0.0/8", "2001:db8::/32"]}, 403),
        ({"deny": LOCAL}, 403),
        ({"deny": ["10.0.0.0/8"]}, 200),
        ({"allow": ["0.0.0.0/0", "::/0"], "deny": ["127.0.0.0/8"]}, 403),
    ],
)
async def test_who_may_call_by_address(
    driver: EnvoyDriver, echo: Echo, port: int, callers: dict[str, list[str]], expected: int
) -> None:
    inner = publish(port, backends=[backend(echo.port)], mode="none", callers=callers)
    await applied(driver, inner)

    answer = await call(port, "/billing")

    assert answer.status == expected
    assert expected == 200 or answer.code == "address_not_allowed"
    assert len(echo.calls) == (expected == 200)


async def test_an_address_is_refused_before_anything_else_is_told(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    inner = publish(port, backends=[backend(echo.port)], callers={"deny": LOCAL}, cors=CORS)
    key = keys.grant(inner)
    await driver.apply_access(keys.access())
    await applied(driver, inner)  # proved, though the agent's own calls come from there

    assert await status(port, "/billing") == 403
    assert await status(port, "/billing", key) == 403
    assert await status(port, "/billing", key, method="PUT") == 403
    assert (await asked(port, "/billing", SHOP)).status == 403
    assert echo.calls == []


async def test_callers_do_not_choose_their_address(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    inner = publish(port, backends=[backend(echo.port)], mode="none", callers={"deny": LOCAL})
    await applied(driver, inner)

    for name in ("x-forwarded-for", "x-real-ip", "forwarded", "x-envoy-external-address"):
        assert await status(port, "/billing", headers=[(name, "203.0.113.9")]) == 403, name


async def test_trusted_proxies_say_who_calls(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    partner = ["203.0.113.0/24"]
    inner = publish(port, backends=[backend(echo.port)], mode="none", callers={"allow": partner})
    good, evil = "203.0.113.9", "198.51.100.1"

    async def through(forwarded: str) -> int:
        return await status(port, "/billing", headers=[("x-forwarded-for", forwarded)])

    await applied(driver, inner, trusted_hops=1)
    assert await through(good) == 200
    assert await through(evil) == 403
    assert await through(f"{good}, {evil}") == 403
    assert await through(f"{evil}, {good}") == 200
    assert await status(port, "/billing") == 403

    # The operator's word counts without any publish.
    assert await driver.apply(snapshot(inner, trusted_hops=2)) == {}
    assert await through(f"{good}, {evil}") == 200
    await driver.apply(snapshot(inner))
    assert await through(good) == 403


async def test_a_new_agent_trusts_the_same_proxies(
    drivers: Callable[..., EnvoyDriver], echo: Echo, port: int
) -> None:
    callers = {"allow": ["203.0.113.0/24"]}
    inner = publish(port, backends=[backend(echo.port)], mode="none", callers=callers)
    first, said = drivers(), snapshot(inner, trusted_hops=1)
    await first.start(snapshot(), Access(version=0))
    await first.apply(said)
    await first.detach()

    await drivers().start(said, Access(version=0))

    assert await status(port, "/billing", headers=[("x-forwarded-for", "203.0.113.9")]) == 200


# --- Sizes -----------------------------------------------------------------------------------------


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


async def post(
    port: int, body: bytes, *, in_chunks: bool = False, key: str | None = None
) -> Answer:
    headers = [("Content-Length", str(len(body)))]
    if in_chunks:
        headers, body = [("Transfer-Encoding", "chunked")], chunked(body[:3], body[3:])
    return await call(port, "/billing", key, method="POST", headers=headers, body=body)


@pytest.mark.parametrize("in_chunks", [False, True])
async def test_how_long_a_body_may_be(
    driver: EnvoyDriver, echo: Echo, port: int, in_chunks: bool
) -> None:
    inbox = publish(
        port,
        route(methods=["GET", "POST"]),
        backends=[backend(echo.port)],
        mode="none",
        max_request_bytes=10,
    )
    await applied(driver, inbox)

    exact = await post(port, b"0123456789", in_chunks=in_chunks)
    longer = await post(port, b"0123456789a", in_chunks=in_chunks)

    assert (exact.status, echo.calls[0]["length"]) == (200, 10)
    assert (longer.status, longer.code) == (413, "request_too_large")
    assert await status(port, "/billing") == 200
    assert len(echo.calls) == 2


async def test_a_key_is_asked_for_before_a_size(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    inbox = publish(
        port, route(methods=["POST"]), backends=[backend(echo.port)], max_request_bytes=10
    )
    key = keys.grant(inbox)
    await driver.apply_access(keys.access())
    await applied(driver, inbox)
    long = b"x" * 1000

    assert (await post(port, long)).status == 401
    assert (await post(port, long, in_chunks=True)).status == 401
    assert (await post(port, long, key=key)).status == 413
    assert (await post(port, long, key=key, in_chunks=True)).status == 413
    assert (await post(port, b"x", key=key)).status == 200


async def test_a_large_body_passes_where_it_may(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    """Beyond what is held back of a body without a declared length, and beyond Envoy's own buffers."""
    inbox = publish(
        port,
        route(methods=["POST"]),
        backends=[backend(echo.port)],
        mode="none",
        max_request_bytes=20_000_000,
    )
    await applied(driver, inbox)
    large = b"x" * 11_000_000

    assert (await post(port, large)).json["length"] == len(large)
    assert (await post(port, large[:2_000_000], in_chunks=True)).json["length"] == 2_000_000
    assert (await post(port, large, in_chunks=True)).status == 413


# --- Headers ---------------------------------------------------------------------------------------


async def test_headers_are_taken_away_and_set(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    transformed = route(
        "/cors",
        remove_request_headers=["cookie", "x-old"],
        remove_response_headers=["vary", "server"],
        set_request_headers=[header("x-new", "1")],
    )
    await applied(driver, publish(port, transformed, backends=[backend(echo.port)], mode="none"))

    sent = [("Cookie", "a=b"), ("X-Old", "1"), ("X-Old", "2"), ("X-New", "0"), ("X-Kept", "1")]
    answer = await call(port, "/cors", headers=sent)

    assert not {"cookie", "x-old"} & answer.seen.keys()
    assert (answer.seen["x-new"], answer.seen["x-kept"]) == ("1", "1")
    assert "vary" not in answer.headers
    assert "access-control-allow-origin" in answer.headers  # no policy, so it is the backend's
