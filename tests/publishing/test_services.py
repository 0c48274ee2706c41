"""Creating, changing and deleting a publish."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import IntegrityError
from django.utils import timezone

from accounts.models import AuditEvent, Role
from core.errors import DomainError, InvalidInput
from publishing import services
from publishing.models import ProductPublish
from publishing.services.publishes import OPEN_SUBSCRIPTION
from subscriptions import states as subscription_states
from subscriptions.models import Application, Plan, Subscription
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.catalog import GatewayFactory, ProductFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db


class Ground:
    """What a provider needs to prepare a publish."""

    def __init__(self) -> None:
        self.provider = OrganizationFactory(provider=True)
        self.user = UserFactory(member_of=self.provider)
        self.product = ProductFactory(organization=self.provider, complete=True)
        self.gateway = GatewayFactory(organization=self.provider)
        self.cluster = ClusterFactory()

    def values(self, **fields: Any) -> dict[str, Any]:
        return {
            "actor": self.user,
            "organization_id": self.provider.pk,
            "product_id": self.product.pk,
            "cluster_id": self.cluster.pk,
            "gateway_id": self.gateway.pk,
            "environment": "prod",
            "hostname_base": "api.example.com",
            "auth_mode": "api-key",
            "auth_config": {},
            "visibility": "public",
            "approval_required": False,
        } | fields

    def create(self, **fields: Any) -> ProductPublish:
        return services.create(**self.values(**fields))


def settings_of(publish: ProductPublish, **fields: Any) -> dict[str, Any]:
    return {
        "publish_id": publish.pk,
        "cluster_id": publish.cluster_id,
        "gateway_id": publish.gateway_id,
        "environment": publish.environment,
        "hostname_base": publish.hostname_base,
        "auth_mode": publish.auth_mode,
        "auth_config": publish.auth_config,
        "visibility": publish.visibility,
        "approval_required": publish.approval_required,
    } | fields


# --- Create ------------------------------------------------------------------------------------


def test_creating_makes_a_draft_and_tells_no_gateway():
    ground = Ground()
    publish = ground.create()
    assert (publish.status, publish.wanted_revision, publish.created_by) == (
        "DRAFT",
        None,
        ground.user,
    )
    ground.cluster.state.refresh_from_db()
    assert ground.cluster.state.desired_generation == 0
    assert publish.events.get().kind == "created"
    event = AuditEvent.objects.get(action="publish.create")
    assert event.after["hostname_base"] == "api.example.com"


def test_the_host_is_kept_in_lower_case():
    assert Ground().create(hostname_base=" API.Example.COM ").hostname_base == "api.example.com"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "api.example.com:8080",
        "https://api.example.com",
        "api_example.com",
        "-api.example.com",
        "api..example.com",
        "*.example.com",
        "10.0.0.1",
        "[::1]",
        "a" * 64 + ".example.com",
        ".".join(["a" * 60] * 5),
        "api.example.com/path",
        "api example.com",
        "예시.한국",
    ],
)
def test_what_is_no_host_name_is_refused(host):
    with pytest.raises(InvalidInput) as refusal:
        Ground().create(hostname_base=host)
    assert refusal.value.field == "hostname_base"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "staging"),
        ("auth_mode", "basic"),
        ("visibility", "secret"),
        ("approval_required", "no"),
    ],
)
def test_unknown_words_are_refused_with_their_field(field, value):
    with pytest.raises(InvalidInput) as refusal:
        Ground().create(**{field: value})
    assert refusal.value.field == field


def test_oauth2_may_be_prepared_with_issuer_and_audience():
    publish = Ground().create(
        auth_mode="oauth2",
        auth_config={
            "issuer": "https://auth.example.com/realms/api",
            "audience": "payments",
            "scopes": "write read",
        },
    )
    assert publish.auth_config["scopes"] == ["read", "write"]


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "auth_config.issuer"),
        ({"issuer": "http://auth.example.com", "audience": "a"}, "auth_config.issuer"),
        ({"issuer": "https://u:p@auth.example.com", "audience": "a"}, "auth_config.issuer"),
        ({"issuer": "https://auth.example.com?x=1", "audience": "a"}, "auth_config.issuer"),
        ({"issuer": "https://auth.example.com"}, "auth_config.audience"),
        ({"issuer": 5, "audience": "a"}, "auth_config.issuer"),
        (
            {"issuer": "https://auth.example.com", "audience": "a", "scopes": {"a": 1}},
            "auth_config.scopes",
        ),
        (
            {"issuer": "https://auth.example.com", "audience": "a", "scopes": ["a b"]},
            "auth_config.scopes",
        ),
        ({"issuer": "https://a.example", "audience": "a", "secret": "x"}, "auth_config"),
        (["issuer"], "auth_config"),
    ],
)
def test_oauth2_without_what_it_needs_is_refused(config, field):
    with pytest.raises(InvalidInput) as refusal:
        Ground().create(auth_mode="oauth2", auth_config=config)
    assert refusal.value.field == field


def test_other_modes_have_nothing_to_set():
    ground = Ground()
    assert ground.create(auth_config={"issuer": "", "scopes": []}).auth_config == {}
    with pytest.raises(InvalidInput):
        ground.create(environment="dev", auth_config={"issuer": "https://auth.example.com"})


@pytest.mark.parametrize("field", ["product_id", "gateway_id", "cluster_id"])
def test_a_foreign_or_unknown_id_is_not_found_and_named(field):
    ground, other = Ground(), Ground()
    closed = ClusterFactory(open_to_all=False)
    foreign = {
        "product_id": other.product.pk,
        "gateway_id": other.gateway.pk,
        "cluster_id": closed.pk,
    }
    with pytest.raises(services.MissingReference) as refusal:
        ground.create(**{field: foreign[field]})
    assert isinstance(refusal.value, ObjectDoesNotExist)
    assert refusal.value.status == 404
    assert refusal.value.code == field.replace("_id", "_not_found")
    assert set(refusal.value.details) == {field}
    assert not ProductPublish.objects.exists()


def test_a_cluster_that_is_open_to_ones_other_organization_only():
    """Membership in both must not let one organization publish through the other's door."""
    ground, other = Ground(), Ground()
    MembershipFactory(user=ground.user, organization=other.provider)
    closed = ClusterFactory(open_to_all=False)
    closed.open_to.add(other.provider)
    with pytest.raises(services.MissingReference):
        ground.create(cluster_id=closed.pk)


