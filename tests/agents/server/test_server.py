"""Where agentd listens, how it says it is well, and how it ends."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from grpc_health.v1 import health_pb2, health_pb2_grpc

from agents.server.listening import PortInUse, require_free
from agents.server.options import Options, Timings, from_settings, is_loopback, split_address
from agents.wire import agent_pb2 as pb
from deploy.local import ports
from tests.agents.server.rig import Wire, dial, eventually, make_cluster, make_remote

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def certificate() -> tuple[bytes, bytes]:
    """Of 127.0.0.1, by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agentd")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(pem), private


# --- Where it listens --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9443", "[::]:9443", "192.0.2.1:9443", "portal.example:1"]
)
def test_plaintext_stays_on_loopback(listen):
    with pytest.raises(ImproperlyConfigured, match="AGENTD_TLS_CERT"):
        Options(listen=listen).check()

    Options(listen=listen, certificate=b"c", private_key=b"k").check()


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:9443", "127.8.8.8:1", "[::1]:9443", "localhost:9443"]
)
def test_loopback_needs_no_tls(listen):
    Options(listen=listen).check()


def test_half_a_key_pair_is_an_error():
    with pytest.raises(ImproperlyConfigured, match="both"):
        Options(certificate=b"c").check()


@pytest.mark.parametrize(
    "listen", ["9443", ":9443", "host", "host:", "host:http", "host:70000", ""]
)
def test_an_address_is_host_and_port(listen):
    with pytest.raises(ImproperlyConfigured, match="host:port"):
        split_address(listen)


def test_addresses_of_both_families():
    assert split_address("[::1]:9443") == ("::1", 9443)
    assert is_loopback("::1")
    assert not is_loopback("example.com")


def test_the_settings_say_where_and_with_what(settings, tmp_path, certificate):
    (tmp_path / "cert.pem").write_bytes(certificate[0])
    (tmp_path / "key.pem").write_bytes(certificate[1])
    settings.AGENTD_LISTEN = "0.0.0.0:9443"
    settings.AGENTD_TLS_CERT, settings.AGENTD_TLS_KEY = tmp_path / "cert.pem", tmp_path / "key.pem"

    options = from_settings()

    assert options.secure
    assert options.listen == "0.0.0.0:9443"
    assert "PRIVATE" not in repr(options)
    assert from_settings("127.0.0.1:1").listen == "127.0.0.1:1"


def test_a_missing_file_is_named(settings, tmp_path):
    settings.AGENTD_TLS_CERT = tmp_path / "nothing.pem"

    with pytest.raises(ImproperlyConfigured, match=r"AGENTD_TLS_CERT.*nothing\.pem"):
        from_settings()


@pytest.mark.parametrize(
    "shared", [False, True], ids=["a listener", "one that would share the port"]
)
def test_a_busy_port_is_a_clear_error(shared):
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"

        with pytest.raises(PortInUse, match=f"{listen} is in use"):
            require_free(listen)
        with pytest.raises(CommandError, match="AGENTD_LISTEN"):
            call_command("runagentd", listen=listen)


# --- TLS ---------------------------------------------------------------------------------------


def test_an_agent_that_trusts_the_certificate_connects(start_agentd, certificate):
    cert, key = certificate
    agentd = start_agentd(certificate=cert, private_key=key)
    credentials = grpc.ssl_channel_credentials(cert)
    with grpc.secure_channel(agentd.address, credentials) as channel:
        _, hello = make_remote(channel, make_cluster()).connect()

    assert hello.rest_token


def test_an_agent_that_does_not_trust_it_sends_nothing(start_agentd, certificate):
    agentd = start_agentd(certificate=certificate[0], private_key=certificate[1])
    with (
        grpc.secure_channel(agentd.address, grpc.ssl_channel_credentials()) as channel,
        pytest.raises(grpc.RpcError) as failed,
    ):
        channel.unary_unary("/agent.v1.AgentService/Register")(b"")
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE


def test_plaintext_is_not_spoken_beside_tls(start_agentd, certificate):
    agentd = start_agentd(certificate=certificate[0], private_key=certificate[1])
    with dial(agentd) as channel, pytest.raises(grpc.RpcError) as failed:
        channel.unary_unary("/agent.v1.AgentService/Register")(b"")
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE


# --- Health and drain --------------------------------------------------------------------------


def test_it_says_that_it_serves(channel):
    stub = health_pb2_grpc.HealthStub(channel)

    assert stub.Check(health_pb2.HealthCheckRequest()).status == SERVING


def test_a_drain_says_so_everywhere_and_ends_streams_one_by_one(start_agentd):
    agentd = start_agentd(timings=Timings(drain=1.0))
    cluster = make_cluster()
    channels = [dial(agentd) for _ in range(6)]
    wires = [
        make_remote(channel, cluster, f"agent-{number}").connect()[0]
        for number, channel in enumerate(channels)
    ]
    health: list[int] = []
    watch = health_pb2_grpc.HealthStub(channels[0]).Watch(health_pb2.HealthCheckRequest())
    health.append(next(watch).status)

    stopping = threading.Thread(target=agentd.stop)
    began = time.monotonic()
    stopping.start()
    health.append(next(watch).status)
    watch.cancel()
    ended = []
    for wire in wires:
        goodbye = wire.expect("goodbye")
        ended.append(time.monotonic() - began)
        assert goodbye.reason == pb.Goodbye.DRAIN
        assert 0 <= goodbye.retry_after_ms <= 1000
        assert wire.receive() is None
        assert wire.status() == grpc.StatusCode.OK
    stopping.join(20)

    assert health == [SERVING, NOT_SERVING]
    assert max(ended) > 0.3  # spread
    assert not ports.answers(agentd.port)
    for channel in channels:
        channel.close()
    assert all(row.disconnected_at for row in cluster.agents.all())


def test_while_it_drains_nobody_new_is_taken(start_agentd):
    agentd = start_agentd()
    with dial(agentd) as channel:
        remote = make_remote(channel, make_cluster())
        agentd.server.hub.draining = True
        wire = Wire(remote.channel)

        assert wire.receive() is None
        assert (wire.status(), wire.error()) == (grpc.StatusCode.UNAVAILABLE, "draining")


def test_what_is_under_way_in_the_database_ends_before_the_server_does(start_agentd):
    agentd = start_agentd()
    with dial(agentd) as channel:
        remote = make_remote(channel, make_cluster())
        remote.connect()
        agentd.stop()
        assert remote.row().disconnected_at is not None


# --- The process -------------------------------------------------------------------------------


def test_the_process_serves_until_it_is_asked_to_stop(transactional_db, settings, tmp_path):
    """With the test's database, as operators start it."""
    port = ports.free(1)[0]
    database = settings.DATABASES["default"]
    url = "postgresql://{USER}@/{NAME}?host={HOST}".format(**database)
    log = tmp_path / "agentd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "runagentd", "--listen", f"127.0.0.1:{port}"],
            cwd=Path(settings.BASE_DIR),
            env=os.environ | {"DATABASE_URL": url},
            stdout=output,
            stderr=output,
        )
    try:
        eventually(lambda: ports.answers(port) or process.poll() is not None, within=30)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            wire, _ = make_remote(channel, make_cluster()).connect()
            process.send_signal(signal.SIGTERM)
            assert wire.expect("goodbye", within=15).reason == pb.Goodbye.DRAIN
        assert process.wait(20) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert '"agentd stopped."' in log.read_text()
