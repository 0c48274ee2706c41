from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.utils import timezone

from accounts.models import AuditEvent
from clusters.models import Agent, Cluster, RegistrationToken
from clusters.services import clusters, tokens
from core import secrets
from core.errors import DomainError, InvalidInput
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db


def last_event() -> AuditEvent:
    return AuditEvent.objects.first()


# --- create ------------------------------------------------------------


def test_create_registers_a_pending_cluster_with_its_state(member, operator):
    cluster = clusters.create(
        actor=member, organization_id=operator.pk, name="kr-main", region=" kr-central "
    )

    assert (cluster.region, cluster.organization, cluster.created_by) == (
        "kr-central",
        operator,
        member,
    )
    assert cluster.state.desired_generation == 0
    assert Cluster.objects.with_status().get().status == "pending"
    event = last_event()
    assert (event.action, event.actor_id, event.object_label) == (
        "cluster.create",
        member.pk,
        "kr-main",
    )
    assert event.organization_id == operator.pk
    assert event.after["name"] == "kr-main"


def test_create_keeps_all_that_is_said(member, operator):
    provider = OrganizationFactory(provider=True)

    cluster = clusters.create(
        actor=member,
        organization_id=operator.pk,
        name="kr-main",
        region="kr-central",
        description="Main",
        cloud_provider="AWS EKS",
        labels={"tier": "production"},
        allowed_ports=[80, "8000-8999"],
        allowed_networks=["127.0.0.0/8"],
        open_to_all=False,
        open_to=[provider.pk],
    )

    cluster.refresh_from_db()
    assert cluster.allowed_ports == [80, 80, 8000, 8999]
    assert cluster.allowed_networks == ["127.0.0.0/8"]
    assert cluster.labels == {"tier": "production"}
    assert list(cluster.open_to.all()) == [provider]
    assert cluster.open_to_all is False


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "Foo_Bar"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"region": " "}, "region"),
        ({"region": "x" * 101}, "region"),
        ({"description": "x" * 501}, "description"),
        ({"cloud_provider": "x" * 51}, "cloud_provider"),
        ({"labels": {"a": {"b": "c"}}}, "labels"),
        ({"allowed_ports": [0]}, "allowed_ports"),
        ({"allowed_networks": ["nowhere"]}, "allowed_networks"),
    ],
)
def test_create_names_the_wrong_field(member, operator, wrong, field):
    with pytest.raises(InvalidInput) as refusal:
        clusters.create(
            actor=member,
            organization_id=operator.pk,
            **{"name": "kr-main", "region": "kr-central"} | wrong,
        )
    assert refusal.value.field == field
    assert not Cluster.objects.exists()


def test_create_refuses_a_name_that_is_taken(member, operator):
    ClusterFactory(organization=operator, name="kr-main")

    with pytest.raises(InvalidInput, match="already have a cluster named kr-main") as refusal:
        clusters.create(actor=member, organization_id=operator.pk, name="kr-main", region="kr")
    assert (refusal.value.field, refusal.value.code) == ("name", "duplicate")


def test_create_opens_to_providers_only(member, operator):
    for stranger in (OrganizationFactory(consumer=True).pk, operator.pk):
        with pytest.raises(InvalidInput) as refusal:
            clusters.create(
                actor=member, organization_id=operator.pk, name="a", region="b", open_to=[stranger]
            )
        assert refusal.value.field == "open_to"


def test_create_needs_a_member_of_an_operator(viewer, stranger, operator):
    for actor in (viewer, stranger):
        with pytest.raises(PermissionDenied):
            clusters.create(actor=actor, organization_id=operator.pk, name="a", region="b")


def test_providers_have_no_clusters():
    provider = OrganizationFactory(provider=True)
    actor = UserFactory(member_of=provider)
    with pytest.raises(PermissionDenied):
        clusters.create(actor=actor, organization_id=provider.pk, name="a", region="b")


# --- update ------------------------------------------------------------


def test_update_replaces_and_tells_what_changed(member, operator):
    cluster = ClusterFactory(organization=operator, description="old", labels={"a": "b"})

    clusters.update(actor=member, cluster_id=cluster.pk, name="new-name", region=cluster.region)

    cluster.refresh_from_db()
    assert (cluster.name, cluster.description, cluster.labels) == ("new-name", "", {})
    event = last_event()
    assert event.action == "cluster.update"
    assert event.before["description"] == "old"
    assert set(event.after) == {"name", "description", "labels"}


def test_update_of_nothing_leaves_no_trace(member, operator):
    cluster = ClusterFactory(organization=operator)

    clusters.update(actor=member, cluster_id=cluster.pk, name=cluster.name, region=cluster.region)

    assert not AuditEvent.objects.exists()