def test_a_product_of_ones_other_organization_stays_there():
    ground, other = Ground(), Ground()
    MembershipFactory(user=ground.user, organization=other.provider)
    with pytest.raises(services.MissingReference):
        ground.create(product_id=other.product.pk)


def test_a_cluster_named_to_the_organization():
    ground = Ground()
    ground.cluster.open_to_all = False
    ground.cluster.save()
    ground.cluster.open_to.add(ground.provider)
    assert ground.create().cluster == ground.cluster


def test_a_gateway_that_the_clusters_agents_cannot_drive():
    ground = Ground()
    AgentFactory(cluster=ground.cluster, live=True, gateway_classes=["kong"])
    with pytest.raises(DomainError) as refusal:
        ground.create()
    assert refusal.value.code == "gateway_not_drivable"


def test_the_second_publish_of_a_target_is_refused():
    ground = Ground()
    first = ground.create()
    with pytest.raises(DomainError) as refusal:
        ground.create(hostname_base="other.example.com")
    assert refusal.value.code == "publish_exists"
    assert refusal.value.details["publish_id"] == str(first.pk)
    ground.create(environment="dev")


def test_a_target_whose_withdrawn_publish_is_on_its_way_back_is_taken():
    stage = Stage(agent_count=0, settings={"withdrawn": True})
    stage.click()
    values = settings_of(stage.publish)
    del values["publish_id"]
    with pytest.raises(DomainError) as refusal:
        services.create(
            actor=stage.user,
            organization_id=stage.publish.organization_id,
            product_id=stage.publish.product_id,
            **values,
        )
    assert refusal.value.code == "publish_exists"


