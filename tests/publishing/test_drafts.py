"""The wizard's memory: kept as typed, judged step by step, and never overwritten by an older tab."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import Role
from clusters.models import Cluster
from core.errors import DomainError, InvalidInput
from publishing.models import ProductPublish, PublishDraft
from publishing.services import drafts
from publishing.services.drafts import DraftChanged
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.catalog import GatewayFactory, ProductFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import ProductPublishFactory, PublishDraftFactory

pytestmark = pytest.mark.django_db
SETTINGS = {
    "environment": "prod",
    "hostname_base": "api.example.com",
    "auth_mode": "api-key",
    "auth_config": {"issuer": "", "audience": "", "scopes": ""},
    "visibility": "public",
    "approval_required": True,
}


class Desk:
    """A member of a provider with a product, a gateway and a cluster that has an agent."""

    def __init__(self) -> None:
        self.organization = OrganizationFactory(provider=True)
        self.user = UserFactory(member_of=self.organization)
        self.product = ProductFactory(organization=self.organization, complete=True)
        self.gateway = GatewayFactory(organization=self.organization)
        self.cluster = ClusterFactory()
        AgentFactory(cluster=self.cluster, live=True)

    def save(self, step: str, answers: dict[str, Any], **options: Any) -> Any:
        return drafts.save(
            actor=self.user, product_id=self.product.pk, step=step, answers=answers, **options
        )

    def fill(self, **settings: Any) -> PublishDraft:
        self.save("cluster", {"cluster_id": str(self.cluster.pk)})
        self.save("gateway", {"gateway_id": str(self.gateway.pk)})
        return self.save("settings", SETTINGS | settings).draft

    def create(self, **options: Any) -> ProductPublish:
        return drafts.create(actor=self.user, product_id=self.product.pk, **options)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_four_steps_make_a_draft_publish_and_the_draft_is_gone(desk):
    draft = desk.fill()
    assert (draft.step, drafts.reached(draft)) == ("review", "review")

    publish = desk.create()

    assert (publish.status, publish.environment, publish.hostname_base) == (
        "DRAFT",
        "prod",
        "api.example.com",
    )
    assert (publish.cluster, publish.gateway, publish.auth_config) == (
        desk.cluster,
        desk.gateway,
        {},
    )
    assert publish.approval_required
    assert not publish.deployments.exists()
    assert not PublishDraft.objects.exists()


def test_later_steps_follow_from_earlier_ones(desk):
    assert drafts.reached(None) == "cluster"
    draft = desk.save("cluster", {"cluster_id": str(desk.cluster.pk)}).draft
    assert drafts.reached(draft) == "gateway"
    draft = desk.save("gateway", {"gateway_id": str(desk.gateway.pk)}).draft
    assert drafts.reached(draft) == "settings"


def test_a_cluster_whose_agents_cannot_drive_the_gateway_drops_it(desk):
    desk.fill()
    other = ClusterFactory()
    AgentFactory(cluster=other, live=True, gateway_classes=["kong"])

    saved = desk.save("cluster", {"cluster_id": str(other.pk)})

    assert saved.dropped == desk.gateway
    assert "gateway_id" not in saved.draft.data
    assert saved.draft.data["environment"] == "prod"


def test_a_cluster_whose_agents_can_drive_it_keeps_it(desk):
    desk.fill()
    waiting = ClusterFactory()

    saved = desk.save("cluster", {"cluster_id": str(waiting.pk)})

    assert saved.dropped is None
    assert saved.draft.data["gateway_id"] == str(desk.gateway.pk)


def test_a_cluster_in_maintenance_is_refused_with_its_reason(desk):
    Cluster.objects.filter(pk=desk.cluster.pk).update(
        maintenance_since=timezone.now(), maintenance_reason="New kernels"
    )
    with pytest.raises(DomainError, match="New kernels") as refusal:
        desk.save("cluster", {"cluster_id": str(desk.cluster.pk)})
    assert refusal.value.code == "cluster_in_maintenance"


def test_maintenance_that_began_later_does_not_lose_the_draft(desk):
    desk.fill()
    Cluster.objects.filter(pk=desk.cluster.pk).update(maintenance_since=timezone.now())

    assert desk.create().status == "DRAFT"


def test_a_cluster_that_is_not_open_to_the_provider_does_not_exist(desk):
    closed = ClusterFactory(open_to_all=False)
    with pytest.raises(InvalidInput) as refusal:
        desk.save("cluster", {"cluster_id": str(closed.pk)})
    assert refusal.value.field == "cluster_id"


def test_a_gateway_that_no_agent_drives_is_refused(desk):
    desk.cluster.agents.update(gateway_classes=["kong"])
    desk.save("cluster", {"cluster_id": str(desk.cluster.pk)})
    with pytest.raises(DomainError) as refusal:
        desk.save("gateway", {"gateway_id": str(desk.gateway.pk)})
    assert refusal.value.code == "gateway_not_drivable"


@pytest.mark.parametrize("gateway", ["", "nonsense", str(UUID(int=7))])
def test_only_a_gateway_of_ones_own(desk, gateway):
    desk.save("cluster", {"cluster_id": str(desk.cluster.pk)})
    with pytest.raises(InvalidInput) as refusal:
        desk.save("gateway", {"gateway_id": gateway})
    assert refusal.value.field == "gateway_id"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"environment": "nowhere"}, "environment"),
        ({"hostname_base": "10.0.0.1"}, "hostname_base"),
        ({"auth_mode": "magic"}, "auth_mode"),
        ({"visibility": "secret"}, "visibility"),
    ],
)
def test_the_settings_are_judged_when_their_step_is_left(desk, wrong, field):
    with pytest.raises(InvalidInput) as refusal:
        desk.fill(**wrong)
    assert refusal.value.field == field


def test_what_no_gateway_enforces_cannot_be_chosen(desk):
    with pytest.raises(DomainError) as refusal:
        desk.fill(
            auth_mode="oauth2",
            auth_config={"issuer": "https://auth.example.com", "audience": "api", "scopes": ""},
        )
    assert refusal.value.code == "auth_mode_unsupported"


def test_a_taken_target_is_named(desk):
    taken = ProductPublishFactory(
        organization=desk.organization,
        product=desk.product,
        cluster=desk.cluster,
        gateway=desk.gateway,
    )
    with pytest.raises(DomainError) as refusal:
        desk.fill()
    assert refusal.value.details["publish_id"] == str(taken.pk)


def test_half_typed_answers_are_kept_without_judging(desk):
    desk.save("cluster", {"cluster_id": str(desk.cluster.pk)})
    draft = desk.save("settings", {"hostname_base": "api.exa"}, advance=False).draft
    assert (draft.step, draft.data["hostname_base"]) == ("settings", "api.exa")


@pytest.mark.parametrize("value", ["x" * 2001, "a\x00b", 5, None, ["x"]])
def test_only_short_text_is_kept(desk, value):
    with pytest.raises(InvalidInput):
        desk.save("settings", {"hostname_base": value}, advance=False)
    assert not PublishDraft.objects.exists()


def test_answers_of_another_step_are_not_taken(desk):
    draft = desk.save("cluster", {"cluster_id": "x", "environment": "dev"}, advance=False).draft
    assert draft.data == {"cluster_id": "x"}


# --- Two tabs --------------------------------------------------------------------------------------


def test_an_older_tab_overwrites_nothing(desk):
    first = desk.save("cluster", {"cluster_id": str(desk.cluster.pk)}, writer="a").draft
    desk.save("settings", {"hostname_base": "b"}, advance=False, version=first.version, writer="b")

    with pytest.raises(DraftChanged) as refusal:
        desk.save(
            "settings", {"hostname_base": "a"}, advance=False, version=first.version, writer="a"
        )

    assert refusal.value.code == "draft_changed"
    assert refusal.value.draft.data["hostname_base"] == "b"
    assert PublishDraft.objects.get().data["hostname_base"] == "b"


def test_a_tab_saves_over_its_own_last_word(desk):
    for typed in ("a", "ap", "api"):
        desk.save(
            "settings",
            {"hostname_base": typed},
            advance=False,
            leave=False,
            version=0,
            writer="tab",
        )
    assert PublishDraft.objects.get().data["hostname_base"] == "api"


def test_a_tab_that_saw_no_draft_overwrites_none(desk):
    desk.save("cluster", {"cluster_id": str(desk.cluster.pk)}, writer="b")
    with pytest.raises(DraftChanged):
        desk.save("cluster", {"cluster_id": str(ClusterFactory().pk)}, version=0, writer="a")


def test_what_a_tab_sends_after_it_went_on_counts_no_more(desk):
    for typed, leave in (("ap", False), ("api.example.com", True)):
        options = {"leave": leave, "version": 0, "writer": "tab", "advance": False}
        desk.save("settings", {"hostname_base": typed}, **options)
    with pytest.raises(DraftChanged):
        desk.save("settings", {"hostname_base": "ap"}, version=0, writer="tab", leave=False)
    assert PublishDraft.objects.get().data["hostname_base"] == "api.example.com"


def test_the_same_answer_twice_is_no_conflict_and_no_new_version(desk):
    answer = {"cluster_id": str(desk.cluster.pk)}
    first = desk.save("cluster", answer, version=0, writer="tab").draft
    again = desk.save("cluster", answer, version=0, writer="tab").draft
    assert (first.version, again.version) == (1, 1)


def test_a_late_word_does_not_bring_a_draft_back(desk):
    draft = desk.fill()
    desk.create()
    with pytest.raises(DraftChanged) as refusal:
        desk.save("settings", SETTINGS, advance=False, version=draft.version, writer="late")
    assert refusal.value.code == "draft_gone"
    assert not PublishDraft.objects.exists()


def test_created_twice_there_is_one_publish(desk):
    draft = desk.fill()
    desk.create(version=draft.version)
    with pytest.raises(DraftChanged):
        desk.create(version=draft.version)
    assert ProductPublish.objects.count() == 1


def test_a_draft_is_created_as_it_was_reviewed(desk):
    draft = desk.fill()
    desk.save("settings", SETTINGS | {"hostname_base": "other.example.com"})
    with pytest.raises(DraftChanged):
        desk.create(version=draft.version)
    assert not ProductPublish.objects.exists()


# --- Whose -----------------------------------------------------------------------------------------


def test_a_colleague_has_a_draft_of_their_own(desk):
    desk.fill()
    colleague = UserFactory(member_of=desk.organization)
    assert drafts.of(colleague, desk.product.pk) is None
    assert drafts.of(desk.user, desk.product.pk) is not None


def test_who_left_the_organization_sees_it_no_more(desk):
    desk.fill()
    desk.user.memberships.all().delete()
    assert drafts.of(desk.user, desk.product.pk) is None


def test_viewers_have_no_wizard_and_strangers_no_product(desk):
    viewer = UserFactory(member_of=desk.organization, role=Role.VIEWER)
    for somebody, refusal in ((viewer, PermissionDenied), (UserFactory(), ObjectDoesNotExist)):
        with pytest.raises(refusal):
            drafts.save(
                actor=somebody,
                product_id=desk.product.pk,
                step="cluster",
                answers={"cluster_id": str(desk.cluster.pk)},
            )


def test_discarded_it_is_gone(desk):
    desk.fill()
    drafts.discard(actor=desk.user, product_id=desk.product.pk)
    assert not PublishDraft.objects.exists()
    with pytest.raises(DraftChanged):
        drafts.discard(actor=desk.user, product_id=desk.product.pk)


def test_the_database_knows_the_steps():
    with pytest.raises(IntegrityError), transaction.atomic():
        PublishDraftFactory(step="confetti")


# --- Preview ---------------------------------------------------------------------------------------


def preview(desk: Desk, **settings: Any) -> drafts.Preview:
    return drafts.preview(
        actor=desk.user,
        product_id=desk.product.pk,
        cluster_id=desk.cluster.pk,
        gateway_id=desk.gateway.pk,
        **(SETTINGS | {"auth_config": {}} | settings),
    )


def test_a_preview_shows_routes_and_changes_and_saves_nothing(desk):
    shown = preview(desk)

    assert shown.bundle["host"] == "api.example.com"
    assert len(shown.bundle["routes"]) == 1
    assert {each.change for each in shown.comparison.differences} == {"added"}
    assert shown.refusal is None
    assert not ProductPublish.objects.exists()


def test_a_preview_names_the_conflict_to_those_who_may_see_it(desk):
    mine = ProductPublishFactory(
        organization=desk.organization,
        product=desk.product,
        cluster=desk.cluster,
        gateway=desk.gateway,
        environment="stage",
        hostname_base="api.example.com",
        published=True,
    )
    refusal = preview(desk).refusal
    assert refusal.code == "route_conflict"
    assert refusal.details["publish_id"] == str(mine.pk)


def test_a_preview_does_not_name_what_belongs_to_others(desk):
    ProductPublishFactory(cluster=desk.cluster, hostname_base="api.example.com", published=True)
    refusal = preview(desk).refusal
    assert refusal.code == "host_taken"
    assert "publish_id" not in refusal.details
