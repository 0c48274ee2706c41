"""Joining: what is sent, what is kept, and what is said when a step fails."""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agents.edge import drivable
from agents.edge.authority import AuthorityError
from agents.edge.join import Invitation, JoinInvalid, JoinRefused, JoinUnreachable, join, verify
from agents.edge.model import Access, Snapshot
from agents.edge.reach import Address, BadAddress
from agents.edge.state import Identity, StateDir
from agents.edge.store import Turn, opened
from agents.wire import agent_pb2 as pb
from tests.agents.edge.conftest import Runner, joined, until
from tests.agents.edge.gateways import MemoryGateway
from tests.agents.edge.peer import Peer

NOW = dt.datetime(2026, 1, 1)


async def try_join(state: StateDir, server: str, token: str, **options: object) -> Identity:
    invitation = Invitation(Address.parse(server), token, options.pop("name", "edge-1"), **options)
    return await join(state, invitation, gateway_class="envoy", version="1.0")


async def test_the_key_is_made_here_and_only_its_public_half_leaves(
    state: StateDir, peer: Peer
) -> None:
    identity = await try_join(state, f"127.0.0.1:{peer.port}", peer.issue_token())

    assert list(peer.agents.values()) == [identity.agent_id]
    assert identity == state.identity()
    assert (identity.cluster_name, identity.name) == ("seoul-1", "edge-1")
    assert identity.plaintext
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.path.iterdir()}
    assert modes == {"key.pem": 0o600, "identity.json": 0o600, "lock": 0o600}
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


async def test_a_lost_answer_costs_nothing_the_same_key_is_the_same_agent(
    state: StateDir, peer: Peer
) -> None:
    token = peer.issue_token()
    first = await try_join(state, f"127.0.0.1:{peer.port}", token)
    state.identity_file.unlink()  # as if the answer had never arrived
    second = await try_join(state, f"127.0.0.1:{peer.port}", token)

    assert first == second
    assert len(peer.agents) == 1


async def test_a_refusal_is_told_in_the_servers_words(state: StateDir, peer: Peer) -> None:
    with pytest.raises(JoinRefused, match="This token is unknown") as refused:
        await try_join(state, f"127.0.0.1:{peer.port}", "igr_wrong")

    assert refused.value.code == "token_unknown"
    assert not state.has_joined()
    assert not list(state.path.glob("*.json"))


@pytest.mark.parametrize("name", ["Foo_Bar", "", "-a", "a" * 64, "a.b", "a\n"])
async def test_a_name_kubernetes_would_not_take_is_refused_before_anything_is_sent(
    state: StateDir, peer: Peer, name: str
) -> None:
    with pytest.raises(JoinInvalid, match="--name"):
        await try_join(state, f"127.0.0.1:{peer.port}", peer.issue_token(), name=name)

    assert not peer.agents


@pytest.mark.parametrize(
    "server", ["", "portal", "https://portal:1", "portal:x", "portal:0", ":9443"]
)
def test_an_address_that_is_none_is_refused(server: str) -> None:
    with pytest.raises(BadAddress):
        Address.parse(server)


def test_addresses_keep_their_brackets() -> None:
    assert str(Address.parse("[::1]:9443")) == "[::1]:9443"
    assert Address.parse("[::1]:9443").host == "::1"


async def test_a_name_that_does_not_resolve_is_named(state: StateDir) -> None:
    with pytest.raises(JoinUnreachable, match=r"nowhere\.invalid cannot be resolved"):
        await try_join(state, "nowhere.invalid:9443", "igr_x")


