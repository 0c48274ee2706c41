"""What stands between the gateway and a backend: weights, patience, trust and names."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agents.edge.drivers.envoy import EnvoyDriver
from agents.edge.drivers.envoy.clusters import system_roots
from agents.edge.drivers.envoy.kinds import ContentError
from agents.edge.drivers.envoy.names import Networks, vet
from agents.edge.model import Access, Outcome
from tests.agents.edge.drivers.rig import (
    DENIED,
    Echo,
    backend,
    call,
    free_port,
    publish,
    route,
    snapshot,
    status,
)


@pytest.mark.envoy
async def test_weights(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    other = Echo("other")
    shares = [backend(echo.port, weight=9), backend(other.port, weight=1)]
    await driver.apply(snapshot(publish(port, backends=shares, mode="none")))

    for _ in range(200):
        assert await status(port, "/billing") == 200

    assert len(echo.calls) + len(other.calls) == 200
    assert 3 <= len(other.calls) <= 50  # 20 expected
    other.close()


@pytest.mark.envoy
async def test_a_backend_that_fails_its_health_check_gives_its_share_to_others(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    ill = Echo("ill")
    ill.healthy = False
    checked = {"health_check_path": "/healthz"}
    named = backend(echo.port, host="localhost", id="named", **checked)
    shares = [named, backend(ill.port, weight=100, **checked), backend(free_port(), **checked)]
    watched = publish(port, backends=shares, mode="none")
    await driver.apply(snapshot(watched))

    assert {await status(port, "/billing") for _ in range(50)} == {200}
    assert (len(echo.calls), ill.calls) == (50, [])
    assert echo.checks[0] == "localhost"
    assert "fails its health check" in (await driver.observe())[watched.id].warning
    ill.close()


@pytest.mark.envoy
async def test_a_backend_that_nobody_checks_goes_along_with_checked_ones(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    other = Echo("other")
    other.healthy = False  # nobody asks
    shares = [backend(echo.port, health_check_path="/healthz"), backend(other.port)]
    await driver.apply(snapshot(publish(port, backends=shares, mode="none")))

    for _ in range(20):
        assert await status(port, "/billing") == 200
    assert 5 <= len(other.calls) <= 15  # each of Envoy's threads counts for itself
    assert other.checks == []
    other.close()


@pytest.mark.envoy
async def test_a_call_is_retried_at_another_backend(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    shares = [backend(echo.port), backend(free_port())]
    retried = route(retries=2, methods=["GET", "POST"])
    await driver.apply(snapshot(publish(port, retried, backends=shares, mode="none")))

    # Nobody listens there, so nobody saw the call: whatever its method, it may be repeated.
    assert {await status(port, "/billing", method="POST") for _ in range(20)} == {200}
    assert {await status(port, "/billing") for _ in range(20)} == {200}


@pytest.mark.envoy
async def test_unsafe_methods_are_retried_when_said(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    said = route(retries=2, methods=["GET", "POST"], retry_unsafe=True)
    await driver.apply(snapshot(publish(port, said, backends=[backend(echo.port)], mode="none")))

    assert await status(port, "/billing/flaky", method="POST") == 200
    assert len(echo.calls) == 3


@pytest.mark.envoy
async def test_every_kind_of_server_error_is_retried(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    retried = publish(port, route(retries=1), backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(retried))

    for code in (500, 502, 503, 504):
        answer = await call(port, f"/billing/status/{code}")
        assert (answer.status, answer.json["name"]) == (code, "echo")
    assert len(echo.calls) == 8
    assert await status(port, "/billing/status/404") == 404
    assert len(echo.calls) == 9


@pytest.mark.envoy
async def test_a_slow_backend_is_cut_off(driver: EnvoyDriver, echo: Echo, port: int) -> None:
    slow = publish(port, route(timeout_ms=200), backends=[backend(echo.port)], mode="none")
    await driver.apply(snapshot(slow))

    begun = time.perf_counter()
    answer = await call(port, "/billing/slow")
    assert (answer.status, answer.code) == (504, "backend_timeout")
    assert time.perf_counter() - begun < 0.9


@pytest.mark.envoy
async def test_only_what_may_be_repeated_is_retried(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    retried = route(retries=2, methods=["GET", "POST"])
    await driver.apply(snapshot(publish(port, retried, backends=[backend(echo.port)], mode="none")))

    assert await status(port, "/billing/flaky", method="POST") == 503
    assert len(echo.calls) == 1
    assert await status(port, "/billing/flaky") == 200
    assert len(echo.calls) == 3
    assert await status(port, "/billing/status/503") == 503
    assert len(echo.calls) == 6
    assert await status(port, "/billing/x", method="DELETE") == 405


@pytest.mark.envoy
async def test_a_named_backend_is_called_by_its_name(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    named = publish(port, backends=[backend(echo.port, host="localhost")], mode="none")
    verdict = (await driver.apply(snapshot(named)))[named.id]
    assert verdict.outcome is Outcome.APPLIED, verdict

    answer = await call(port, "/billing")

    assert answer.status == 200
    assert answer.seen["host"] == "localhost"
    assert answer.seen["x-forwarded-host"] == "pay.test"


@pytest.mark.envoy
async def test_a_name_without_address_is_a_warning(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    lost = publish(port, backends=[backend(80, host="nowhere.invalid")], mode="none")
    good = publish(port, route("/ok"), backends=[backend(echo.port)], mode="none")

    verdicts = await driver.apply(snapshot(lost, good))

    assert verdicts[lost.id].outcome is Outcome.APPLIED
    assert "nowhere.invalid does not resolve" in verdicts[lost.id].warning
    assert await status(port, "/billing") == 503
    assert await status(port, "/ok") == 200
    assert (await driver.observe())[lost.id].warning


@pytest.mark.envoy
async def test_a_failing_health_check_is_a_warning(driver: EnvoyDriver, port: int) -> None:
    dead = backend(free_port(), health_check_path="/healthz")
    sick = publish(port, backends=[dead], mode="none")
    await driver.apply(snapshot(sick))

    live = (await driver.observe())[sick.id]

    assert live.revision == sick.revision
    assert "fails its health check" in live.warning
    answer = await call(port, "/billing")
    assert (answer.status, answer.code) == (503, "backend_unavailable")


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _certificate(folder: Path, name: str) -> Path:
    """A certificate that vouches for itself, for `name`; returns the file with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    try:
        san: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        san = x509.DNSName(name)
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([san]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *private))
    return path