def test_new_networks_reach_the_agents_through_a_new_generation(member, operator):
    cluster = ClusterFactory(organization=operator)
    same = {"name": cluster.name, "region": cluster.region}

    clusters.update(actor=member, cluster_id=cluster.pk, allowed_networks=["127.0.0.0/8"], **same)
    cluster.state.refresh_from_db()
    assert cluster.state.desired_generation == 1

    clusters.update(
        actor=member,
        cluster_id=cluster.pk,
        allowed_networks=["127.0.0.0/8"],
        description="only words",
        **same,
    )
    cluster.state.refresh_from_db()
    assert cluster.state.desired_generation == 1

    clusters.update(actor=member, cluster_id=cluster.pk, trusted_hops=1, **same)
    cluster.state.refresh_from_db()
    assert cluster.state.desired_generation == 2


def test_update_refuses_anothers_name(member, operator):
    taken, cluster = (ClusterFactory(organization=operator) for _ in range(2))
    with pytest.raises(InvalidInput):
        clusters.update(actor=member, cluster_id=cluster.pk, name=taken.name, region="kr")


# --- who may ------------------------------------------------------------


def calls(cluster, token):
    same = {"name": cluster.name, "region": cluster.region}
    return {
        "update": lambda actor: clusters.update(actor=actor, cluster_id=cluster.pk, **same),
        "maintenance": lambda actor: clusters.set_maintenance(
            actor=actor, cluster_id=cluster.pk, enabled=True
        ),
        "delete": lambda actor: clusters.delete(actor=actor, cluster_id=cluster.pk),
        "create_token": lambda actor: tokens.create_token(actor=actor, cluster_id=cluster.pk),
        "revoke_token": lambda actor: tokens.revoke_token(actor=actor, token_id=token.pk),
    }


CALLS = ["update", "maintenance", "delete", "create_token", "revoke_token"]


@pytest.mark.parametrize("call", CALLS)
def test_viewers_may_not_and_strangers_see_nothing(call, operator, viewer, stranger):
    token = RegistrationTokenFactory(cluster__organization=operator)
    act = calls(token.cluster, token)[call]

    with pytest.raises(PermissionDenied):
        act(viewer)
    with pytest.raises(ObjectDoesNotExist):
        act(stranger)
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize("call", ["delete", "create_token", "revoke_token"])
def test_deleting_and_tokens_need_an_admin(call, operator, member, admin):
    token = RegistrationTokenFactory(cluster__organization=operator)
    act = calls(token.cluster, token)[call]

    with pytest.raises(PermissionDenied):
        act(member)
    act(admin)


# --- maintenance ------------------------------------------------------------


def test_maintenance_starts_and_ends(member, operator):
    cluster = ClusterFactory(organization=operator, active=True)
    until = timezone.now() + timedelta(hours=2)

    clusters.set_maintenance(
        actor=member, cluster_id=cluster.pk, enabled=True, reason=" Kernel ", until=until
    )
    cluster.refresh_from_db()
    assert cluster.maintained
    assert (cluster.maintenance_reason, cluster.maintenance_until) == ("Kernel", until)
    assert last_event().action == "cluster.maintenance_start"

    clusters.set_maintenance(actor=member, cluster_id=cluster.pk, enabled=False)
    cluster.refresh_from_db()
    assert not cluster.maintained
    assert (cluster.maintenance_since, cluster.maintenance_reason) == (None, "")
    assert last_event().action == "cluster.maintenance_end"
    assert last_event().before["reason"] == "Kernel"


def test_changing_running_maintenance_keeps_its_start(member, operator):
    cluster = ClusterFactory(organization=operator, maintenance=True)

    changed = clusters.set_maintenance(
        actor=member, cluster_id=cluster.pk, enabled=True, reason="Longer"
    )

    assert changed.maintenance_since == cluster.maintenance_since
    assert changed.maintenance_reason == "Longer"
    assert last_event().action == "cluster.maintenance_change"


def test_maintenance_that_ended_by_itself_starts_anew(member, operator):
    now = timezone.now()
    cluster = ClusterFactory(
        organization=operator,
        maintenance_since=now - timedelta(hours=2),
        maintenance_until=now - timedelta(hours=1),
    )

    changed = clusters.set_maintenance(actor=member, cluster_id=cluster.pk, enabled=True)

    assert changed.maintenance_since >= now
    assert changed.maintenance_until is None


@pytest.mark.parametrize("until", [timezone.now() - timedelta(seconds=1), datetime(2099, 1, 1, 12)])
def test_the_end_is_a_moment_in_the_future(member, operator, until):
    cluster = ClusterFactory(organization=operator)
    with pytest.raises(InvalidInput) as refusal:
        clusters.set_maintenance(actor=member, cluster_id=cluster.pk, enabled=True, until=until)
    assert refusal.value.field == "until"


def test_ending_what_is_not_is_no_event(member, operator):
    cluster = ClusterFactory(organization=operator)
    clusters.set_maintenance(actor=member, cluster_id=cluster.pk, enabled=False)
    assert not AuditEvent.objects.exists()


# --- delete ------------------------------------------------------------