def test_strangers_viewers_and_operators_may_not_create():
    ground = Ground()
    with pytest.raises(PermissionDenied):
        ground.create(actor=UserFactory())
    with pytest.raises(PermissionDenied):
        ground.create(actor=UserFactory(member_of=ground.provider, role=Role.VIEWER))
    operator = OrganizationFactory(operator=True)
    with pytest.raises(PermissionDenied):
        ground.create(actor=UserFactory(member_of=operator), organization_id=operator.pk)


# --- Update ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [{}, {"withdrawn": True}])
def test_settings_can_be_changed_in_draft_and_withdrawn(state):
    stage = Stage(settings=state)
    row = services.update(
        actor=stage.user, **settings_of(stage.publish, hostname_base="new.example.com")
    )
    assert row.hostname_base == "new.example.com"
    assert stage.happenings() == ["edited"]
    event = AuditEvent.objects.get(action="publish.update")
    assert event.after == {"hostname_base": "new.example.com"}
    assert event.before == {"hostname_base": stage.publish.hostname_base}


def test_changing_nothing_tells_nothing():
    stage = Stage()
    services.update(actor=stage.user, **settings_of(stage.publish))
    assert stage.happenings() == []


def test_a_published_publish_is_not_edited_and_the_state_is_named():
    stage = Stage(settings={"published": True})
    with pytest.raises(DomainError) as refusal:
        services.update(actor=stage.user, **settings_of(stage.publish))
    assert (refusal.value.code, refusal.value.details) == (
        "invalid_state",
        {"status": "PUBLISHED"},
    )
    assert "published" in refusal.value.message


def test_a_draft_on_its_way_is_not_edited():
    stage = Stage()
    deployment = stage.click()
    with pytest.raises(DomainError) as refusal:
        services.update(actor=stage.user, **settings_of(stage.publish))
    assert refusal.value.code == "deployment_under_way"
    assert refusal.value.details["deployment_id"] == str(deployment.pk)


def test_a_draft_can_move_to_another_cluster():
    stage, cluster = Stage(), ClusterFactory()
    row = services.update(actor=stage.user, **settings_of(stage.publish, cluster_id=cluster.pk))
    assert row.cluster == cluster


def test_with_plans_it_stays_on_its_cluster():
    stage = Stage()
    stage.publish.plans.create(name="Basic")
    with pytest.raises(DomainError) as refusal:
        services.update(
            actor=stage.user, **settings_of(stage.publish, cluster_id=ClusterFactory().pk)
        )
    assert refusal.value.code == "cluster_fixed"


def test_an_edit_cannot_take_anothers_target():
    ground = Ground()
    ground.create()
    second = ground.create(environment="dev")
    with pytest.raises(DomainError) as refusal:
        services.update(actor=ground.user, **settings_of(second, environment="prod"))
    assert refusal.value.code == "publish_exists"


@pytest.mark.parametrize("field", ["gateway_id", "cluster_id"])
def test_an_edit_to_a_foreign_id_is_not_found(field):
    stage, other = Stage(), Ground()
    foreign = {"gateway_id": other.gateway.pk, "cluster_id": ClusterFactory(open_to_all=False).pk}
    with pytest.raises(services.MissingReference):
        services.update(actor=stage.user, **settings_of(stage.publish, **{field: foreign[field]}))


# --- Delete ------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [{}, {"withdrawn": True}])
def test_a_draft_or_withdrawn_publish_can_be_deleted(state):
    stage = Stage(settings=state)
    services.delete(actor=stage.user, publish_id=stage.publish.pk)
    assert not ProductPublish.objects.exists()
    assert AuditEvent.objects.get(action="publish.delete").object_id == str(stage.publish.pk)


def test_its_whole_history_goes_with_it():
    stage = Stage()
    stage.serve()
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    services.delete(actor=stage.user, publish_id=stage.publish.pk)
    assert not ProductPublish.objects.exists()


