import asyncio

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from accounts.models import User
from core.pulse import PulseConsumer


class Thing(PulseConsumer):
    async def group_for(self, user, pk):
        return f"thing.{pk}" if user.email == "owner@example.com" else None


OWNER, STRANGER = User(email="owner@example.com"), User(email="other@example.com")


def socket(user, pk="1"):
    communicator = WebsocketCommunicator(Thing.as_asgi(), "/ws/things/1")
    communicator.scope |= {"user": user, "url_route": {"kwargs": {"pk": pk}}}
    return communicator


async def tell(group="thing.1"):
    await get_channel_layer().group_send(group, {"type": "pulse"})


async def frames(communicator, seconds):
    """What arrives in that time."""
    got, end = [], asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            got.append(await asyncio.wait_for(communicator.output_queue.get(), left))
        except TimeoutError:
            break
    return got


@pytest.mark.parametrize("user", [AnonymousUser(), STRANGER])
async def test_whoever_may_not_see_it_is_turned_away(user):
    assert await socket(user).connect() == (False, 4404)


async def test_a_change_becomes_a_frame_without_content():
    communicator = socket(OWNER)
    assert (await communicator.connect())[0]

    await tell()

    assert await communicator.receive_from() == "pulse"
    await communicator.disconnect()


async def test_another_things_change_is_not_heard():
    communicator = socket(OWNER)
    await communicator.connect()

    await tell("thing.2")

    assert await communicator.receive_nothing(0.2)
    await communicator.disconnect()


async def test_a_burst_is_told_four_times_a_second_and_its_end_is_not_lost():
    communicator = socket(OWNER)
    await communicator.connect()

    for _change in range(50):
        await tell()
    burst = await frames(communicator, 0.6)
    await tell()
    after = await frames(communicator, 0.4)

    assert 2 <= len(burst) <= 3
    assert len(after) == 1
    await communicator.disconnect()


async def test_it_does_not_listen():
    communicator = socket(OWNER)
    await communicator.connect()

    await communicator.send_to("anything")

    assert await communicator.receive_output() == {"type": "websocket.close", "code": 4400}
