"""HTTPS as clients see it: their own TLS, a certificate for each host, rotation that nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.model import Access, Outcome, Publish, Snapshot, TlsSecret
from agents.wire import bundle_pb2 as pb
from tests.agents.edge.drivers.rig import (
    Echo,
    Keys,
    backend,
    changed,
    free_port,
    publish,
    snapshot,
)
from tests.factories.tls import Issued, authority, intermediate, issue, pem

pytestmark = pytest.mark.envoy
A, B = "a.pay.test", "b.pay.test"
EMPTY_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


def secret(issued: Issued, secret_id: str = "", version: str = "1") -> TlsSecret:
    return TlsSecret(secret_id or str(uuid.uuid4()), version, issued.chain, issued.private_key)


def wanted(*publishes: Publish, secrets: list[TlsSecret], **changes: object) -> Snapshot:
    return snapshot(*publishes, secrets={each.id: each for each in secrets}, **changes)


def trusting(
    *, alpn: tuple[str, ...] = (), highest: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """A client that knows the test authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem(authority().certificate))
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if highest:
        context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, highest
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


class Caller:
    """One connection, over which calls go one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str):
        self.reader, self.writer, self.host = reader, writer, host

    @property
    def shown(self) -> bytes:
        """The server's certificate, in DER."""
        return self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    async def status(self, path: str = "/billing", host: str = "") -> int:
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: {host or self.host}\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert "connection: close" not in head
        length = next(line for line in head.split("\r\n") if line.startswith("content-length"))
        await self.reader.readexactly(int(length.partition(":")[2]))
        return int(head.split()[1])


@asynccontextmanager
async def connected(
    port: int, host: str, context: ssl.SSLContext | None = None, sni: str | None = None
) -> AsyncIterator[Caller]:
    context = context or trusting()
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=host if sni is None else sni
        )
    try:
        yield Caller(reader, writer, host)
    finally:
        writer.close()


async def status(port: int, host: str, **options: object) -> int:
    async with connected(port, host, **options) as caller:  # type: ignore[arg-type]
        return await caller.status()


def over_tls(publish: Publish, secret_id: str) -> Publish:
    tls = pb.Tls(secret_id=secret_id)
    rows = [
        pb.Listener(port=row.port, protocol="HTTPS", tls=tls) for row in publish.bundle.listeners
    ]
    return changed(publish, listeners=rows)


def open_to_all(port: int, echo: Echo, host: str, secret_id: str) -> Publish:
    plain = publish(port, backends=[backend(echo.port)], host=host, mode="none")
    return over_tls(plain, secret_id)


@pytest.mark.parametrize(
    "issued", [issue(A), issue("*.pay.test", by=intermediate(), with_chain=True)]
)
async def test_a_host_is_served_over_tls(
    driver: EnvoyDriver, echo: Echo, port: int, keys: Keys, issued: Issued
) -> None:
    mine = secret(issued)
    secured = over_tls(publish(port, backends=[backend(echo.port)], host=A), mine.id)
    key = keys.grant(secured)
    verdicts = await driver.apply(wanted(secured, secrets=[mine]))
    await driver.apply_access(keys.access())

    assert verdicts[secured.id].outcome is Outcome.APPLIED, verdicts[secured.id].error
    assert [call.got for call in verdicts[secured.id].probe] == [401, 200]
    async with connected(port, A) as caller:
        assert caller.shown == issued.der
        assert await caller.status() == 401
        caller.writer.write(
            f"GET /billing HTTP/1.1\r\nHost: {A}\r\nX-API-Key: {key}\r\n\r\n".encode()
        )
        assert b" 200 " in await caller.reader.readline()
    assert dict(echo.calls[-1]["headers"])["x-forwarded-proto"] == "https"
    assert (await driver.observe())[secured.id].revision == secured.revision


