"""`imp-agent doctor` against a real agentd: which step is named, and that nothing is changed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from agents.edge import cli, faultpoint
from agents.edge.agent import Exit
from agents.edge.doctor import Finding, admitted, examine
from agents.edge.join import Invitation, join
from agents.edge.reach import Address
from agents.edge.state import Running, StateDir
from clusters.models import Agent, RegistrationToken
from deploy.local import ports
from tests.agents.edge.test_join import make_authority
from tests.agents.server.rig import make_token

VERSION = cli.version()


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    found = StateDir(tmp_path / "agent")
    found.create()
    return found


@pytest.fixture
def agentd(start_agentd, live_server):
    """REST is answered by a real portal."""
    return start_agentd(registrations_at_once=200, rest_url=live_server.url)


@pytest.fixture
def look(state: StateDir, agentd) -> Callable[..., list[Finding]]:
    def run(server: str = "", *, version: str = VERSION, **about) -> list[Finding]:
        invitation = Invitation(
            Address.parse(server or agentd.address), **{"token": "", "name": "agent-1"} | about
        )
        patient = admitted(state, version, invitation)

        async def all_of_them() -> list[Finding]:
            return [finding async for finding in examine(patient)]

        return asyncio.run(all_of_them())

    return run


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.step: finding.state for finding in findings}


def broken(findings: list[Finding]) -> Finding:
    [found] = [finding for finding in findings if finding.state == "bad"]
    assert found.fix
    return found


@pytest.fixture
def joined(state: StateDir, agentd, cluster) -> Agent:
    invitation = Invitation(Address.parse(agentd.address), make_token(cluster), "agent-1")
    asyncio.run(join(state, invitation, gateway_class="envoy", version=VERSION))
    return Agent.objects.get()


# --- before joining ---


def test_a_way_that_is_clear_and_a_token_that_is_not_spent(look, cluster):
    findings = look(token=make_token(cluster))

    assert states(findings) == dict.fromkeys(
        ["dns", "tcp", "tls", "clock", "version", "token", "portal"], "ok"
    )
    assert cluster.name in next(each.words for each in findings if each.step == "token")
    assert RegistrationToken.objects.get().use_count == 0
    assert not Agent.objects.exists()


def test_without_a_token_the_way_is_examined_all_the_same(look):
    found = states(look())
    assert (found["tls"], found["clock"], found["token"]) == ("ok", "ok", "warn")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "token_expired"),
        ({"use_count": 1}, "token_used"),
        ({"revoked_at": timezone.now()}, "token_revoked"),
    ],
)
def test_a_spent_token_is_named(look, cluster, fields, code):
    found = broken(look(token=make_token(cluster, **fields)))
    assert (found.step, found.code) == ("token", code)


def test_an_unknown_token_is_named(look):
    found = broken(look(token="igr_0123456789_" + "0" * 64))
    assert (found.step, found.code) == ("token", "token_unknown")


def test_a_name_that_is_taken_is_named(look, cluster, joined, state):
    state.identity_file.unlink()
    found = broken(look(token=make_token(cluster)))
    assert (found.code, "--name" in found.fix) == ("name_taken", True)


def test_a_name_that_does_not_resolve(look):
    found = look("nowhere.invalid:9443")
    assert states(found) == {"dns": "bad"}
    assert "getent hosts nowhere.invalid" in found[0].fix


def test_a_port_nobody_listens_on(look):
    assert states(look(f"127.0.0.1:{ports.free()[0]}")) == {"dns": "ok", "tcp": "bad"}


def test_a_port_of_something_else(look, live_server):
    findings = look(live_server.url.removeprefix("http://").replace("localhost", "127.0.0.1"))
    assert states(findings) == {"dns": "ok", "tcp": "ok", "tls": "bad"}
    assert "not as an agent server" in broken(findings).words


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"until": dt.datetime(2020, 1, 1)}, "expired"),
        ({"host": "other.example.com"}, "mismatch"),
    ],
)
def test_a_certificate_that_is_not_trusted(look, start_agentd, tmp_path, made, words):
    authority = make_authority(**made)
    (tmp_path / "ca.pem").write_bytes(authority.ca)
    other = start_agentd(certificate=authority.chain, private_key=authority.key)

    found = broken(look(other.address, ca_file=tmp_path / "ca.pem"))

    assert found.step == "tls"
    assert words in found.words


def test_a_certificate_that_is_trusted(look, start_agentd, tmp_path, cluster):
    authority = make_authority()
    (tmp_path / "ca.pem").write_bytes(authority.ca)
    other = start_agentd(certificate=authority.chain, private_key=authority.key)

    found = states(look(other.address, ca_file=tmp_path / "ca.pem", token=make_token(cluster)))

    assert (found["authority"], found["tls"], found["token"]) == ("ok", "ok", "ok")
    assert found["portal"] == "bad"  # this rig names an address that nobody serves


def test_an_authority_that_is_none(look, tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    assert states(look(ca_file=tmp_path / "ca.pem")) == {"authority": "bad"}


def test_a_wrong_clock(look, cluster, monkeypatch):
    right = faultpoint.now
    monkeypatch.setattr(faultpoint, "now", lambda: right() - 120)

    found = broken(look(token=make_token(cluster)))

    assert found.step == "clock"
    assert "behind" in found.words


def test_another_version(look, cluster):
    findings = look(token=make_token(cluster), version="9.9.0")
    assert states(findings)["version"] == "warn"


# --- after it ---


def test_a_joined_agent_that_nobody_started(look, joined):
    findings = look()

    assert (states(findings)["folder"], states(findings)["token"]) == ("ok", "ok")
    assert (broken(findings).step, "imp-agent run" in broken(findings).fix) == ("heartbeat", True)
    joined.refresh_from_db()
    assert (joined.session_epoch, joined.last_heartbeat_at) == (0, None)


def test_a_joined_agent_that_is_heard(look, joined):
    Agent.objects.update(last_heartbeat_at=timezone.now())
    assert set(states(look()).values()) == {"ok"}


def test_a_revoked_agent(look, joined):
    Agent.objects.update(revoked_at=timezone.now())
    found = broken(look())
    assert (found.step, found.code) == ("token", "agent_revoked")


def test_an_agent_that_the_portal_does_not_know(look, joined, state):
    Agent.objects.all().delete()
    assert broken(look()).code == "jwt_unknown_agent"


def test_a_key_of_somebody_else(look, joined, state):
    state.key_file.unlink()
    state.make_key()
    assert broken(look()).code == "jwt_key"


def test_a_folder_without_its_key(look, joined, state):
    state.key_file.unlink()
    assert states(look()) == {"folder": "bad"}


def test_what_it_signs_does_not_connect(joined, state, agentd):
    """The check's audience is another one, so that what was overheard opens no session."""
    from agents.edge.doctor import asking
    from agents.edge.doctor.finding import Patient
    from agents.server import auth
    from core.errors import Unauthenticated

    identity = state.identity()
    patient = Patient(state, VERSION, Invitation(Address.parse(identity.server), "", "x"), identity)
    token = asking._signed(patient, identity, int(timezone.now().timestamp()))

    with pytest.raises(Unauthenticated, match="audience"):
        auth.prove(token=token, nonce="", agent=joined)


