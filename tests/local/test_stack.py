import json
import os
import shutil
import stat
import subprocess
import sys

import pytest

from deploy.local import demo, envoys, ports
from deploy.local.processes import ChildFailed
from deploy.local.stack import Ports, Stack, wait_for


@pytest.fixture
def stack(tmp_path):
    return Stack(tmp_path / "demo", Ports.free(), say=lambda _: None)


def test_secrets_are_made_once_and_are_private(stack):
    stack._make_folders()

    first = stack.environment()

    assert stack.environment() == first
    secret = stack.home / "secrets" / "secret_key"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert first["SECRET_KEY"] != first["TOKEN_PEPPER"]


def test_a_busy_port_stops_the_demo_before_anything_is_started(stack):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", stack.ports.gateway))
        taken.listen()
        with pytest.raises(ports.PortError, match="GATEWAY_PORT"):
            stack.start()

    assert not stack.home.exists()


def test_wipe_removes_the_folder(stack):
    stack._make_folders()
    stack.wipe()

    assert not stack.home.exists()


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "agents" / "agent-1"
    folder.mkdir(parents=True)
    return folder


def test_an_envoy_of_this_folder_is_ended(tmp_path, state):
    pretender = tmp_path / "envoy"
    shutil.copy(shutil.which("sleep"), pretender)
    with subprocess.Popen([pretender, "60"]) as envoy:
        # The kernel renames a process a moment after exec has succeeded.
        wait_for(lambda: envoys.is_envoy(envoy.pid), "The new name")
        (state / "envoy.json").write_text(json.dumps({"pid": envoy.pid, "started": "1"}))

        envoys.stop_all(tmp_path)

        assert envoy.wait(5) != 0
    assert not (state / "envoy.json").exists()


def test_a_pid_that_now_belongs_to_another_program_is_spared(tmp_path, state):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        (state / "envoy.json").write_text(json.dumps({"pid": other.pid}))

        envoys.stop_all(tmp_path)

        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize("note", ["", "not json", "[]", "{}", '{"pid": "x"}', '{"pid": 999999999}'])
def test_a_useless_pid_file_is_dropped(tmp_path, state, note):
    (state / "envoy.json").write_text(note)

    envoys.stop_all(tmp_path)

    assert not (state / "envoy.json").exists()


def test_the_seeds_last_json_line_counts(stack, monkeypatch):
    printed = 'warming up\n{"old": 1}\n' + json.dumps({"logins": []}) + "\n"
    monkeypatch.setattr(stack, "manage", lambda *_: printed)

    assert stack.seed() == {"logins": []}


def test_a_seed_without_json_is_shown_as_it_is(stack, monkeypatch):
    monkeypatch.setattr(stack, "manage", lambda *_: "Traceback of something")

    with pytest.raises(ChildFailed, match="Traceback of something"):
        stack.seed()


def test_the_welcome_can_be_pasted(stack):
    found = {
        "logins": [{"role": "operator", "email": "o@example.com", "password": "pw"}],
        "call": {
            "path": "/billing/v2/invoices",
            "headers": {"Host": "pay.localhost", "x-api-key": "k"},
        },
    }

    shown = demo.welcome(stack, found)

    assert stack.url in shown
    assert "o@example.com" in shown
    assert (
        f"curl -i -H 'Host: pay.localhost' -H 'x-api-key: k' {stack.gateway_url}/billing/v2/invoices"
        in shown
    )


def test_a_demo_that_was_taken_apart_still_shows_its_portal(stack, monkeypatch, capsys):
    def refuse(*_options):
        raise ChildFailed("Not published after 30 s")

    monkeypatch.setattr(stack, "seed", refuse)
    monkeypatch.setattr(stack, "start_agent", lambda token: None)
    with pytest.raises(ChildFailed):  # the first start has to work
        demo.offer(stack, "token")
    stack.agent_state().mkdir(parents=True)
    (stack.agent_state() / "identity.json").touch()

    assert demo.offer(stack, "token") == {}
    assert "make demo-reset" in capsys.readouterr().err
    assert "curl" not in demo.welcome(stack, {})


def test_waiting_says_what_did_not_happen():
    with pytest.raises(ChildFailed, match="Rain did not happen"):
        wait_for(lambda: False, "Rain", seconds=0.1)


def test_the_machines_proxy_does_not_reach_the_children(stack, monkeypatch):
    monkeypatch.setenv("http_proxy", "proxy")
    stack._make_folders()

    assert "http_proxy" not in stack._child_env()
    assert os.environ["http_proxy"] == "proxy"
