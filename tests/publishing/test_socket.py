from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser

from accounts.models import Role
from catalog.services import apis, gateways, products, routes
from clusters.services import clusters
from publishing.consumers import PublishConsumer
from tests.factories.accounts import UserFactory
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)


def socket(user, pk) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(PublishConsumer.as_asgi(), f"/ws/publishes/{pk}")
    communicator.scope |= {"user": user, "url_route": {"kwargs": {"pk": pk}}}
    return communicator


async def test_strangers_are_turned_away():
    stage = await sync_to_async(Stage)()
    stranger = await sync_to_async(UserFactory)()
    for user in (stranger, AnonymousUser()):
        assert await socket(user, stage.publish.pk).connect() == (False, 4404)


async def test_every_step_of_a_deployment_is_felt():
    stage = await sync_to_async(Stage)()
    communicator = socket(stage.user, stage.publish.pk)
    assert (await communicator.connect())[0]
    steps = [
        stage.click,
        stage.dispatch,
        lambda: stage.say("applying"),
        lambda: stage.say("applied"),
        lambda: stage.report(last_error="", publishes=[]),
    ]
    for step in steps:
        await sync_to_async(step)()
        assert await communicator.receive_from(2) == "pulse"
    await communicator.disconnect()


async def test_the_maintenance_of_its_cluster_is_felt():
    stage = await sync_to_async(Stage)()
    operator = await sync_to_async(UserFactory)(
        member_of=stage.cluster.organization, role=Role.MEMBER
    )
    communicator = socket(stage.user, stage.publish.pk)
    assert (await communicator.connect())[0]
    for enabled in (True, False):
        await sync_to_async(clusters.set_maintenance)(
            actor=operator, cluster_id=stage.cluster.pk, enabled=enabled, reason="Kernel"
        )
        assert await communicator.receive_from(2) == "pulse"
    await communicator.disconnect()


async def test_edits_of_what_it_is_made_of_are_felt():
    stage = await sync_to_async(Stage)()
    await sync_to_async(stage.serve)()
    product = stage.publish.product
    service = await product.services.afirst()
    communicator = socket(stage.user, stage.publish.pk)
    assert (await communicator.connect())[0]
    edits = [
        lambda: apis.update(actor=stage.user, service_id=service.pk, base_path="/elsewhere"),
        lambda: routes.create(
            actor=stage.user, service_id=service.pk, path="/more", match="exact", methods=["GET"]
        ),
        lambda: products.update(actor=stage.user, product_id=product.pk, name="Another name"),
        lambda: gateways.update(
            actor=stage.user, gateway_id=stage.publish.gateway_id, name="Another name"
        ),
    ]
    for edit in edits:
        await sync_to_async(edit)()
        assert await communicator.receive_from(2) == "pulse"
    await communicator.disconnect()


async def test_what_is_rolled_back_is_not_told():
    stage = await sync_to_async(Stage)()
    communicator = socket(stage.user, stage.publish.pk)
    await communicator.connect()
    await sync_to_async(stage.publish.product.services.clear)()
    with pytest.raises(Exception, match="no API service"):
        await sync_to_async(stage.click)()
    assert await communicator.receive_nothing(0.5)
    await communicator.disconnect()
