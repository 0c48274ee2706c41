"""Going back, going on without an agent, and having drift repaired."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.utils import timezone

from accounts.models import AuditEvent, Role
from catalog.models import Backend, Listener
from clusters.models import Agent, Cluster
from core.errors import DomainError, InvalidInput, InvalidTransition
from publishing import services
from publishing.models import RouteClaim
from publishing.services import agents
from publishing.services.publishes import MissingReference
from publishing.states import Kind, Progress, Status
from tests.factories.accounts import UserFactory
from tests.factories.catalog import RouteFactory
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory
from tests.publishing.stage import Stage, back, gone
from tests.publishing.test_api import DEPLOYMENTS, client_of, data, error, path_of

pytestmark = pytest.mark.django_db


def roll_back(stage: Stage, revision: int = 1, note: str = ""):
    return services.roll_back(
        actor=stage.user, publish_id=stage.publish.pk, revision=revision, note=note
    )


@pytest.fixture
def stage() -> Stage:
    """Two revisions; the second, with a route more, is live."""
    stage = Stage()
    stage.serve()
    RouteFactory(service=stage.publish.product.services.get(), path="/more")
    stage.serve()
    return stage


def refused(stage: Stage, revision: int = 1) -> DomainError:
    before = (stage.publish.deployments.count(), stage.generation())
    with pytest.raises(DomainError) as caught:
        roll_back(stage, revision)
    assert (stage.publish.deployments.count(), stage.generation()) == before
    return caught.value


# --- Roll-back ---------------------------------------------------------------------------------------


def test_an_earlier_revision_goes_the_way_of_a_publish(stage):
    deployment = roll_back(stage, note="r2 loses orders")
    assert (deployment.kind, deployment.revision.number) == (Kind.PUBLISH, 1)
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.fresh().live_revision.number == 2
    assert RouteClaim.objects.filter(path__endswith="/more").exists()  # r2 is served meanwhile
    stage.dispatch()
    stage.say("applied")
    publish = stage.fresh()
    assert (publish.status, publish.live_revision.number) == (Status.PUBLISHED, 1)
    assert not RouteClaim.objects.filter(path__endswith="/more").exists()
    assert publish.revisions.count() == 2
    assert stage.happenings()[-4:] == ["roll_back", "dispatched", "applied", "published"]
    told = publish.events.get(kind="roll_back")
    assert (told.deployment.revision.number, told.actor, told.note) == (
        1,
        stage.user,
        "r2 loses orders",
    )
    noted = AuditEvent.objects.get(action="publish.roll_back")
    assert noted.after["revision"] == publish.live_revision.digest


def test_one_that_the_gateways_refuse_leaves_what_is_live(stage):
    roll_back(stage)
    stage.dispatch()
    stage.say("failed")
    publish = stage.fresh()
    assert (publish.live_revision.number, publish.wanted_revision.number) == (2, 2)
    assert stage.latest().status == Progress.FAILED


def test_what_is_live_is_nothing_to_go_back_to(stage):
    assert refused(stage, 2).code == "nothing_to_publish"


def test_it_supersedes_and_while_something_else_is_on_its_way_going_back_is_a_change(stage):
    first = roll_back(stage)
    second = roll_back(stage, 2)
    first.refresh_from_db()
    assert (first.status, second.number) == (Progress.SUPERSEDED, first.number + 1)
    assert stage.fresh().wanted_revision.number == 2


def test_plans_subscriptions_and_keys_stay(stage):
    subscription = SubscriptionFactory(plan=PlanFactory(publish=stage.publish))
    version = stage.cluster.state.access_version
    roll_back(stage)
    stage.dispatch()
    stage.say("applied")
    subscription.refresh_from_db()
    stage.cluster.state.refresh_from_db()
    assert (subscription.status, stage.cluster.state.access_version) == ("active", version)


def test_a_withdrawn_publish_comes_back_as_any_of_its_revisions(stage):
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    roll_back(stage)
    stage.dispatch()
    stage.say("applied")
    publish = stage.fresh()
    assert (publish.status, publish.live_revision.number) == (Status.PUBLISHED, 1)


def test_what_was_never_live_has_nothing_to_go_back_to():
    stage = Stage()
    stage.click()
    stage.dispatch()
    stage.say("failed")
    with pytest.raises(InvalidTransition):
        roll_back(stage)


def test_a_revision_that_it_does_not_have(stage):
    with pytest.raises(MissingReference) as caught:
        roll_back(stage, 3)
    assert (caught.value.status, list(caught.value.details)) == (404, ["revision"])


def test_routes_that_another_publish_took_meanwhile_are_named():
    stage = Stage()
    RouteFactory(service=stage.publish.product.services.get(), path="/more")
    stage.serve()
    stage.publish.product.services.get().routes.get(path="/more").delete()
    stage.serve()
    service = stage.publish.product.services.get()
    other = Stage(settings={"cluster": stage.cluster, "organization": stage.publish.organization})
    theirs = other.publish.product.services.get()
    theirs.base_path = f"{service.base_path}/more"
    theirs.save()
    other.publish.hostname_base = stage.publish.hostname_base
    other.publish.save()
    other.click()
    found = refused(stage)
    assert (found.code, found.details["publish_id"]) == ("route_conflict", str(other.publish.pk))


def test_ports_and_backends_that_are_forbidden_by_now():
    stage = Stage()
    Backend.objects.update(host="10.1.2.3")
    stage.serve()
    Listener.objects.update(port=9090)
    Backend.objects.update(host="backend.example.com")
    stage.serve()
    Cluster.objects.update(allowed_ports=[9000, 9999])
    assert refused(stage).code == "port_not_allowed"
    Cluster.objects.update(allowed_ports=[])
    assert roll_back(stage).revision.number == 1


def test_a_backend_that_the_operator_forbids_by_now():
    stage = Stage()
    Cluster.objects.update(allowed_networks=["127.0.0.0/8"])
    Backend.objects.update(host="127.0.0.1")
    stage.serve()
    Backend.objects.update(host="backend.example.com")
    stage.serve()
    Cluster.objects.update(allowed_networks=[])
    found = refused(stage)
    assert (found.code, found.details["backends"]) == ("backend_forbidden", ["127.0.0.1:8080"])


def test_maintenance_blocks_it(stage):
    Cluster.objects.update(maintenance_since=timezone.now())
    assert refused(stage).code == "cluster_in_maintenance"


def test_a_revision_of_other_settings_would_serve_what_nobody_is_told(stage):
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    stage.publish.refresh_from_db()
    stage.publish.hostname_base = "new.example.com"
    stage.publish.save()
    found = refused(stage)
    assert found.code == "settings_changed"
    assert json.loads(stage.publish.revisions.get(number=1).document)["host"] in found.message


def test_strangers_find_nothing_to_go_back_to_and_viewers_may_not(stage):
    for user, expected in (
        (UserFactory(), ObjectDoesNotExist),
        (UserFactory(member_of=stage.publish.organization, role=Role.VIEWER), PermissionDenied),
    ):
        with pytest.raises(expected):
            services.roll_back(actor=user, publish_id=stage.publish.pk, revision=1)
        with pytest.raises(expected):
            services.restore(actor=user, publish_id=stage.publish.pk)


def test_roll_back_over_rest(stage):
    api = client_of(stage.user)
    started = data(api.post(path_of(stage, "rollback"), {"revision": 1, "note": "Back"}), 202)
    assert started["wanted_revision"]["number"] == 1
    assert (started["deployment"]["note"], started["deployment"]["status"]) == ("Back", "QUEUED")
    again = error(api.post(path_of(stage, "rollback"), {"revision": 7}), 404)
    assert again["code"] == "revision_not_found"
    for nonsense in ({}, {"revision": 0}, {"revision": "x"}, {"revision": 2**40}):
        assert "revision" in error(api.post(path_of(stage, "rollback"), nonsense), 400)["details"]


# --- Waivers -----------------------------------------------------------------------------------------


@pytest.fixture
def waiting() -> Stage:
    """A withdrawal that one agent carried out, and another, which served it, does not answer."""
    stage = Stage(agent_count=2)
    stage.serve()
    gone(stage.agents[1])
    stage.withdraw()
    stage.dispatch()
    stage.say("applied", stage.agents[0])
    return stage


def waive(stage: Stage, agent: Agent, name: str | None = None, user=None):
    return services.waive(
        actor=user or stage.user,
        deployment_id=stage.open.pk,
        agent_id=agent.pk,
        name=agent.name if name is None else name,
    )


def test_a_waived_agent_no_longer_blocks_a_withdrawal(waiting):
    lost = waiting.agents[1]
    assert waiting.open.detail.startswith(f"waiting for {lost.name}")
    waive(waiting, lost)
    assert waiting.fresh().status == Status.WITHDRAWN
    assert waiting.latest().status == Progress.SUCCEEDED
    assert waiting.outcomes()[lost.name] == "waived"
    assert waiting.happenings()[-2:] == ["waived", "withdrawn"]
    told = waiting.publish.events.get(kind="waived")
    assert (told.agent, told.actor) == (lost, waiting.user)
    noted = AuditEvent.objects.get(action="deployment.waive")
    assert (noted.after["agent"], noted.actor_label) == (lost.name, "Pia")
    assert not RouteClaim.objects.filter(publish=waiting.publish).exists()


def test_each_agent_is_waived_alone():
    stage = Stage(agent_count=3)
    stage.serve()
    for agent in stage.agents[1:]:
        gone(agent)
    stage.withdraw()
    stage.dispatch()
    stage.say("applied", stage.agents[0])
    waive(stage, stage.agents[1])
    assert (stage.open.status, stage.outcomes()[stage.agents[2].name]) == ("APPLYING", "pending")
    assert stage.agents[2].name in stage.open.detail
    waive(stage, stage.agents[2])
    assert stage.fresh().status == Status.WITHDRAWN


def test_when_it_comes_back_it_is_told_to_drop_the_publish(waiting):
    lost = waiting.agents[1]
    digest = waiting.fresh().live_revision.digest
    row = {"id": waiting.publish.pk, "revision": digest, "error": "", "warning": ""}
    waive(waiting, lost)
    back(lost)
    waiting.report(lost, publishes=[row])  # it still serves what it served when it went
    assert waiting.publish.on_agents.get(agent=lost).revision == digest
    assert agents.manifest(agent=lost)["publishes"] == []
    waiting.report(lost, publishes=[], applied_generation=2, settled_generation=2)
    assert waiting.publish.on_agents.get(agent=lost).revision == ""
    assert waiting.outcomes()[lost.name] == "waived"


def test_the_word_of_a_waived_agent_changes_nothing():
    stage = Stage(agent_count=3)
    stage.serve()
    for agent in stage.agents[1:]:
        gone(agent)
    stage.withdraw()
    stage.dispatch()
    waive(stage, stage.agents[1])
    back(stage.agents[1])
    stage.say("failed", stage.agents[1])
    assert (stage.open.kind, stage.outcomes()[stage.agents[1].name]) == (Kind.WITHDRAW, "waived")


def test_the_name_must_be_typed(waiting):
    for name in ("", "agent", waiting.agents[1].name.upper(), waiting.agents[1].name + " "):
        with pytest.raises(InvalidInput) as caught:
            waive(waiting, waiting.agents[1], name)
        assert caught.value.field == "name"
    assert waiting.outcomes()[waiting.agents[1].name] == "pending"


def test_only_admins_waive_and_strangers_find_nothing(waiting):
    member = UserFactory(member_of=waiting.publish.organization, role=Role.MEMBER)
    with pytest.raises(PermissionDenied):
        waive(waiting, waiting.agents[1], user=member)
    with pytest.raises(ObjectDoesNotExist):
        waive(waiting, waiting.agents[1], user=UserFactory())


def test_an_agent_that_is_there_is_waited_for(waiting):
    back(waiting.agents[1])
    with pytest.raises(DomainError) as caught:
        waive(waiting, waiting.agents[1])
    assert caught.value.code == "agent_connected"


def test_an_agent_that_answered_needs_no_waiver(waiting):
    with pytest.raises(DomainError) as caught:
        waive(waiting, waiting.agents[0])
    assert (caught.value.code, caught.value.details) == ("not_waiting", {"outcome": "applied"})


def test_only_open_withdrawals_are_waived():
    stage = Stage(agent_count=2)
    deployment = stage.click()
    stage.dispatch()
    gone(stage.agents[1])
    with pytest.raises(InvalidTransition):
        waive(stage, stage.agents[1])
    stage.say("applied", stage.agents[0])
    stage.sweep()
    assert stage.latest().status == Progress.SUCCEEDED
    with pytest.raises(InvalidTransition):
        services.waive(
            actor=stage.user,
            deployment_id=deployment.pk,
            agent_id=stage.agents[1].pk,
            name=stage.agents[1].name,
        )


def test_waivers_over_rest(waiting):
    lost, path = waiting.agents[1], f"{DEPLOYMENTS}/{waiting.open.pk}/waivers"
    api = client_of(waiting.user)
    member = UserFactory(member_of=waiting.publish.organization, role=Role.MEMBER)
    body = {"agent_id": str(lost.pk), "name": lost.name}
    error(client_of(member).post(path, body), 403)
    error(client_of(UserFactory()).post(path, body), 404)
    assert "name" in error(api.post(path, body | {"name": "x"}), 400)["details"]
    error(api.post(path, body | {"agent_id": str(uuid4())}), 404)
    done = data(api.post(path, body))
    assert done["status"] == "SUCCEEDED"
    assert {row["agent"]: row["outcome"] for row in done["verdicts"]}[lost.name] == "waived"
    assert error(api.post(path, body), 409)["code"] == "invalid_state"


# --- Restore -----------------------------------------------------------------------------------------


def test_restore_asks_the_agents_to_look_again():
    stage = Stage()
    stage.serve()
    before = agents.manifest(agent=stage.agents[0])
    services.restore(actor=stage.user, publish_id=stage.publish.pk)
    after = agents.manifest(agent=stage.agents[0])
    assert after == before | {"generation": before["generation"] + 1}
    assert stage.happenings()[-1] == "restore"
    assert AuditEvent.objects.get(action="publish.restore").actor_label == "Pia"
    assert stage.fresh().live_revision == stage.fresh().wanted_revision


def test_only_what_is_live_and_at_rest_is_restored():
    stage = Stage()
    with pytest.raises(InvalidTransition):
        services.restore(actor=stage.user, publish_id=stage.publish.pk)
    stage.serve()
    stage.change()
    stage.click()
    with pytest.raises(InvalidTransition):
        services.restore(actor=stage.user, publish_id=stage.publish.pk)


def test_restore_over_rest():
    stage = Stage()
    api = client_of(stage.user)
    assert error(api.post(path_of(stage, "restore")), 409)["code"] == "invalid_state"
    stage.serve()
    assert data(api.post(path_of(stage, "restore")), 202)["status"] == "PUBLISHED"
