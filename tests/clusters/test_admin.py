from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from clusters.models import Cluster
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db
MODELS = ["cluster", "clusterstate", "agent", "registrationtoken"]


@pytest.fixture
def client(client):
    client.force_login(UserFactory(superuser=True))
    return client


def changelist(model: str) -> str:
    return reverse(f"admin:clusters_{model}_changelist")


@pytest.fixture
def rows():
    cluster = ClusterFactory(active=True, name="kr-main")
    token = RegistrationTokenFactory(cluster=cluster)
    return {
        "cluster": cluster,
        "clusterstate": cluster.state,
        "agent": cluster.agents.get(),
        "registrationtoken": token,
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_model_lists_searches_and_opens(client, rows, model):
    row = rows[model]
    assert client.get(f"{changelist(model)}?q=kr-main").status_code == 200
    assert client.get(f"{changelist(model)}?q={row.pk}").status_code == 200
    page = client.get(reverse(f"admin:clusters_{model}_change", args=[row.pk]))
    assert page.status_code == 200
    secrets = {"digest", "public_key", "rest_token_digest"}
    assert not [name for name in secrets if f"field-{name}" in page.content.decode()]


@pytest.mark.parametrize("model", MODELS)
def test_staff_without_memberships_sees_no_rows(client, rows, model):
    client.force_login(UserFactory(is_staff=True))
    page = client.get(changelist(model)).content.decode()
    assert str(rows[model].pk) not in page


@pytest.mark.parametrize("status", ["active", "pending", "inactive", "maintenance"])
def test_clusters_filter_by_the_derived_status(client, rows, status):
    ClusterFactory(name="another")
    page = client.get(f"{changelist('cluster')}?status={status}").content.decode()
    assert (">kr-main<" in page) is (status == "active")


@pytest.mark.parametrize(("live", "found"), [("yes", True), ("no", False)])
def test_agents_filter_by_whether_they_are_live(client, rows, live, found):
    AgentFactory(stale=True)
    page = client.get(f"{changelist('agent')}?live={live}").content.decode()
    assert (f">{rows['agent'].name}<" in page) is found


def posted(**changes):
    return {
        "name": "kr-new",
        "region": "kr",
        "description": "",
        "cloud_provider": "",
        "labels": "{}",
        "allowed_ports": "80, 8000-8999",
        "allowed_networks": "",
        "trusted_hops": "1",
        "open_to_all": "on",
    } | changes


def test_writes_go_through_the_service(client):
    operator = OrganizationFactory(operator=True)

    answer = client.post(
        reverse("admin:clusters_cluster_add"), posted(organization=str(operator.pk))
    )
    assert answer.status_code == 302
    cluster = Cluster.objects.get()
    assert cluster.allowed_ports == [80, 80, 8000, 8999]
    assert cluster.state.desired_generation == 0

    change = reverse("admin:clusters_cluster_change", args=[cluster.pk])
    assert client.post(change, posted(region="eu")).status_code == 302
    cluster.refresh_from_db()
    assert cluster.region == "eu"
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"cluster.create", "cluster.update"} <= actions


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Foo_Bar"},
        {"name": "kr-main"},
        {"allowed_ports": "many"},
        {"allowed_networks": "x"},
        {"labels": '{"a": 1}'},
        {"labels": "[]"},
    ],
)
def test_wrong_values_are_shown_in_the_form(client, rows, wrong):
    operator = rows["cluster"].organization
    answer = client.post(
        reverse("admin:clusters_cluster_add"), posted(organization=str(operator.pk), **wrong)
    )
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert Cluster.objects.count() == 1


def test_deleting_what_is_in_use_is_refused_with_words(client, rows, publish_on):
    publish_on(rows["cluster"])
    path = reverse("admin:clusters_cluster_delete", args=[rows["cluster"].pk])
    client.post(path, {"post": "yes"})
    assert Cluster.objects.exists()


def test_agents_and_tokens_can_be_revoked(client, rows):
    for model in ("agent", "registrationtoken"):
        client.post(
            changelist(model), {"action": "revoke", "_selected_action": [str(rows[model].pk)]}
        )
        rows[model].refresh_from_db()
        assert rows[model].revoked_at