@pytest.fixture
def asked_for() -> list[str | None]:
    """The names in the SNI of every handshake."""
    return []


@pytest.fixture
def tls_server(
    tmp_path: Path, asked_for: list[str | None]
) -> Iterator[Callable[[str], tuple[int, Path]]]:
    servers = []

    def make(name: str) -> tuple[int, Path]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Hello)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = _certificate(tmp_path, name)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server.server_port, certificate

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("host", "certified", "expected"),
    [("localhost", "localhost", 200), ("127.0.0.1", "127.0.0.1", 200), ("localhost", "other", 503)],
)
async def test_tls_backends_must_prove_their_name(
    drivers: Callable[..., EnvoyDriver],
    tls_server: Callable[[str], tuple[int, Path]],
    port: int,
    host: str,
    certified: str,
    expected: int,
) -> None:
    tls_port, roots = tls_server(certified)
    driver = drivers(trusted_roots=str(roots))
    await driver.start(snapshot(), Access(0))
    secure = publish(port, backends=[backend(tls_port, host=host, tls=True)], mode="none")
    await driver.apply(snapshot(secure))

    assert await status(port, "/billing") == expected


@pytest.mark.envoy
async def test_backends_of_one_service_have_their_own_names_and_trust(
    drivers: Callable[..., EnvoyDriver],
    tls_server: Callable[[str], tuple[int, Path]],
    asked_for: list[str | None],
    echo: Echo,
    port: int,
) -> None:
    """With and without TLS, by name and by address, side by side."""
    by_name, one = tls_server("localhost")
    by_address, two = tls_server("127.0.0.1")
    roots = one.parent / "roots.pem"
    roots.write_bytes(one.read_bytes() + two.read_bytes())
    driver = drivers(trusted_roots=str(roots))
    await driver.start(snapshot(), Access(0))
    mixed = publish(
        port,
        backends=[
            backend(by_name, host="localhost", tls=True),
            backend(by_address, tls=True),
            backend(echo.port),
        ],
        mode="none",
    )
    await driver.apply(snapshot(mixed))

    assert [await status(port, "/billing") for _ in range(30)] == [200] * 30
    assert set(asked_for) == {"localhost", None}  # an address is no name
    assert 5 <= len(echo.calls) <= 15  # each of Envoy's threads counts for itself
    assert dict(echo.calls[0]["headers"])["host"] == "pay.test"


