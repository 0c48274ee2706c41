"""HTTPS through all of it: a certificate uploaded to the portal is what a TLS client is shown."""

from __future__ import annotations

import socket
import ssl

import pytest

from catalog.services import certificates, gateways
from publishing.models import ProductPublish
from tests.agents.test_end_to_end import HOST, World, until, world
from tests.factories.tls import Issued, authority, issue, pem

pytestmark = [pytest.mark.envoy, pytest.mark.django_db(transaction=True)]
__all__ = ["world"]  # the fixture


class Caller:
    """One connection of a client that knows the test authority alone, kept open."""

    def __init__(self, world: World) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem(authority().certificate))
        plain = socket.create_connection(("127.0.0.1", world.gateway_port), timeout=5)
        self.socket = context.wrap_socket(plain, server_hostname=HOST)

    @property
    def shown(self) -> bytes | None:
        return self.socket.getpeercert(binary_form=True)

    def status(self) -> int:
        self.socket.sendall(f"GET /billing HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(65536) or pytest.fail("the connection was dropped")
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length"))
        while len(body) < int(length.partition(b":")[2]):
            body += self.socket.recv(65536)
        return int(head.split()[1])


def shown(world: World) -> bytes | None:
    try:
        return Caller(world).shown
    except OSError:
        return None


def secured(world: World, issued: Issued) -> ProductPublish:
    """A publish whose gateway speaks HTTPS."""
    publish = world.product()
    row = certificates.upload(
        actor=world.admin,
        organization_id=world.provider.pk,
        name="web",
        certificate=issued.chain,
        private_key=issued.private_key,
    )
    gateways.update(
        actor=world.admin,
        gateway_id=publish.gateway_id,
        listeners=[
            {"port": world.gateway_port, "protocol": "HTTPS", "certificate_id": row.pk},
        ],
    )
    return publish


def test_https_from_upload_to_rotation_and_through_an_outage(world: World) -> None:
    world.join()
    agent_process = world.start_agent()
    agent = world.connected()
    issued = issue(HOST)
    publish = secured(world, issued)
    deployment = world.ended(world.publish(publish))
    assert deployment.verdicts.get(agent=agent).probe[0]["got"] == 200
    caller = Caller(world)
    assert caller.shown == issued.der
    assert caller.status() == 200

    renewed = issue(HOST)
    certificates.replace(
        actor=world.admin,
        certificate_id=world.provider.certificates.get().pk,
        certificate=renewed.chain,
        private_key=renewed.private_key,
    )
    until(lambda: shown(world) == renewed.der, "the renewed certificate")
    assert caller.status() == 200  # over the connection that was there before
    until(lambda: _settled(world), "the agent's word on it")

    world.processes[1].kill()
    world.processes[1].wait()
    agent_process.kill()
    agent_process.wait()
    world.call("stop", "--gateway")
    world.start_agent()
    until(lambda: shown(world) == renewed.der, "HTTPS without a control plane")
    assert Caller(world).status() == 200


def _settled(world: World) -> bool:
    agent = world.cluster.agents.get()
    world.cluster.state.refresh_from_db()
    return agent.settled_generation == world.cluster.state.desired_generation
