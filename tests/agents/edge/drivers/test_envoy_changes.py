"""Changing what is served: together where possible, apart where one is refused, proved always."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from agents.edge.drivers.envoy import EnvoyDriver, rollout
from agents.edge.drivers.envoy.kinds import Kind, NoVerdict
from agents.edge.model import Outcome, Publish
from tests.agents.edge.drivers.rig import (
    HOST,
    Echo,
    Keys,
    backend,
    call,
    changed,
    free_port,
    header,
    of_bundle,
    publish,
    route,
    snapshot,
    status,
)

pytestmark = pytest.mark.envoy

# Only Envoy knows that this may not be set.
BAD_HEADER = header(":path", "/evil")


async def stats(driver: EnvoyDriver, what: str) -> dict[str, int]:
    transport = httpx.AsyncHTTPTransport(uds=driver._sockets.admin)
    async with httpx.AsyncClient(transport=transport) as client:
        text = (await client.get(f"http://envoy/stats?filter={what}")).text
    return {name: int(value) for name, value in (line.split(": ") for line in text.splitlines())}


@asynccontextmanager
async def steady_calls(port: int, path: str = "/billing") -> AsyncIterator[list[int]]:
    """Call all the while; yields what came back."""
    answers: list[int] = []

    async def go_on() -> None:
        while True:
            answers.append(await status(port, path))
            await asyncio.sleep(0.001)

    task = asyncio.create_task(go_on())
    try:
        yield answers
        await asyncio.sleep(0.05)
        if task.done():
            task.result()
    finally:
        task.cancel()


@pytest.fixture
def held_port() -> AsyncIterator[socket.socket]:
    """A port that another process holds."""
    holder = socket.socket()
    holder.bind(("0.0.0.0", 0))
    holder.listen()
    yield holder
    holder.close()


async def test_one_listener_serves_many_publishes(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    to_echo = [backend(echo.port)]
    first = publish(port, route("/billing"), backends=to_echo, mode="none")
    same_host = publish(port, route("/invoice"), backends=to_echo, mode="none")
    other_host = publish(port, route("/billing"), backends=to_echo, mode="none", host="b.test")
    await driver.apply(snapshot(first, same_host, other_host))

    assert await status(port, "/billing") == 200
    assert await status(port, "/invoice") == 200
    assert await status(port, "/billing", host="b.test") == 200
    assert await status(port, "/invoice", host="b.test") == 404
    assert list(driver._ads.offered(Kind.LISTENER)) == [f"listener/{port}"]
    assert list(driver._ads.offered(Kind.ROUTES)) == [f"port/{port}"]


async def test_a_publish_is_on_each_of_its_ports(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    second = free_port()
    both = publish([port, second], backends=[backend(echo.port)], mode="none")

    verdict = (await driver.apply(snapshot(both)))[both.id]

    assert {probe.port for probe in verdict.probe} == {port, second}
    assert await status(second, "/billing") == 200


async def test_the_proof_of_a_keyed_publish(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])

    verdict = (await driver.apply(snapshot(billing)))[billing.id]

    assert verdict.outcome is Outcome.APPLIED
    assert [(each.with_credential, each.expected, each.got) for each in verdict.probe] == [
        (False, 401, 401),
        (True, 200, 200),
    ]
    assert verdict.probe[1].body == f"{billing.id}@{billing.revision[:8]}"
    assert {(each.method, each.host, each.port, each.path) for each in verdict.probe} == {
        ("GET", HOST, port, "/billing")
    }
    assert all(each.latency_ms > 0 for each in verdict.probe)
    assert verdict.apply_ms > 0
    assert verdict.probe_ms > 0
    assert echo.calls == []


async def test_the_proof_of_a_public_publish(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    public = publish(port, backends=[backend(echo.port)], mode="none")

    verdict = (await driver.apply(snapshot(public)))[public.id]

    assert [(each.with_credential, each.got, each.body) for each in verdict.probe] == [
        (False, 200, f"{public.id}@{public.revision[:8]}")
    ]
    assert echo.calls == []


async def test_the_agents_key_opens_nothing_but_the_probe(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    await driver.apply(snapshot(billing))

    assert await status(port, "/billing", driver._probe_key) == 401


async def test_a_consumers_key_does_not_open_the_probe(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    key = keys.grant(billing)
    await driver.apply_access(keys.access())
    await driver.apply(snapshot(billing))
    token = driver._changes._prober._settings.probe_token(billing.id)

    assert await status(port, "/billing", key, headers=[("x-imp-probe", token)]) == 401


async def test_what_is_withdrawn_is_404_and_its_port_stays_open(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    key = keys.grant(billing)
    await driver.apply_access(keys.access())
    await driver.apply(snapshot(billing))

    verdict = (await driver.apply(snapshot()))[billing.id]

    assert verdict.outcome is Outcome.APPLIED
    assert [(each.expected, each.got) for each in verdict.probe] == [(404, 404)]
    assert await status(port, "/billing", key) == 404
    assert await driver.observe() == {}
    assert driver._ads.offered(Kind.CLUSTER) == {}
    assert await driver.apply(snapshot()) == {}

    assert (await driver.apply(snapshot(billing)))[billing.id].outcome is Outcome.APPLIED
    assert await status(port, "/billing", key) == 200
    assert (await stats(driver, "listener_manager.listener_added"))[
        "listener_manager.listener_added"
    ] == 1


async def test_a_withdrawal_is_not_proved_by_somebody_elses_backend(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    catch_all = publish(port, route("/"), backends=[backend(echo.port)], mode="none")
    billing = publish(port, backends=[backend(echo.port)])
    await driver.apply(snapshot(catch_all, billing))

    verdict = (await driver.apply(snapshot(catch_all)))[billing.id]

    assert verdict.outcome is Outcome.APPLIED
    assert echo.calls == []


async def test_a_new_revision_is_no_outage(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    billing = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(billing))

    async with steady_calls(port) as answers:
        for number in range(8):
            also = route(f"/extra-{number}")
            billing = changed(billing, routes=[route("/billing"), also])
            verdict = (await driver.apply(snapshot(billing)))[billing.id]
            assert verdict.outcome is Outcome.APPLIED
            assert await status(port, f"/extra-{number}") == 200

    assert len(answers) > 20
    assert set(answers) == {200}


async def test_an_open_connection_survives_publishes_and_keys(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    public = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(public))
    extras: list[Publish] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for number in range(4):
            answer = await client.get("/billing", headers={"host": HOST})
            assert answer.status_code == 200
            assert "connection" not in answer.headers
            extras.append(publish(port, route(f"/{number}"), backends=[backend(echo.port)]))
            keys.grant(extras[-1])
            await driver.apply_access(keys.access())
            await driver.apply(snapshot(public, *extras))
        await driver.apply(snapshot(public))
        await client.get("/billing", headers={"host": HOST})
    connections = await stats(driver, f"http.port_{port}.downstream_cx_total")

    # Ours, and one for each probe: 1 + 4 × 2 + 4 × 1.
    assert connections[f"http.port_{port}.downstream_cx_total"] == 1 + 1 + 4 * 2 + 4
    assert (await stats(driver, "drain_close"))[f"http.port_{port}.downstream_cx_drain_close"] == 0


async def test_the_bad_are_found_and_the_good_go_live(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    to_echo = [backend(echo.port)]
    good = [publish(port, route(f"/{n}"), backends=to_echo, mode="none") for n in range(6)]
    bad = [
        publish(port, route(f"/bad-{n}", set_request_headers=[BAD_HEADER]), backends=to_echo)
        for n in range(2)
    ]

    verdicts = await driver.apply(snapshot(*good, *bad))

    assert {verdicts[each.id].outcome for each in good} == {Outcome.APPLIED}
    for each in bad:
        assert verdicts[each.id].outcome is Outcome.FAILED
        assert "headers may not be modified" in verdicts[each.id].error
        assert verdicts[each.id].probe == ()
    for number in range(6):
        assert await status(port, f"/{number}") == 200
    assert await status(port, "/bad-0") == 404
    live = await driver.observe()
    assert live[bad[0].id].revision == ""
    assert "headers may not be modified" in live[bad[0].id].error
    assert live[good[0].id].revision == good[0].revision


async def test_a_refused_revision_leaves_the_last_good_one(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(billing))
    worse = changed(billing, routes=[route("/new", set_request_headers=[BAD_HEADER])])

    async with steady_calls(port) as answers:
        verdict = (await driver.apply(snapshot(worse)))[billing.id]

    assert verdict.outcome is Outcome.FAILED
    assert set(answers) == {200}
    live = (await driver.observe())[billing.id]
    assert live.revision == billing.revision
    assert "headers may not be modified" in live.error
    # Going back to it is no change: nothing to judge, and no error any more.
    assert await driver.apply(snapshot(billing)) == {}
    assert (await driver.observe())[billing.id].error == ""


async def test_a_held_port_is_refused_in_envoys_words(
    driver: EnvoyDriver, echo: Echo, port: int, held_port: socket.socket
) -> None:
    taken = held_port.getsockname()[1]
    good = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(good))
    unlucky = publish(taken, backends=[backend(echo.port)], mode="none", deployment="first")
    also = publish(port, route("/also"), backends=[backend(echo.port)], mode="none")

    async with steady_calls(port) as answers:
        verdicts = await driver.apply(snapshot(good, unlucky, also))

    assert verdicts[unlucky.id].outcome is Outcome.FAILED
    assert "Address already in use" in verdicts[unlucky.id].error
    assert verdicts[also.id].outcome is Outcome.APPLIED
    assert set(answers) == {200}

    rejected = await stats(driver, "update_rejected")
    settled = of_bundle(unlucky.bundle)  # the server names no deployment that has its verdict
    for manifest in ((good, unlucky, also), (good, settled, also), (good, also)):
        assert await driver.apply(snapshot(*manifest)) == {}
    assert await stats(driver, "update_rejected") == rejected


async def test_a_new_deployment_of_the_same_bytes_is_a_new_attempt(
    driver: EnvoyDriver, echo: Echo, held_port: socket.socket
) -> None:
    taken = held_port.getsockname()[1]
    unlucky = publish(taken, backends=[backend(echo.port)], mode="none", deployment="first")
    assert (await driver.apply(snapshot(unlucky)))[unlucky.id].outcome is Outcome.FAILED
    held_port.close()
    assert await driver.apply(snapshot(unlucky)) == {}

    again = of_bundle(unlucky.bundle, "second")
    assert (await driver.apply(snapshot(again)))[unlucky.id].outcome is Outcome.APPLIED
    assert await status(taken, "/billing") == 200


async def test_a_deployment_of_what_is_live_is_proved_again(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    first = publish(port, backends=[backend(echo.port)], deployment="first")
    await driver.apply(snapshot(first))
    assert await driver.apply(snapshot(first)) == {}
    updates = await stats(driver, "update_success")

    second = of_bundle(first.bundle, "second")
    verdict = (await driver.apply(snapshot(second)))[first.id]

    assert verdict.outcome is Outcome.APPLIED
    assert [each.got for each in verdict.probe] == [401, 200]
    assert await stats(driver, "update_success") == updates
    assert await driver.apply(snapshot(second)) == {}
    assert await driver.apply(snapshot(of_bundle(first.bundle))) == {}


async def test_what_calls_do_not_show_is_taken_back(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    """Envoy takes a path that no normalised call can have; the probe finds out."""
    billing = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(billing))
    unreachable = [route("/a//b", match="exact"), route("/billing")]
    worse = changed(billing, routes=unreachable)
    new = publish(port, *unreachable, backends=[backend(echo.port)], mode="none", host="new.test")

    verdicts = await driver.apply(snapshot(worse, new))

    for each in (worse, new):
        assert verdicts[each.id].outcome is Outcome.FAILED
        assert "gave 404" in verdicts[each.id].error
        assert verdicts[each.id].probe[0].got == 404
    assert await status(port, "/billing") == 200
    assert await status(port, "/billing", host="new.test") == 404
    live = await driver.observe()
    assert live[billing.id].revision == billing.revision
    assert live[new.id].revision == ""


async def test_a_silent_envoy_gives_no_receipts(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    await driver.apply(snapshot(billing))
    monkeypatch.setattr(rollout, "VERDICT_SECONDS", 0.5)
    key = keys.grant(billing)
    os.kill(driver.pid, signal.SIGSTOP)
    try:
        with pytest.raises(NoVerdict):
            await driver.apply_access(keys.access())
        verdict = (await driver.apply(snapshot(changed(billing, routes=[route("/b")]))))[billing.id]
    finally:
        os.kill(driver.pid, signal.SIGCONT)

    assert verdict.outcome is Outcome.FAILED
    assert "no verdict" in verdict.error
    monkeypatch.undo()
    assert await driver.apply_access(keys.access()) == 2
    assert await status(port, "/billing", key) == 200


async def test_calls_from_two_tasks_take_turns(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    parts = [publish(port, route(f"/{n}"), backends=[backend(echo.port)]) for n in range(4)]

    await asyncio.gather(
        *(driver.apply(snapshot(*parts[: n + 1])) for n in range(4)),
        driver.apply_access(Keys().access()),
    )

    live = await driver.observe()
    assert {each.id: each.revision for each in parts} == {
        publish_id: each.revision for publish_id, each in live.items()
    }


async def test_what_goes_up_must_come_down_exactly(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    """Publishing and withdrawing leaves nothing behind."""
    base = publish(port, backends=[backend(echo.port)])
    await driver.apply(snapshot(base))
    before = {kind: dict(driver._ads.offered(kind)) for kind in Kind}

    extra = publish(port, route("/x"), backends=[backend(echo.port)], host="x.test")
    await driver.apply(snapshot(base, extra))
    await driver.apply(snapshot(base))

    assert {kind: dict(driver._ads.offered(kind)) for kind in Kind} == before


async def test_admin_is_silent_about_what_it_cannot_know(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    await driver.apply(snapshot(billing))
    await driver._process.release()  # so that nobody starts it again
    os.kill(driver.pid, signal.SIGKILL)
    await asyncio.sleep(0.1)

    live = (await driver.observe())[billing.id]

    assert live.revision == ""
    assert "admin does not answer" in live.error


async def test_drivers_of_a_machine_do_not_meet(
    driver: EnvoyDriver, drivers: Callable[..., EnvoyDriver], echo: Echo, port: int, tmp_path
) -> None:
    """Two agents, one port, two addresses: each proves its own Envoy."""
    await driver.stop()
    first, second = (
        drivers(tmp_path / name, bind_address=address)
        for name, address in (("a", "127.0.0.2"), ("b", "127.0.0.3"))
    )
    billing = publish(port, backends=[backend(echo.port)], mode="none")
    for each in (first, second):
        await each.start(snapshot(), Keys().access())
        verdict = (await each.apply(snapshot(billing)))[billing.id]
        assert verdict.outcome is Outcome.APPLIED, verdict.error
    await first.apply(snapshot())

    assert (await call(port, "/billing", address="127.0.0.2")).status == 404
    assert (await call(port, "/billing", address="127.0.0.3")).status == 200


async def test_what_envoy_lost_is_offered_once_more_when_asked_for(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    good = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(good))
    empty = driver._rollout._build({})
    await driver._ads.offer(Kind.ROUTES, empty.routes)
    await driver._ads.settled(Kind.ROUTES, 5)
    assert await status(port, "/billing") == 404
    assert (await driver.observe())[good.id].revision == ""

    assert await driver.apply(snapshot(good)) == {}
    assert await status(port, "/billing") == 404
    await driver.apply(snapshot(good, again=True))
    assert await status(port, "/billing") == 200
    assert (await driver.observe())[good.id].revision == good.revision


async def test_what_is_served_as_it_should_is_not_offered_once_more(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    good = publish(port, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(good))
    before = await stats(driver, "update_success")
    await driver.apply(snapshot(good, again=True))
    assert await stats(driver, "update_success") == before


async def test_a_refused_publish_that_is_withdrawn_is_forgotten(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    bad = publish(port, route(set_request_headers=[BAD_HEADER]), backends=[backend(echo.port)])
    await driver.apply(snapshot(bad))
    assert bad.id in await driver.observe()
    await driver.apply(snapshot())
    assert bad.id not in await driver.observe()
    assert bad.id not in driver._changes._judged
    assert bad.id not in driver._changes._warnings