# --- the command ---


def run(*argv: str) -> int:
    return cli.main(["doctor", *argv])


def test_exit_codes(state, agentd, joined, capsys, tmp_path):
    here = ("--state-dir", str(state.path))
    assert run(*here) == Exit.FAILED  # no heartbeat
    said = capsys.readouterr().out
    assert "bad  heartbeat" in said
    assert "-> No agent runs on this folder" in said

    Agent.objects.update(last_heartbeat_at=timezone.now())
    assert run(*here, "--json") == Exit.OK
    assert {row["state"] for row in json.loads(capsys.readouterr().out)} == {"ok"}

    Agent.objects.update(revoked_at=timezone.now())
    assert run(*here) == Exit.REVOKED

    nowhere = ("--state-dir", str(tmp_path / "none"))
    assert run(*nowhere) == Exit.NOT_RUNNING
    assert run(*nowhere, "--server", "nowhere.invalid:1") == Exit.UNREACHABLE
    assert run(*nowhere, "--server", agentd.address, "--token", "igr_x") == Exit.REFUSED
    assert run(*nowhere, "--server", "nonsense") == Exit.USAGE
    assert not (tmp_path / "none").exists()


def test_an_agent_that_runs_unheard_says_why(look, joined, state):
    """The lock is held and nothing answers, as while an agent starts."""
    running = Running(pid=os.getpid(), host="127.0.0.1", port=ports.free()[0])
    with state.locked(), state.announced(running):
        assert "runs but is not heard" in broken(look()).fix