async def test_each_host_shows_its_own_certificate(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    first, second = issue(A), issue(B)
    one, two = secret(first), secret(second)
    await driver.apply(
        wanted(
            open_to_all(port, echo, A, one.id),
            open_to_all(port, echo, B, two.id),
            secrets=[one, two],
        )
    )

    for host, issued in ((A, first), (B, second)):
        async with connected(port, host) as caller:
            assert caller.shown == issued.der
            assert await caller.status() == 200


@pytest.fixture
async def served(driver: EnvoyDriver, echo: Echo, port: int) -> tuple[Publish, TlsSecret]:
    """Host A over HTTPS, open to all."""
    mine = secret(issue(A, "other.pay.test"))
    secured = open_to_all(port, echo, A, mine.id)
    verdicts = await driver.apply(wanted(secured, secrets=[mine]))
    assert verdicts[secured.id].outcome is Outcome.APPLIED, verdicts[secured.id].error
    return secured, mine


async def test_a_name_that_nobody_claimed_gets_no_handshake(
    served: tuple[Publish, TlsSecret], port: int
) -> None:
    for host, sni in (("other.pay.test", None), (A, "")):
        context = trusting()
        context.check_hostname = bool(sni is None)
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            await status(port, host, context=context, sni=sni)


async def test_plain_text_is_not_answered(served: tuple[Publish, TlsSecret], port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /billing HTTP/1.1\r\nHost: {A}\r\n\r\n".encode())
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_a_handshake_for_one_host_opens_no_unknown_one(
    served: tuple[Publish, TlsSecret], port: int
) -> None:
    async with connected(port, A) as caller:
        assert await caller.status(host="other.pay.test") == 404


async def test_old_versions_of_tls_are_refused(
    served: tuple[Publish, TlsSecret], port: int
) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old = trusting(highest=ssl.TLSVersion.TLSv1_1)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await status(port, A, context=old)
    assert await status(port, A, context=trusting(highest=ssl.TLSVersion.TLSv1_2)) == 200


async def test_http_2_is_offered(served: tuple[Publish, TlsSecret], port: int) -> None:
    async with connected(port, A, trusting(alpn=("h2", "http/1.1"))) as caller:
        assert caller.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        caller.writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + EMPTY_SETTINGS)
        async with asyncio.timeout(5):
            head = await caller.reader.readexactly(9)
        assert head[3] == 4  # its own SETTINGS


# --- Nobody is dropped -----------------------------------------------------------------------------


async def test_connections_stay_while_other_hosts_come_and_go(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], echo: Echo, port: int
) -> None:
    secured, mine = served
    theirs = secret(issue(B))
    other = open_to_all(port, echo, B, theirs.id)
    async with connected(port, A) as caller:
        assert await caller.status() == 200
        await driver.apply(wanted(secured, other, secrets=[mine, theirs]))
        assert await status(port, B) == 200
        assert await caller.status() == 200
        await driver.apply(wanted(secured, secrets=[mine]))
        await asyncio.sleep(6)  # longer than Envoy drains
        assert await caller.status() == 200


async def test_a_new_version_is_shown_and_old_connections_stay(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], port: int
) -> None:
    secured, mine = served
    renewed = issue(A)
    async with connected(port, A) as caller:
        assert await caller.status() == 200
        verdicts = await driver.apply(
            wanted(secured, secrets=[secret(renewed, mine.id, version="2")])
        )
        assert verdicts == {}
        async with connected(port, A) as fresh:
            assert fresh.shown == renewed.der
            assert await fresh.status() == 200
        assert await caller.status() == 200
        assert caller.shown != renewed.der


async def test_a_new_version_that_cannot_be_used_changes_nothing(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], port: int
) -> None:
    """The portal checks it before; should one come all the same, the old one goes on."""
    secured, mine = served
    broken = TlsSecret(mine.id, "2", issue(A).chain, issue(A).private_key)
    await driver.apply(wanted(secured, secrets=[broken]))

    assert await status(port, A) == 200
    live = (await driver.observe())[secured.id]
    assert live.revision == secured.revision
    assert "the new certificate is not used" in live.warning
    await driver.apply(wanted(secured, secrets=[secret(issue(A), mine.id, version="3")]))
    assert (await driver.observe())[secured.id].warning == ""


async def test_a_withdrawn_host_gets_no_handshake_and_can_come_back(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], port: int
) -> None:
    secured, mine = served
    verdicts = await driver.apply(wanted(secrets=[]))

    assert verdicts[secured.id].outcome is Outcome.APPLIED
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        await status(port, A)
    verdicts = await driver.apply(wanted(secured, secrets=[mine]))
    assert verdicts[secured.id].outcome is Outcome.APPLIED, verdicts[secured.id].error
    assert await status(port, A) == 200


# --- Refusals --------------------------------------------------------------------------------------


async def test_one_bad_certificate_refuses_one_publish(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], echo: Echo, port: int
) -> None:
    secured, mine = served
    bad = TlsSecret(str(uuid.uuid4()), "1", issue(B).chain, issue(B).private_key)
    fine = secret(issue("c.pay.test"))
    good, guilty = (
        open_to_all(port, echo, "c.pay.test", fine.id),
        open_to_all(port, echo, B, bad.id),
    )
    verdicts = await driver.apply(wanted(secured, good, guilty, secrets=[mine, bad, fine]))

    assert verdicts[good.id].outcome is Outcome.APPLIED, verdicts[good.id].error
    assert verdicts[guilty.id].outcome is Outcome.FAILED
    assert "private key" in verdicts[guilty.id].error.lower()
    assert await status(port, A) == await status(port, "c.pay.test") == 200


