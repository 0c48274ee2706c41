"""manage.py seed_demo: a demo through the services, as often as one likes."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounts.models import AuditEvent, Membership, Organization, User
from accounts.organizations import of_session
from catalog.models import ApiService, Gateway, Product, Route
from clusters.models import Cluster, RegistrationToken
from publishing.models import Deployment, ProductPublish
from publishing.services import agents, publishes
from publishing.states import Outcome
from subscriptions.management.demo import people
from subscriptions.models import AccessEntry, Application, Credential, Plan, Subscription
from subscriptions.services import credentials, subscriptions
from tests.factories.clusters import AgentFactory

pytestmark = pytest.mark.django_db
COUNTED = (
    User, Organization, Membership, Cluster, ApiService, Route, Product, Gateway, ProductPublish, Deployment,
    Plan, Application, Subscription,
)  # fmt: skip


@pytest.fixture(autouse=True)
def debug(settings):
    settings.DEBUG = True


def seed(*arguments):
    out = StringIO()
    call_command("seed_demo", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def agent():
    """Joined after the first step, and has proved what it was sent."""
    seed("--upstream", "127.0.0.1:9100", "--gateway-port", "18080")
    agent = AgentFactory(cluster=Cluster.objects.get(name="kr-central-main"), live=True)
    prove(agent)
    return agent


def prove(agent, outcome=Outcome.APPLIED, error=""):
    agents.dispatch(cluster_id=agent.cluster_id)
    deployment = Deployment.objects.latest("created_at")
    agents.record_result(
        agent_id=agent.pk,
        epoch=agent.session_epoch,
        deployment_id=deployment.pk,
        revision=deployment.revision.digest,
        outcome=outcome,
        error=error,
        probe=[],
        timings={},
    )


def test_the_first_step_defines_everything_and_asks_for_the_publish():
    told = seed(
        "--gateway-port", "18080", "--upstream", "127.0.0.1:9111", "--hostname", "pay.example"
    )

    assert [row.name for row in Cluster.objects.order_by("name")] == [
        "ap-northeast-dr",
        "kr-central-main",
        "kr-central-stage",
    ]
    assert Cluster.objects.get(name="ap-northeast-dr").maintained
    product = Product.objects.get()
    assert str(product) == "Payment API v2.0"
    paths = {service.base_path: service.routes.get().methods for service in product.services.all()}
    assert paths == {
        "/billing": ["DELETE", "GET", "POST", "PUT"],
        "/invoices": ["GET", "POST"],
        "/refunds": ["POST"],
    }
    assert Gateway.objects.get().listeners.get().port == 18080
    publish = ProductPublish.objects.get()
    assert (publish.status, publish.auth_mode, publish.hostname_base) == (
        "DRAFT",
        "api-key",
        "pay.example",
    )
    assert publish.deployments.get().status == "QUEUED"
    assert list(Plan.objects.values_list("name", "price", "quota_per_day", "rate_per_minute")) == [
        ("Basic", 29, 10_000, 100),
        ("Enterprise", 299, None, 1000),
    ]
    assert told["publish"] == {
        "id": str(publish.pk),
        "status": "DRAFT",
        "hostname": "pay.example",
        "product_id": str(publish.product_id),
    }
    assert told["registration_token"].startswith("igr_")
    assert AuditEvent.objects.filter(action="publish.create").exists()


def test_the_logins_that_are_printed_work():
    for login in seed()["logins"]:
        body = {"email": login["email"], "password": login["password"]}
        response = Client().post("/api/v1/auth/login", body, content_type="application/json")
        assert response.status_code == 200, login


def test_the_first_stage_is_people_only():
    told = seed("--stage", "accounts")
    assert {login["role"] for login in told["logins"]} >= {"operator", "provider", "consumer"}
    assert not Cluster.objects.exists()
    call_command("seed_demo", "--stage", "accounts", stdout=StringIO())
    assert User.objects.count() == len(told["logins"])


def test_everybody_works_where_they_should():
    seed()
    kinds = {user.email: getattr(of_session({}, user), "kind", None) for user in User.objects.all()}
    assert kinds == {
        "operator@demo.example": "operator",
        "viewer@demo.example": "operator",
        "provider@demo.example": "provider",
        "member@demo.example": "provider",
        "consumer@demo.example": "consumer",
        "admin@demo.example": kinds["admin@demo.example"],
    }
    assert Membership.objects.get(user__email="viewer@demo.example").role == "viewer"
    assert User.objects.get(email="admin@demo.example").is_superuser


def test_the_second_step_subscribes_and_makes_a_key(agent):
    told = seed("--finish", "--wait", "0")

    row = Credential.objects.get()
    assert told["call"] == {
        "path": "/billing",
        "headers": {"Host": "api.payments.example", "x-api-key": told["key"]},
    }
    assert row.digest == credentials.digest(told["key"])
    assert AccessEntry.objects.get(pk=row.pk).deleted_at is None
    assert (told["publish"]["status"], told["subscription"]["plan"]) == ("PUBLISHED", "Basic")


def test_running_it_again_adds_nothing_but_a_fresh_key(agent):
    first = seed("--finish", "--wait", "0")
    count = {model: model.objects.count() for model in COUNTED}
    deployments = Deployment.objects.count()

    again = seed("--upstream", "127.0.0.1:9100", "--gateway-port", "18080")
    second = seed("--finish", "--wait", "0")

    assert {model: model.objects.count() for model in COUNTED} == count
    assert Deployment.objects.count() == deployments
    assert again["logins"] == first["logins"]
    assert again["registration_token"] is None
    assert second["key"] != first["key"]
    assert Credential.objects.get(revoked_at=None).digest == credentials.digest(second["key"])


def test_a_token_is_made_as_long_as_nobody_joined():
    first, second = seed(), seed()
    assert first["registration_token"] != second["registration_token"]
    assert RegistrationToken.objects.count() == 2


def test_other_keys_and_edits_stay(agent):
    seed("--finish", "--wait", "0")
    user = User.objects.get(email=people.LOGINS[4].email)
    mine, _secret = credentials.create(
        actor=user, subscription_id=Subscription.objects.get().pk, name="mine"
    )
    Route.objects.filter(path="/").update(timeout_ms=1)

    seed("--upstream", "127.0.0.1:9100", "--gateway-port", "18080")
    seed("--finish", "--wait", "0")

    mine.refresh_from_db()
    assert mine.revoked_at is None
    assert set(Route.objects.values_list("timeout_ms", flat=True)) == {1}
    assert Deployment.objects.count() == 1


def test_ports_that_moved_are_published_anew(agent):
    seed("--upstream", "127.0.0.1:9200", "--gateway-port", "18081")

    assert Gateway.objects.get().listeners.get().port == 18081
    assert {row.backends.get().port for row in ApiService.objects.all()} == {9200}
    assert Deployment.objects.count() == 2
    prove(agent)
    assert seed("--finish", "--wait", "0")["publish"]["status"] == "PUBLISHED"


def test_what_was_withdrawn_comes_back(agent):
    provider = User.objects.get(email="provider@demo.example")
    publish = ProductPublish.objects.get()
    deployment = publishes.withdraw(actor=provider, publish_id=publish.pk, reason="")
    agents.dispatch(cluster_id=agent.cluster_id)
    agents.record_result(
        agent_id=agent.pk, epoch=agent.session_epoch, deployment_id=deployment.pk, revision="",
        outcome=Outcome.APPLIED, error="", probe=[], timings={},
    )  # fmt: skip
    publish.refresh_from_db()
    assert publish.status == "WITHDRAWN"

    seed("--upstream", "127.0.0.1:9100", "--gateway-port", "18080")
    prove(agent)
    assert seed("--finish", "--wait", "0")["publish"]["status"] == "PUBLISHED"


def test_a_suspended_subscription_is_resumed(agent):
    seed("--finish", "--wait", "0")
    provider = User.objects.get(email="provider@demo.example")
    row = Subscription.objects.get()
    subscriptions.suspend(actor=provider, subscription_id=row.pk, reason="Unpaid")
    seed("--finish", "--wait", "0")
    row.refresh_from_db()
    assert row.status == "active"


def test_a_plan_that_wants_approval_gets_it(agent):
    Plan.objects.update(approval_required=True)
    seed("--finish", "--wait", "0")
    assert Subscription.objects.get().status == "active"


def test_time_is_up_with_a_reason():
    seed()
    with pytest.raises(
        CommandError, match=r"Not published after 0 s: deployment #1 is QUEUED\. .*agent"
    ):
        seed("--finish", "--wait", "0")


def test_a_refusal_of_the_gateway_is_told():
    seed()
    agent = AgentFactory(cluster=Cluster.objects.get(name="kr-central-main"), live=True)
    prove(agent, Outcome.FAILED, "cannot bind port")
    with pytest.raises(CommandError, match="cannot bind port"):
        seed("--finish", "--wait", "30")


def test_there_must_be_something_to_finish():
    with pytest.raises(CommandError, match="without --finish first"):
        seed("--finish")


@pytest.mark.parametrize("upstream", ["9100", ":9100", "127.0.0.1:", "127.0.0.1:x", "http://a"])
def test_an_upstream_is_a_host_and_a_port(upstream):
    with pytest.raises(CommandError, match="HOST:PORT"):
        seed("--upstream", upstream)


def test_known_passwords_stay_out_of_production(settings):
    settings.DEBUG = False
    with pytest.raises(CommandError, match="DEBUG"):
        seed()
    assert not User.objects.exists()


def test_in_words(agent):
    out = StringIO()
    call_command("seed_demo", "--finish", "--wait", "0", stdout=out)
    assert "operator@demo.example" in out.getvalue()
    assert "x-api-key: ik_" in out.getvalue()