async def test_a_port_nobody_listens_on_is_named(state: StateDir) -> None:
    with pytest.raises(JoinUnreachable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await try_join(state, "127.0.0.1:1", "igr_x")


async def test_a_port_of_something_else_is_named(state: StateDir, peer: Peer) -> None:
    with pytest.raises(JoinUnreachable, match="does not answer as an agent server"):
        await try_join(state, f"127.0.0.1:{peer.http_port}", "igr_x")


# --- again ---


async def test_asking_again_finds_the_same_agent(state: StateDir, peer: Peer) -> None:
    identity = (await joined(state, peer)).identity()

    assert await verify(state, peer.issue_token(), "1.0") == "The control plane knows this agent."
    assert state.identity() == identity


async def test_a_spent_token_does_not_unsettle_an_agent_that_has_joined(
    state: StateDir, peer: Peer
) -> None:
    identity = (await joined(state, peer)).identity()

    assert "This token is unknown" in await verify(state, "igr_spent", "1.0")
    assert state.identity() == identity


async def test_a_revoked_agent_comes_back_as_a_new_one_and_keeps_what_it_serves(
    state: StateDir, peer: Peer
) -> None:
    old = (await joined(state, peer)).identity()
    peer.revoked.add(old.agent_id)
    state.mark_revoked("2026-01-01T00:00:00+00:00")
    _remember(state)
    new = await try_join(state, f"127.0.0.1:{peer.port}", peer.issue_token())

    assert new.agent_id != old.agent_id
    assert not new.revoked
    with opened(state.database) as store:
        assert store.load().snapshot.generation == 7


async def test_what_was_served_for_another_cluster_is_forgotten(
    state: StateDir, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = []

    class Orphan:
        gateway_class = "memory"

        async def start(self, snapshot: Snapshot, access: Access) -> None:
            """Adopts what runs."""

        async def stop(self) -> None:
            stopped.append(True)

    monkeypatch.setitem(drivable.MAKERS, "memory", lambda identity, state: Orphan())
    await joined(state, peer)
    state.mark_revoked("2026-01-01T00:00:00+00:00")
    _remember(state)
    (state.path / "last-good").mkdir()
    async with Peer().serving() as other:
        await try_join(state, f"127.0.0.1:{other.port}", other.issue_token())

    assert stopped == [True]
    assert not state.database.exists()
    assert not (state.path / "last-good").exists()
    assert state.identity().server == f"127.0.0.1:{other.port}"


def _remember(state: StateDir) -> None:
    with opened(state.database) as store:
        store.record(Turn(Snapshot(generation=7, publishes={})))


# --- TLS ---


@dataclass(frozen=True)
class Authority:
    ca: bytes
    chain: bytes
    key: bytes

    @property
    def digest(self) -> str:
        certificate = x509.load_pem_x509_certificate(self.ca)
        return certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials([(self.key, self.chain)])


def make_authority(host: str = "127.0.0.1", until: dt.datetime | None = None) -> Authority:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imp test CA")])
    end = until or dt.datetime(2036, 1, 1)
    ca = (
        _certificate(ca_name, ca_name, ca_key, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    try:
        name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        name = x509.DNSName(host)
    leaf = (
        _certificate(x509.Name([]), ca_name, key, end)
        .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Authority(ca.public_bytes(pem), leaf.public_bytes(pem), private)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(NOW, end) - dt.timedelta(days=1))
        .not_valid_after(end)
    )


@pytest.fixture
def authority() -> Authority:
    return make_authority()


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[Peer]:
    async with Peer().serving(credentials=authority.credentials) as peer:
        peer.ca = authority.ca
        yield peer


def portal(peer: Peer) -> str:
    return f"http://127.0.0.1:{peer.http_port}"


async def test_the_authority_of_the_given_digest_is_the_only_one_trusted(
    state: StateDir, secure: Peer, authority: Authority
) -> None:
    identity = await try_join(
        state,
        f"127.0.0.1:{secure.port}",
        secure.issue_token(),
        ca_sha256=authority.digest.upper(),
        portal=portal(secure),
    )

    assert not identity.plaintext
    assert state.roots() == authority.ca


async def test_the_digest_may_be_of_the_file(state: StateDir, secure: Peer) -> None:
    secure.ca += make_authority().ca
    await try_join(
        state,
        f"127.0.0.1:{secure.port}",
        secure.issue_token(),
        ca_sha256=hashlib.sha256(secure.ca).hexdigest(),
        portal=portal(secure),
    )

    assert state.roots() == secure.ca


async def test_of_several_certificates_only_the_named_one_is_trusted(
    state: StateDir, secure: Peer, authority: Authority
) -> None:
    secure.ca = make_authority().ca + authority.ca
    await try_join(
        state,
        f"127.0.0.1:{secure.port}",
        secure.issue_token(),
        ca_sha256=authority.digest,
        portal=portal(secure),
    )

    assert state.roots() == authority.ca


async def test_another_digest_stops_before_the_token_is_sent(
    state: StateDir, secure: Peer, authority: Authority
) -> None:
    with pytest.raises(AuthorityError, match="Nothing was sent"):
        await try_join(
            state,
            f"127.0.0.1:{secure.port}",
            secure.issue_token(),
            ca_sha256=hashlib.sha256(b"other").hexdigest(),
            portal=portal(secure),
        )

    assert not secure.agents
    assert not state.has_joined()


async def test_a_server_with_another_authority_never_sees_the_token(
    state: StateDir, secure: Peer
) -> None:
    impostor = make_authority()
    secure.ca = impostor.ca
    with pytest.raises(JoinUnreachable, match=r"is not trusted.*The token was not sent"):
        await try_join(
            state,
            f"127.0.0.1:{secure.port}",
            secure.issue_token(),
            ca_sha256=impostor.digest,
            portal=portal(secure),
        )

    assert not secure.agents


async def test_an_authority_from_a_file(
    state: StateDir, secure: Peer, authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.ca)
    server = f"127.0.0.1:{secure.port}"
    identity = await try_join(state, server, secure.issue_token(), ca_file=file)
    assert not identity.plaintext

    file.write_text("nothing")
    with pytest.raises(AuthorityError, match="holds no certificate"):
        await try_join(state, server, secure.issue_token(), ca_file=file)


async def test_an_agent_runs_over_tls(
    state: StateDir, secure: Peer, authority: Authority, runner: Runner, gateway: MemoryGateway
) -> None:
    invitation = Invitation(
        Address("127.0.0.1", secure.port),
        secure.issue_token(),
        "edge-1",
        ca_sha256=authority.digest,
        portal=portal(secure),
    )
    await join(state, invitation, gateway_class="memory", version="1.0")
    agent = runner.start(state, gateway)
    deployment, _ = secure.publish()

    await until(lambda: secure.outcome(deployment) == pb.OUTCOME_APPLIED)
    assert agent.condition.connected


async def test_the_systems_roots_do_not_know_a_private_authority(
    state: StateDir, secure: Peer
) -> None:
    # Another spelling of 127.0.0.1, which we do not take for loopback.
    with pytest.raises(JoinUnreachable, match="--ca-sha256"):
        await try_join(state, f"127.1:{secure.port}", secure.issue_token())

    assert not secure.agents


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"host": "portal.example.com"}, "Use the name that the certificate is for"),
        ({"until": dt.datetime(2025, 6, 1)}, "Check this machine's clock"),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_told(
    state: StateDir, tmp_path: Path, made: dict, words: str
) -> None:
    authority = make_authority(**made)
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.ca)
    async with Peer().serving(credentials=authority.credentials) as peer:
        with pytest.raises(JoinUnreachable, match=words):
            await try_join(state, f"127.0.0.1:{peer.port}", peer.issue_token(), ca_file=file)

        assert not peer.agents


async def test_plaintext_goes_no_further_than_loopback(state: StateDir, peer: Peer) -> None:
    """The same server, under a name that could lead anywhere: TLS is spoken, and it has none."""
    with pytest.raises(JoinUnreachable, match="does not speak TLS"):
        await try_join(state, f"127.1:{peer.port}", peer.issue_token())

    assert not peer.agents


@pytest.mark.parametrize("digest", ["abc", "z" * 64])
async def test_a_digest_that_is_none_is_refused(state: StateDir, secure: Peer, digest: str) -> None:
    with pytest.raises(AuthorityError, match="64 hexadecimal digits"):
        await try_join(
            state, f"127.0.0.1:{secure.port}", "igr_x", ca_sha256=digest, portal=portal(secure)
        )
