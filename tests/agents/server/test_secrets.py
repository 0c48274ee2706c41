"""TLS keys over REST: to agents whose gateways need them, and to nobody else."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from catalog.models import Certificate
from catalog.services import certificates
from clusters.models import Agent, ClusterState
from clusters.services import agents
from tests.factories.accounts import UserFactory
from tests.factories.catalog import CertificateFactory, GatewayFactory, ListenerFactory
from tests.factories.tls import issue
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db
MANIFEST = "/api/v1/agent/manifest"


class Secured(Stage):
    """Its publish is served over HTTPS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        owner = self.publish.organization
        self.certificate: Certificate = CertificateFactory(organization=owner)
        gateway = GatewayFactory(organization=owner, listener=None)
        ListenerFactory(gateway=gateway, https=True, certificate=self.certificate)
        type(self.publish).objects.filter(pk=self.publish.pk).update(gateway=gateway)
        self.publish.refresh_from_db()


@pytest.fixture
def stage() -> Secured:
    return Secured()


def asking(agent: Agent) -> Any:
    session = agents.open_session(
        agent_id=agent.pk, version="", gateway_classes=["envoy"], owner="x/1"
    )
    agent.refresh_from_db()
    headers = {"Authorization": f"Bearer {session.rest_token}"}
    return lambda path, **more: Client().get(path, headers=headers | more)


def path_of(certificate: Certificate) -> str:
    return f"/api/v1/agent/secrets/{certificate.pk}"


def replaced(stage: Secured) -> Certificate:
    fresh = issue("*.example.com")
    return certificates.replace(
        actor=stage.user,
        certificate_id=stage.certificate.pk,
        certificate=fresh.chain,
        private_key=fresh.private_key,
    )


def test_what_is_wanted_is_named_and_had(stage):
    get = asking(stage.agents[0])
    stage.click()
    document, answer = get(MANIFEST).json(), get(path_of(stage.certificate))

    expected = {"id": str(stage.certificate.pk), "version": stage.certificate.tag}
    assert document["secrets"] == [expected]
    assert answer["Cache-Control"] == "no-store"
    found = answer.json()
    assert found["tls"]["private_key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert found | {"tls": None} == expected | {"tls": None}


def test_before_it_is_published_and_after_it_was_withdrawn_nothing_is_named(stage):
    get = asking(stage.agents[0])
    assert get(MANIFEST).json()["secrets"] == []
    assert get(path_of(stage.certificate)).status_code == 404
    stage.click()
    stage.dispatch()
    stage.say("applied")
    stage.withdraw()
    assert get(path_of(stage.certificate)).status_code == 200  # live until that succeeded
    stage.dispatch()
    stage.say("applied")

    assert get(MANIFEST).json()["secrets"] == []
    assert get(path_of(stage.certificate)).status_code == 404


def test_another_clusters_agent_has_none_of_it(stage):
    stage.click()
    other = Stage()
    get = asking(other.agents[0])

    assert get(path_of(stage.certificate)).status_code == 404
    assert get(MANIFEST).json()["secrets"] == []
    assert get(f"/api/v1/agent/secrets/{uuid4()}").status_code == 404


def test_people_have_none_of_it(stage, client):
    stage.click()
    client.force_login(UserFactory(is_superuser=True))

    assert client.get(path_of(stage.certificate)).status_code == 401


def test_a_new_version_changes_the_tag_and_the_generation(stage):
    get = asking(stage.agents[0])
    stage.click()
    before = get(MANIFEST)
    row = replaced(stage)
    after = get(MANIFEST, **{"If-None-Match": before["ETag"]})

    assert after.status_code == 200
    assert after.json()["secrets"] == [{"id": str(row.pk), "version": row.tag}]
    assert after.json()["generation"] == before.json()["generation"] + 1
    assert get(path_of(row)).json()["version"] == row.tag


def test_whoever_follows_a_new_version_is_behind_until_it_settled(stage):
    """So that agentd's sweep finds an agent that missed the wake."""
    stage.click()
    stage.dispatch()
    stage.say("applied")
    replaced(stage)

    generation = ClusterState.objects.get(pk=stage.cluster.pk).desired_generation
    agent = Agent.objects.get(pk=stage.agents[0].pk)
    assert agent.settled_generation < generation


def test_the_bundle_holds_the_id_and_no_key(stage):
    deployment = stage.click()

    assert deployment.revision.secret_ids == [str(stage.certificate.pk)]
    assert "BEGIN" not in deployment.revision.document
