import socket

import pytest

from deploy.local import ports
from deploy.local.stack import Ports


@pytest.fixture
def busy_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_busy_port_is_named_with_the_variable_that_changes_it(busy_port):
    with pytest.raises(ports.PortError, match=rf"Port {busy_port} .*WEB_PORT"):
        ports.require_free(busy_port, "WEB_PORT")


def test_the_suggested_port_is_a_port(busy_port):
    with pytest.raises(ports.PortError) as raised:
        ports.require_free(busy_port, "WEB_PORT")

    suggested = int(str(raised.value).rpartition("WEB_PORT=")[2].rstrip("."))
    assert 0 < suggested < 65536


def test_a_free_port_passes():
    (port,) = ports.free()

    ports.require_free(port, "WEB_PORT")


def test_free_ports_differ():
    assert len(set(ports.free(20))) == 20


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1", "80.5"])
def test_a_port_variable_that_is_no_port_is_refused(monkeypatch, text):
    monkeypatch.setenv("WEB_PORT", text)

    with pytest.raises(ports.PortError, match="WEB_PORT"):
        ports.from_env("WEB_PORT", 8000)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_port_variable_means_the_default(monkeypatch, text):
    monkeypatch.setenv("WEB_PORT", text)

    assert ports.from_env("WEB_PORT", 8000) == 8000


def test_two_variables_with_one_port_are_refused():
    first, second, third = ports.free(3)

    with pytest.raises(ports.PortError, match="WEB_PORT and UPSTREAM_PORT"):
        Ports(web=first, agentd=second, gateway=third, upstream=first).require_free()


def test_answers_tells_a_listening_port_from_a_free_one(busy_port):
    assert ports.answers(busy_port)
    assert not ports.answers(ports.free()[0])