def test_delete_takes_tokens_and_disconnected_agents_along(admin, operator):
    cluster = ClusterFactory(organization=operator, inactive=True)
    RegistrationTokenFactory(cluster=cluster)
    AgentFactory(cluster=cluster, revoked=True)

    clusters.delete(actor=admin, cluster_id=cluster.pk)

    assert not Cluster.objects.exists()
    assert not Agent.objects.exists()
    assert not RegistrationToken.objects.exists()
    event = last_event()
    assert (event.action, event.object_id) == ("cluster.delete", str(cluster.pk))
    assert len(event.before["agents"]) == 2


def test_delete_names_the_live_agents_and_the_publishes_in_the_way(admin, operator, publish_on):
    cluster = ClusterFactory(organization=operator, name="kr-main", active=True)
    AgentFactory(cluster=cluster, stale=True, name="long-gone")
    publish = publish_on(cluster)
    agent = cluster.agents.live().get()

    with pytest.raises(DomainError) as refusal:
        clusters.delete(actor=admin, cluster_id=cluster.pk)

    error = refusal.value
    assert (error.status, error.code) == (409, "cluster_in_use")
    assert agent.name in error.message
    assert str(publish) in error.message
    assert "long-gone" not in error.message
    assert error.details["agents"] == [{"id": str(agent.pk), "name": agent.name}]
    assert [row["id"] for row in error.details["publishes"]] == [str(publish.pk)]
    assert Cluster.objects.filter(pk=cluster.pk).exists()


def test_delete_names_withdrawn_publishes_whose_history_is_kept_here(admin, operator, publish_on):
    cluster = ClusterFactory(organization=operator, inactive=True)
    publish = publish_on(cluster, status="WITHDRAWN")

    with pytest.raises(DomainError) as refusal:
        clusters.delete(actor=admin, cluster_id=cluster.pk)

    assert refusal.value.code == "cluster_in_use"
    assert refusal.value.details["publishes"][0]["id"] == str(publish.pk)
    assert cluster.agents.exists()


# --- tokens ------------------------------------------------------------


def test_a_token_is_single_use_for_an_hour_and_stored_hashed(admin, operator):
    cluster = ClusterFactory(organization=operator)

    token, secret = tokens.create_token(actor=admin, cluster_id=cluster.pk)

    assert secret.startswith(f"igr_{token.prefix}_")
    assert secrets.matches(secret, token.digest)
    assert secret not in str(vars(token))
    assert (token.max_uses, token.use_count, token.usable) == (1, 0, True)
    left = token.expires_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    event = last_event()
    assert event.action == "registration_token.create"
    assert secret.rpartition("_")[2] not in str(event.after)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ttl_seconds": 59}, "ttl_seconds"),
        ({"ttl_seconds": 7 * 24 * 3600 + 1}, "ttl_seconds"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 1001}, "max_uses"),
    ],
)
def test_a_token_has_bounds(admin, operator, wrong, field):
    cluster = ClusterFactory(organization=operator)
    with pytest.raises(InvalidInput) as refusal:
        tokens.create_token(actor=admin, cluster_id=cluster.pk, **wrong)
    assert refusal.value.field == field


def test_revoking_a_token_works_once_and_a_repeat_is_no_error(admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator)

    first = tokens.revoke_token(actor=admin, token_id=token.pk)
    again = tokens.revoke_token(actor=admin, token_id=token.pk)

    assert not first.usable
    assert again.revoked_at == first.revoked_at
    assert AuditEvent.objects.filter(action="registration_token.revoke").count() == 1


@pytest.mark.parametrize("spent", ["used", "expired"])
def test_a_spent_token_cannot_be_revoked(admin, operator, spent):
    token = RegistrationTokenFactory(cluster__organization=operator, **{spent: True})
    with pytest.raises(DomainError) as refusal:
        tokens.revoke_token(actor=admin, token_id=token.pk)
    assert refusal.value.code == "token_spent"


def test_the_join_command_names_server_a_free_name_and_the_token(settings):
    settings.AGENT_GRPC_ADDRESS, settings.AGENT_CA_FILE = "agents.example.com:9443", ""
    cluster = AgentFactory(name="agent-1").cluster
    AgentFactory(cluster=cluster, name="agent-2", revoked=True)

    command = tokens.join_command(cluster_id=cluster.pk, secret="igr_a_b")

    assert command.replace(" \\\n ", "") == (
        "imp-agent join --server agents.example.com:9443 --name agent-2 --token igr_a_b"
    )


def test_the_join_command_pins_a_private_authority(settings, tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"certificate")
    settings.AGENT_CA_FILE = str(ca)
    digest = hashlib.sha256(b"certificate").hexdigest()

    command = tokens.join_command(cluster_id=ClusterFactory().pk, secret="igr_a_b")

    assert f"--ca-sha256 {digest}" in command
    assert f"--portal {settings.PUBLIC_URL}" in command