@pytest.mark.envoy
async def test_tls_backends_must_be_trusted_by_the_system(
    driver: EnvoyDriver, tls_server: Callable[[str], tuple[int, Path]], port: int
) -> None:
    tls_port, _ = tls_server("localhost")
    secure = publish(port, backends=[backend(tls_port, host="localhost", tls=True)], mode="none")
    await driver.apply(snapshot(secure))

    assert await status(port, "/billing") == 503


def test_the_systems_roots_exist() -> None:
    assert Path(system_roots()).exists()


@pytest.mark.envoy
async def test_forbidden_backends_are_refused_and_alone(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    metadata = publish(port, backends=[backend(80, host="169.254.169.254")], mode="none")
    good = publish(port, route("/ok"), backends=[backend(echo.port)], mode="none")

    verdicts = await driver.apply(snapshot(metadata, good))

    assert verdicts[metadata.id].outcome is Outcome.FAILED
    assert "169.254.169.254" in verdicts[metadata.id].error
    assert await status(port, "/billing") == 404
    assert await status(port, "/ok") == 200


@pytest.mark.envoy
async def test_without_denied_networks_nothing_is_applied(
    driver: EnvoyDriver, echo: Echo, port: int
) -> None:
    public = publish(port, backends=[backend(echo.port)], mode="none")

    verdict = (await driver.apply(snapshot(public, denied_networks=())))[public.id]

    assert verdict.outcome is Outcome.FAILED
    assert "denied networks are unknown" in verdict.error
    # What went wrong was not the publish's: the next list lets a new deployment through.
    driver.forget(public.id)
    assert (await driver.apply(snapshot(public)))[public.id].outcome is Outcome.APPLIED


@pytest.mark.parametrize(
    ("host", "denied", "allowed", "forbidden"),
    [
        ("169.254.169.254", DENIED, (), True),
        ("169.254.169.254", DENIED, ("169.254.169.254/32",), False),
        ("10.0.0.8", DENIED, (), False),
        ("127.0.0.1", ("127.0.0.0/8",), (), True),
        ("localhost", ("127.0.0.0/8", "::1/128"), (), True),
        ("localhost", ("127.0.0.0/8", "::1/128"), ("127.0.0.0/8", "::1/128"), False),
        ("::ffff:127.0.0.1", ("127.0.0.0/8",), (), True),
        ("[::1]", ("::1/128",), (), True),
        ("64:ff9b::a9fe:a9fe", DENIED, (), True),
        ("2002:a9fe:a9fe::1", DENIED, (), True),
        ("0.0.0.0", DENIED, (), True),
        ("::", DENIED, (), True),
        ("127.1", DENIED, (), True),
        ("2130706433", DENIED, (), True),
        ("0x7f000001", DENIED, (), True),
        ("0177.0.0.1", DENIED, (), True),
        ("a b", DENIED, (), True),
        ("host/path", DENIED, (), True),
        ("", DENIED, (), True),
        ("nowhere.invalid", DENIED, (), False),
        ("10.0.0.8", (), (), True),
        ("10.0.0.8", ("nonsense",), (), True),
        ("10.0.0.8", ("10.0.0.1/8",), (), True),
    ],
)
def test_where_backends_may_lead(
    host: str, denied: tuple[str, ...], allowed: tuple[str, ...], forbidden: bool
) -> None:
    target = publish(8080, backends=[backend(80, host=host)])

    def judge() -> None:
        asyncio.run(vet(target, Networks.parse(denied, allowed)))

    if not forbidden:
        judge()
    else:
        with pytest.raises(ContentError):
            judge()
