"""The pages' sockets, over the real application and the real channel layer."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.db import connections
from django.test import Client

from accounts.models import Role
from clusters.models import HEARTBEAT_WINDOW
from clusters.services import clusters
from clusters.services.lapses import announce_lapsed
from config.asgi import application
from core.errors import InvalidInput
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory

pytestmark = pytest.mark.django_db(transaction=True)
NOT_FOUND = 4404
ORIGIN = (b"origin", b"http://localhost")


@sync_to_async
def socket(path: str, user) -> WebsocketCommunicator:
    client = Client()
    client.force_login(user)
    cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
    return WebsocketCommunicator(application, path, [ORIGIN, (b"cookie", cookie.encode())])


@pytest.fixture(autouse=True)
async def _no_connection_stays_open():
    """The thread of sync_to_async outlives the test, and its connection the test's database."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def operator():
    return OrganizationFactory(operator=True)


@pytest.fixture
def member(operator):
    return UserFactory(member_of=operator, role=Role.MEMBER)


@pytest.fixture
def cluster(operator):
    return ClusterFactory(organization=operator)


async def pulse(communicator) -> str:
    return await communicator.receive_from(timeout=5)


async def pause(cluster, member) -> None:
    await sync_to_async(clusters.set_maintenance)(actor=member, cluster_id=cluster.pk, enabled=True)


async def test_both_pages_pulse_after_the_commit(operator, member, cluster):
    one = await socket(f"/ws/clusters/{cluster.pk}", member)
    many = await socket("/ws/clusters", member)
    assert (await one.connect())[0]
    assert (await many.connect())[0]

    await pause(cluster, member)

    assert await pulse(one) == "pulse"
    assert await pulse(many) == "pulse"
    await one.disconnect()
    await many.disconnect()


async def test_what_only_the_clock_changed_is_told(member, cluster):
    agent = await sync_to_async(AgentFactory)(cluster=cluster, live=True)
    one = await socket(f"/ws/clusters/{cluster.pk}", member)
    await one.connect()
    ninety = agent.last_heartbeat_at + HEARTBEAT_WINDOW

    await sync_to_async(announce_lapsed)(
        after=ninety - timedelta(seconds=5), until=ninety + timedelta(seconds=1)
    )

    assert await pulse(one) == "pulse"
    await one.disconnect()


async def test_a_refused_change_is_not_told(member, cluster):
    one = await socket(f"/ws/clusters/{cluster.pk}", member)
    await one.connect()

    with pytest.raises(InvalidInput):
        await sync_to_async(clusters.update)(
            actor=member, cluster_id=cluster.pk, name="Foo_Bar", region="kr"
        )

    assert await one.receive_nothing(timeout=0.3)
    await one.disconnect()


async def test_others_clusters_are_not_told(member, cluster):
    many = await socket("/ws/clusters", member)
    await many.connect()
    other = await sync_to_async(ClusterFactory)()
    admin = await sync_to_async(UserFactory)(member_of=other.organization, role=Role.ADMIN)

    await pause(other, admin)

    assert await many.receive_nothing(timeout=0.3)
    await many.disconnect()


async def test_a_burst_becomes_a_few_pulses_and_the_last_is_told(member, cluster):
    one = await socket(f"/ws/clusters/{cluster.pk}", member)
    await one.connect()

    for _ in range(6):
        await pause(cluster, member)
    await pulse(one)
    await asyncio.sleep(0.6)

    told = 1
    while not await one.receive_nothing(timeout=0.1):
        await pulse(one)
        told += 1
    assert 1 <= told <= 4
    await one.disconnect()


async def refused(communicator) -> bool:
    connected, code = await communicator.connect()
    return not connected and code == NOT_FOUND


async def test_strangers_are_refused(cluster):
    stranger = await sync_to_async(UserFactory)()
    assert await refused(await socket(f"/ws/clusters/{cluster.pk}", stranger))
    assert await refused(await socket("/ws/clusters", stranger))


async def test_nobody_listens_without_signing_in(cluster):
    anonymous = WebsocketCommunicator(application, f"/ws/clusters/{cluster.pk}", [ORIGIN])
    assert await refused(anonymous)