def test_a_published_one_is_not_deleted_and_the_state_is_named():
    stage = Stage(settings={"published": True})
    with pytest.raises(DomainError) as refusal:
        services.delete(actor=stage.user, publish_id=stage.publish.pk)
    assert refusal.value.details == {"status": "PUBLISHED"}


def test_one_on_its_way_is_not_deleted():
    stage = Stage()
    stage.click()
    with pytest.raises(DomainError) as refusal:
        services.delete(actor=stage.user, publish_id=stage.publish.pk)
    assert refusal.value.code == "deployment_under_way"


def test_only_admins_delete():
    stage = Stage()
    member = UserFactory(member_of=stage.publish.organization)
    with pytest.raises(PermissionDenied):
        services.delete(actor=member, publish_id=stage.publish.pk)


# --- Who may -----------------------------------------------------------------------------------

VERBS = {
    "update": lambda stage, actor: services.update(actor=actor, **settings_of(stage.publish)),
    "delete": lambda stage, actor: services.delete(actor=actor, publish_id=stage.publish.pk),
    "publish": lambda stage, actor: services.publish(actor=actor, publish_id=stage.publish.pk),
    "withdraw": lambda stage, actor: services.withdraw(actor=actor, publish_id=stage.publish.pk),
    "cancel": lambda stage, actor: services.cancel(actor=actor, deployment_id=stage.click().pk),
}


@pytest.mark.parametrize("verb", VERBS)
def test_strangers_find_nothing_and_viewers_may_not(verb):
    stage = Stage(agent_count=0)
    with pytest.raises(ObjectDoesNotExist):
        VERBS[verb](stage, UserFactory(member_of=OrganizationFactory(provider=True)))
    viewer = UserFactory(member_of=stage.publish.organization, role=Role.VIEWER)
    with pytest.raises(PermissionDenied):
        VERBS[verb](stage, viewer)


@pytest.mark.parametrize("note", ["x" * 501, "a\x00b"])
def test_a_note_is_a_few_words(note):
    stage = Stage()
    with pytest.raises(InvalidInput) as refusal:
        stage.click(note=note)
    assert refusal.value.field == "note"


def test_the_database_refuses_the_second_publish_of_a_target_as_well():
    ground = Ground()
    first = ground.create()
    with pytest.raises(IntegrityError, match="publishing_publish_one_per_target"):
        ProductPublish.objects.create(
            organization=ground.provider,
            product=ground.product,
            cluster=ground.cluster,
            gateway=ground.gateway,
            environment="prod",
            hostname_base="second.example.com",
            auth_mode=first.auth_mode,
        )


# --- Subscriptions in the way ------------------------------------------------------------------


def subscription_to(publish: ProductPublish, status: str):
    application = Application.objects.create(
        organization=OrganizationFactory(consumer=True), name="Shop"
    )
    plan = Plan.objects.create(publish=publish, name="Basic")
    decided = None if status == "pending" else timezone.now()
    return Subscription.objects.create(
        application=application, plan=plan, publish=publish, status=status, decided_at=decided
    )


@pytest.mark.parametrize("status", ["pending", "active", "suspended"])
def test_a_publish_with_an_open_subscription_is_not_deleted(status):
    stage = Stage(settings={"withdrawn": True})
    subscription_to(stage.publish, status)
    with pytest.raises(DomainError) as refusal:
        services.delete(actor=stage.user, publish_id=stage.publish.pk)
    assert refusal.value.code == "subscriptions_open"
    assert refusal.value.details == {"status": "WITHDRAWN", "subscriptions": 1}
    assert "withdrawn" in refusal.value.message


@pytest.mark.parametrize("status", ["rejected", "cancelled"])
def test_closed_subscriptions_go_with_the_publish(status):
    stage = Stage(settings={"withdrawn": True})
    subscription_to(stage.publish, status)
    services.delete(actor=stage.user, publish_id=stage.publish.pk)
    assert not Subscription.objects.exists()


def test_what_publishing_takes_for_open_is_what_subscriptions_do():
    assert set(OPEN_SUBSCRIPTION) == set(subscription_states.OPEN)
