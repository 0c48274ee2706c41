"""The manifest's tag: exact, and cheap to ask for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from agents.server.api.views import DOCUMENTS, Documents
from clusters.models import Agent, Cluster, ClusterState
from clusters.services import agents
from publishing.models import ProductPublish
from publishing.services import agents as publishing
from tests.agents.server.rig import Key
from tests.factories.clusters import AgentFactory
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db
URL = "/api/v1/agent/manifest"


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def ask(client: Any, stage: Stage) -> Callable[..., Any]:
    """What the stage's agent gets."""
    session = agents.open_session(
        agent_id=stage.agents[0].pk, version="", gateway_classes=["envoy"], owner="x/1"
    )
    stage.agents[0].refresh_from_db()

    def get(tag: str = "") -> Any:
        headers = {"Authorization": f"Bearer {session.rest_token}"}
        return client.get(URL, headers=headers | ({"If-None-Match": tag} if tag else {}))

    return get


CHANGES: dict[str, Callable[[Stage], Any]] = {
    "a publish": lambda stage: stage.click(),
    "a verdict that ends the deployment": lambda stage: stage.say("applied"),
    "a refusal": lambda stage: stage.say("failed"),
    "a withdrawal": lambda stage: (stage.say("applied"), stage.withdraw()),
    "keys": lambda stage: ClusterState.objects.update(access_version=9),
    "another lineage": lambda stage: ClusterState.objects.update(lineage=uuid4()),
    "networks": lambda stage: Cluster.objects.update(allowed_networks=["10.0.0.0/8"]),
    "proxies": lambda stage: Cluster.objects.update(trusted_hops=1),
    "one more agent": lambda stage: AgentFactory(cluster=stage.cluster),
    "one agent less": lambda stage: Agent.objects.filter(name="spare").update(
        revoked_at=timezone.now()
    ),
    "what is wanted, without a generation": lambda stage: ProductPublish.objects.update(
        wanted_revision=None
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_the_manifest_says_changes_its_tag(stage, ask, change):
    AgentFactory(cluster=stage.cluster, name="spare")
    stage.click()
    stage.dispatch()
    before = ask()
    assert ask(before["ETag"]).status_code == 304

    change(stage)

    after = ask(before["ETag"])
    assert after.status_code == 200
    assert after["ETag"] != before["ETag"]
    assert after.json() != before.json()
    assert ask(after["ETag"]).status_code == 304


def test_what_the_manifest_does_not_say_leaves_its_tag(stage, ask):
    stage.click()
    before = ask()
    Agent.objects.filter(pk=stage.agents[0].pk).update(applied_generation=3, last_error="x")
    other = Stage()
    other.click()

    assert ask(before["ETag"]).status_code == 304


def test_a_304_and_a_kept_document_need_two_queries_and_a_new_one_three(
    stage, ask, django_assert_num_queries
):
    stage.click()
    with django_assert_num_queries(3):
        first = ask()
    with django_assert_num_queries(2):
        assert ask(first["ETag"]).status_code == 304
    with django_assert_num_queries(2):
        assert ask().content == first.content


def test_a_kept_document_is_of_its_own_cluster_and_state(stage, ask):
    stage.click()
    document = ask().json()
    stage.say("applied")
    DOCUMENTS.put("nonsense", b"{}")

    after = ask().json()

    assert document["publishes"][0]["deployment_id"]
    assert after["publishes"][0]["deployment_id"] == ""
    assert after["cluster_id"] == str(stage.cluster.pk)


def test_what_is_kept_is_bounded():
    documents = Documents(limit=100)
    for number in range(50):
        documents.put(str(number), b"x" * 40)
        assert sum(map(len, documents._bodies.values())) <= 100
    documents.put("too large", b"x" * 101)

    assert documents.get("too large") is None
    documents.put("fits", b"x" * 100)
    assert documents.get("fits")


@pytest.mark.django_db(transaction=True)
def test_a_tag_never_belongs_to_another_state_than_its_document():
    """Documents read amid changes: the same tag, the same content."""
    stage, seen, over = Stage(), {}, threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not over.is_set():
            tag, document = publishing.tagged_manifest(agent=stage.agents[0])
            if seen.setdefault(tag, document) != document:
                wrong.append(tag)
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(15):
            stage.change()
            stage.click()
            stage.dispatch()
            stage.say("applied")
            Agent.objects.create(
                cluster=stage.cluster, name=f"extra-{number}", public_key=Key().public
            )
    finally:
        over.set()
        reader.join(20)
    assert not wrong
    assert len(seen) > 5