async def test_without_its_certificate_a_publish_is_refused(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    secured = open_to_all(port, echo, A, str(uuid.uuid4()))
    verdicts = await driver.apply(wanted(secured, secrets=[]))

    assert verdicts[secured.id].outcome is Outcome.FAILED
    assert "is not here" in verdicts[secured.id].error


async def test_a_port_speaks_one_protocol(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], echo: Echo, port: int
) -> None:
    secured, mine = served
    plain = publish(port, backends=[backend(echo.port)], host=B, mode="none")
    verdicts = await driver.apply(wanted(secured, plain, secrets=[mine]))

    assert verdicts[plain.id].outcome is Outcome.FAILED
    assert "speaks another protocol" in verdicts[plain.id].error
    assert await status(port, A) == 200


async def test_a_host_has_one_certificate(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], echo: Echo, port: int
) -> None:
    secured, mine = served
    theirs = secret(issue(A))
    other = open_to_all(port, echo, A, theirs.id)
    verdicts = await driver.apply(wanted(secured, other, secrets=[mine, theirs]))

    assert "another certificate" in verdicts[other.id].error


async def test_a_port_can_change_to_https(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    mine = secret(issue(A))
    plain = publish(port, backends=[backend(echo.port)], host=A, mode="none")
    await driver.apply(wanted(plain, secrets=[]))
    secured = over_tls(plain, mine.id)
    verdicts = await driver.apply(wanted(secured, secrets=[mine]))

    assert verdicts[plain.id].outcome is Outcome.APPLIED, verdicts[plain.id].error
    assert await status(port, A) == 200


# --- Alone -----------------------------------------------------------------------------------------


async def test_a_new_envoy_serves_from_what_the_agent_kept(
    drivers: Callable[..., EnvoyDriver], echo: Echo, port: int
) -> None:
    mine = secret(issue(A))
    secured = open_to_all(port, echo, A, mine.id)
    first = drivers()
    await first.start(snapshot(), Access(version=0))
    await first.apply(wanted(secured, secrets=[mine]))
    await first.stop()
    again = drivers()
    await again.start(wanted(secured, secrets=[mine]), Access(version=0))

    assert await status(port, A) == 200


async def test_what_lost_its_certificate_comes_back_with_it(
    drivers: Callable[..., EnvoyDriver], echo: Echo, port: int
) -> None:
    """The agent's database is damaged, and the control plane is asked again."""
    mine = secret(issue(A))
    secured = open_to_all(port, echo, A, mine.id)
    first = drivers()
    await first.start(snapshot(), Access(version=0))
    await first.apply(wanted(secured, secrets=[mine]))
    await first.stop()
    again = drivers()
    await again.start(snapshot(), Access(version=0))
    assert "is not here" in (await again.observe())[secured.id].error
    verdicts = await again.apply(wanted(secured, secrets=[mine]))

    assert verdicts[secured.id].outcome is Outcome.APPLIED, verdicts[secured.id].error
    assert await status(port, A) == 200


async def test_an_agent_that_comes_back_drops_nobody(
    drivers: Callable[..., EnvoyDriver], echo: Echo, port: int
) -> None:
    mine = secret(issue(A))
    secured = open_to_all(port, echo, A, mine.id)
    first = drivers()
    await first.start(snapshot(), Access(version=0))
    await first.apply(wanted(secured, secrets=[mine]))
    async with connected(port, A) as caller:
        assert await caller.status() == 200
        await first.detach()
        again = drivers()
        await again.start(wanted(secured, secrets=[mine]), Access(version=0))
        assert await caller.status() == 200
    assert await status(port, A) == 200


async def test_the_key_is_in_no_log_and_no_file_of_the_driver(
    driver: EnvoyDriver,
    served: tuple[Publish, TlsSecret],
    state_dir: Path,
    caplog: pytest.LogCaptureFixture,
    port: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    secured, mine = served
    body = mine.key.splitlines()[2]
    broken = TlsSecret(mine.id, "2", issue(A).chain, mine.key)
    await driver.apply(wanted(secured, secrets=[broken]))
    dump = str(await driver._admin._read("/config_dump?resource=dynamic_active_secrets"))

    assert body not in caplog.text
    assert body not in dump
    assert body not in repr(wanted(secured, secrets=[mine]))
    assert all(body not in content for content in contents(state_dir))


def contents(folder: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]


async def test_hosts_on_other_ports_are_their_own(
    driver: EnvoyDriver, served: tuple[Publish, TlsSecret], echo: Echo
) -> None:
    """The same host may be served in plain text on another port."""
    secured, mine = served
    elsewhere = free_port()
    plain = publish(elsewhere, backends=[backend(echo.port)], host=A, mode="none")
    verdicts = await driver.apply(wanted(secured, plain, secrets=[mine]))

    assert verdicts[plain.id].outcome is Outcome.APPLIED, verdicts[plain.id].error
