"""Changes, revisions, roll-back, settings, drift, waivers, deletion and deployments, as pages."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Role
from clusters.models import Cluster
from publishing.models import AgentPublish, ProductPublish
from publishing.services import agents
from tests.factories.accounts import UserFactory
from tests.factories.publishing import (
    AgentPublishFactory,
    DeploymentFactory,
    DeploymentVerdictFactory,
    ProductPublishFactory,
    PublishEventFactory,
    PublishRevisionFactory,
)
from tests.factories.subscriptions import PlanFactory, SubscriptionFactory
from tests.publishing.stage import PROOF, Stage, gone

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def stage() -> Stage:
    """Live on one agent; revision 1."""
    stage = Stage()
    stage.serve()
    return stage


@pytest.fixture
def browser(client, stage):
    client.force_login(stage.user)
    return client


def url(stage: Stage, tail: str = "") -> str:
    return f"/provider/publishes/{stage.publish.pk}{tail}"


def text(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


# --- Changes -----------------------------------------------------------------------------------------


def part(response: Any) -> str:
    """What stays in the part's own place: the button of the head is swapped where it is."""
    page = response.content.decode()
    return re.sub(r'(?s)<span id="publish-changes-action" hx-swap-oob.*?</span>', "", page)


def test_nothing_to_publish_says_so_and_the_part_is_empty(browser, stage):
    assert "Nothing to publish" in text(browser.get(url(stage, "/changes")))
    assert part(browser.get(url(stage, "/changes"), headers=HTMX)) == ""


@pytest.mark.parametrize("tail", ["/changes", "/revisions", "/revisions/1", "/settings"])
def test_the_button_says_whether_there_is_something_to_publish(browser, stage, tail):
    closed, opened = "No changes to publish", "Publish changes…"
    assert closed in text(browser.get(url(stage, tail)))
    stage.change()
    page = text(browser.get(url(stage, tail)))
    assert opened in page
    assert closed not in page


def test_the_part_tells_the_button_of_the_overview(browser, stage):
    assert 'hx-preserve="true"' in browser.get(url(stage)).content.decode()
    assert "No changes to publish" in text(browser.get(url(stage, "/changes"), headers=HTMX))
    stage.change()
    assert "Publish changes…" in text(browser.get(url(stage, "/changes"), headers=HTMX))


def test_a_viewer_is_told_of_changes_without_a_button(client, stage):
    client.force_login(UserFactory(member_of=stage.publish.organization, role=Role.VIEWER))
    stage.change()
    page = text(client.get(url(stage, "/changes"), headers=HTMX))
    assert "Changes not yet published" in page
    assert "Publish changes…" not in page


def test_changes_not_yet_published_are_a_readable_diff(browser, stage):
    stage.change()
    page = browser.get(url(stage, "/changes"), headers=HTMX)
    assert "<html" not in page.content.decode()
    assert "Changes not yet published" in text(page)
    assert "- GET, POST" in text(page) or 'data-s="-"' in page.content.decode()
    assert "timeout 15 s" in text(page)
    assert "timeout 15.001 s" in text(page)


def test_what_is_on_its_way_is_not_told_as_unpublished(browser, stage):
    stage.change()
    stage.click()
    assert part(browser.get(url(stage, "/changes"), headers=HTMX)) == ""


def test_publishing_shows_the_changes_and_whom_they_concern(browser, stage):
    plan = PlanFactory(publish=stage.publish)
    SubscriptionFactory(plan=plan, status="active")
    stage.change()
    page = text(browser.get(url(stage, "/publish")))
    assert "Routes that change 1" in page
    assert "Subscriptions affected 1" in page
    assert "compared with r1, which is live" in page


def test_a_conflict_is_told_before_the_click(browser, stage):
    Cluster.objects.update(maintenance_since=timezone.now())
    stage.change()
    assert "Publishing it now would be refused." in text(browser.get(url(stage, "/publish")))


def test_publish_clicked_twice_starts_one(browser, stage):
    stage.change()
    page = browser.get(url(stage, "/publish")).content.decode()
    sent = {"note": "go", "after": re.search(r'name="after" value="(\d+)"', page)[1]}  # type: ignore[index]

    answers = [browser.post(url(stage, "/publish"), sent) for _click in range(2)]

    assert [answer["Location"] for answer in answers] == [url(stage)] * 2
    assert stage.publish.deployments.count() == 2


# --- Revisions ---------------------------------------------------------------------------------------


def test_a_withdrawal_is_asked_upon_what_the_live_part_shows(browser, stage):
    """The dialog is opened long after the page was: only the part that pulses renew knows the last number."""
    part = browser.get(url(stage), headers=HTMX).content.decode()
    assert 'name="after" form="withdraw-form" value="1"' in part
    stage.change()
    stage.click()
    part = browser.get(url(stage), headers=HTMX).content.decode()
    assert 'name="after" form="withdraw-form" value="2"' in part


def test_a_withdrawal_upon_an_older_page_says_what_came_between(browser, stage):
    stage.change()
    stage.click()
    late = browser.post(url(stage, "/withdraw"), {"after": "1", "reason": "over"})
    assert late.status_code == 422
    assert "Deployment #2 was started meanwhile" in text(late)
    assert 'value="over"' in late.content.decode()


def test_withdraw_clicked_twice_starts_one(browser, stage):
    answers = [browser.post(url(stage, "/withdraw"), {"after": "1"}) for _click in range(2)]
    assert [answer.status_code for answer in answers] == [302, 302]
    assert stage.publish.deployments.count() == 2


def test_what_a_colleague_started_is_told(client, stage):
    stage.change()
    stage.click()
    client.force_login(UserFactory(member_of=stage.publish.organization))
    late = client.post(url(stage, "/publish"), {"after": "1"})
    assert late.status_code == 422
    assert "Deployment #2 was started meanwhile" in text(late)


def test_withdrawing_tells_whom_it_concerns(browser, stage):
    SubscriptionFactory(plan=PlanFactory(publish=stage.publish), status="active")
    assert "1 subscription is affected" in text(browser.get(url(stage, "/withdraw")))
    assert "1 subscription is affected" in text(browser.get(url(stage)))


def test_compare_and_roll_back(browser, stage):
    stage.change()
    stage.serve()
    listed = text(browser.get(url(stage, "/revisions")))
    assert "r2" in listed
    assert "Roll back…" in listed
    page = text(browser.get(url(stage, "/revisions/1")))
    assert "From r2 to r1" in page
    assert "timeout 15 s" in page

    response = browser.post(url(stage, "/revisions/1/rollback"), {"note": "r2 is slow"})

    assert response["Location"] == url(stage)
    assert stage.open.revision.number == 1
    assert "“r2 is slow”" in text(browser.get(url(stage)))


def test_any_two_revisions_can_be_compared(browser, stage):
    for _each in range(2):
        stage.change()
        stage.serve()
    assert "From r1 to r2" in text(browser.get(url(stage, "/revisions/2?with=1")))
    assert browser.get(url(stage, "/revisions/2?with=x")).status_code == 404
    assert browser.get(url(stage, "/revisions/9")).status_code == 404


def test_a_refused_roll_back_stands_on_its_page_with_the_note(browser, stage):
    response = browser.post(url(stage, "/revisions/1/rollback"), {"note": "why not"})
    assert response.status_code == 422
    assert "what the gateways serve already" in text(response)


# --- Drift and waivers -------------------------------------------------------------------------------


def test_drift_is_told_agent_by_agent_and_can_be_restored(browser, stage):
    agent = stage.agents[0]
    stage.publish.on_agents.filter(agent=agent).delete()
    AgentPublishFactory(publish=stage.fresh(), agent=agent, revision="")
    page = text(browser.get(url(stage)))
    assert "Live on 0 of 1 agents." in page
    assert f"{agent.name} serves nothing of it" in page

    before = stage.generation()
    assert browser.post(url(stage, "/restore")).status_code == 302
    assert stage.generation() == before + 1


def test_a_refused_restore_says_why_on_the_page(browser, stage):
    stage.change()
    stage.click()
    response = browser.post(url(stage, "/restore"))
    assert response.status_code == 409
    assert "with no deployment under way" in text(response)


def test_an_absent_agent_is_waived_by_typing_its_name(browser, stage):
    agent = stage.agents[0]
    deployment = stage.withdraw()
    gone(agent)
    agents.sweep(cluster_ids=[stage.cluster.pk])
    path = f"/provider/deployments/{deployment.pk}/waive/{agent.pk}"
    assert path in browser.get(url(stage)).content.decode()

    wrong = browser.post(path, {"name": "agent-x"})
    assert wrong.status_code == 422
    assert 'value="agent-x"' in wrong.content.decode()
    assert browser.post(path, {"name": agent.name})["Location"] == url(stage)

    assert stage.fresh().status == "WITHDRAWN"
    assert f"go on without {agent.name}" in text(browser.get(url(stage)))


def test_only_admins_waive_and_delete(client, stage):
    client.force_login(UserFactory(member_of=stage.publish.organization))
    deployment = stage.withdraw()
    gone(stage.agents[0])
    path = f"/provider/deployments/{deployment.pk}/waive/{stage.agents[0].pk}"
    assert "/waive/" not in client.get(url(stage)).content.decode()
    assert client.post(path, {"name": stage.agents[0].name}).status_code == 403
    assert client.post(url(stage, "/delete")).status_code == 403


# --- Settings and deletion ---------------------------------------------------------------------------


def test_the_settings_of_a_live_publish_are_closed_and_the_page_says_why(browser, stage):
    page = browser.get(url(stage, "/settings")).content.decode()
    assert "The settings of a live publish are closed." in page
    assert 'disabled aria-describedby="closed"' in page


def values_of(publish: ProductPublish, **other: Any) -> dict[str, Any]:
    return {
        "cluster_id": str(publish.cluster_id),
        "gateway_id": str(publish.gateway_id),
        "environment": publish.environment,
        "hostname_base": publish.hostname_base,
        "auth_mode": publish.auth_mode,
        "visibility": publish.visibility,
    } | other


def test_a_draft_is_edited(client):
    publish = ProductPublishFactory()
    client.force_login(UserFactory(member_of=publish.organization))
    path = f"/provider/publishes/{publish.pk}/settings"
    assert f'value="{publish.hostname_base}"' in client.get(path).content.decode()

    answer = client.post(path, values_of(publish, hostname_base="new.example.com"))

    assert answer.status_code == 302
    publish.refresh_from_db()
    assert publish.hostname_base == "new.example.com"
    assert list(publish.events.values_list("kind", flat=True)) == ["edited"]


def test_what_is_wrong_stays_typed_and_is_named_at_its_field(client):
    publish = ProductPublishFactory()
    client.force_login(UserFactory(member_of=publish.organization))
    path = f"/provider/publishes/{publish.pk}/settings"
    answer = client.post(path, values_of(publish, hostname_base="10.0.0.1"))
    assert answer.status_code == 422
    assert 'value="10.0.0.1"' in answer.content.decode()
    assert "not an address" in text(answer)


def test_a_draft_is_deleted_after_asking(client):
    publish = ProductPublishFactory()
    client.force_login(UserFactory(member_of=publish.organization, role=Role.ADMIN))
    path = f"/provider/publishes/{publish.pk}/delete"
    assert "cannot be undone" in text(client.get(path))
    assert client.post(path).status_code == 302
    assert not ProductPublish.objects.exists()


def test_a_publish_in_use_is_not_offered_for_deletion(client):
    publish = ProductPublishFactory(withdrawn=True)
    SubscriptionFactory(plan=PlanFactory(publish=publish), status="active")
    client.force_login(UserFactory(member_of=publish.organization, role=Role.ADMIN))
    path = f"/provider/publishes/{publish.pk}/delete"

    page = client.get(path)
    assert "is still in use" in text(page)
    assert f"product_publish_id={publish.pk}" in page.content.decode()
    assert "delete-now" not in page.content.decode()
    assert client.post(path).status_code == 422


def test_a_live_publish_is_not_deleted(browser, stage):
    answer = browser.post(url(stage, "/delete"))
    assert answer.status_code == 422
    assert "Withdraw it first" in text(answer)


# --- Deployments -------------------------------------------------------------------------------------


def test_all_deployments_are_listed_and_narrowed(browser, stage):
    other = ProductPublishFactory(organization=stage.publish.organization, environment="dev")
    DeploymentFactory(publish=other)
    DeploymentFactory()
    page = browser.get("/provider/deployments")
    assert page.content.decode().count('class="ig-main"') == 2
    part = browser.get("/provider/deployments?environment=dev", headers=HTMX).content.decode()
    assert "<html" not in part
    assert part.count('class="ig-main"') == 1
    assert "No deployment matches" in text(browser.get("/provider/deployments?status=FAILED"))


def test_deployments_of_one_publish_say_of_which(browser, stage):
    page = browser.get(f"/provider/deployments?product_publish_id={stage.publish.pk}")
    assert f"Of one publish: {stage.publish.product}" in text(page)
    assert "Of one publish" not in text(browser.get("/provider/deployments"))


def test_services_are_not_said_to_be_served_where_they_are_not(browser, stage):
    AgentPublish.objects.update(revision="0" * 64)
    page = text(browser.get(url(stage)))
    assert page.count("Serving on 0 of 1") == 2  # the proof, and the one service
    assert "live on 0 of 1 agents" in text(browser.get(url(stage, "/publish")))


def test_a_cluster_without_a_connected_agent_is_told(browser, stage):
    assert "No agent of" not in text(browser.get(url(stage)))
    for agent in stage.agents:
        gone(agent)
    page = text(browser.get(url(stage)))
    assert f"No agent of {stage.cluster.name} is connected now." in page


@pytest.mark.parametrize("path", ["/provider/deployments", "/provider/publishes"])
def test_unknown_filters_are_told_and_narrow_nothing(browser, path):
    page = text(browser.get(f"{path}?status=HALF&cluster_id=x"))
    assert "There is no status “HALF”" in page
    assert "There is no cluster “x”" in page


def test_a_deployment_has_its_verdicts_proof_and_timeline(browser, stage):
    deployment = stage.latest()
    page = browser.get(f"/provider/deployments/{deployment.pk}")
    assert "Deployment #1" in text(page)
    assert f"Proved on {stage.agents[0].name}" in text(page)
    assert "with the agent's key" in text(page)
    part = browser.get(f"/provider/deployments/{deployment.pk}", headers=HTMX).content.decode()
    assert "<html" not in part


# --- Whose, and how much it costs --------------------------------------------------------------------

READS = ["/changes", "/revisions", "/revisions/1", "/settings"]
WRITES = ["/publish", "/withdraw", "/restore", "/revisions/1/rollback", "/settings"]


@pytest.mark.parametrize("tail", ["", *READS, *WRITES, "/delete"])
def test_for_a_stranger_there_is_nothing(client, stage, tail):
    client.force_login(UserFactory(member_of=ProductPublishFactory().organization))
    assert client.get(url(stage, tail)).status_code in {404, 405}
    assert client.post(url(stage, tail)).status_code in {404, 405}


@pytest.mark.parametrize("tail", WRITES)
def test_a_viewer_reads_and_changes_nothing(client, stage, tail):
    client.force_login(UserFactory(member_of=stage.publish.organization, role=Role.VIEWER))
    for read in READS:
        assert client.get(url(stage, read)).status_code == 200
    assert client.post(url(stage, tail)).status_code == 403
    assert stage.publish.deployments.count() == 1


@pytest.fixture(params=[10, 200])
def crowd(request, client) -> ProductPublish:
    """One publish with as many of everything, among as many others."""
    publish = ProductPublishFactory(published=True)
    organization = publish.organization
    client.force_login(UserFactory(member_of=organization, role=Role.ADMIN))
    for number in range(request.param):
        agent = AgentPublishFactory(publish=publish).agent
        deployment = DeploymentFactory(
            publish=publish, revision=publish.live_revision, succeeded=True
        )
        DeploymentVerdictFactory(deployment=deployment, agent=agent, probe=[PROOF])
        PublishEventFactory(publish=publish, deployment=deployment, agent=agent)
        PlanFactory(publish=publish)
        ProductPublishFactory(
            organization=organization, product=publish.product, gateway=publish.gateway
        )
        document = f'{{"schema":{number}}}'
        digest = hashlib.sha256(document.encode()).hexdigest()
        PublishRevisionFactory(publish=publish, digest=digest, document=document)
    return publish


def test_pages_ask_at_most_twelve_questions(client, crowd, django_assert_max_num_queries):
    one = f"/provider/publishes/{crowd.pk}"
    deployment = crowd.deployments.first()
    for path in [
        one,
        f"{one}/revisions",
        f"{one}/settings",
        f"{one}/delete",
        f"{one}/withdraw",
        f"/provider/deployments/{deployment.pk}",
        "/provider/deployments",
        "/provider/publishes",
    ]:
        with django_assert_max_num_queries(12, info=path):
            assert client.get(path).status_code == 200
    with django_assert_max_num_queries(12, info="the part of the page"):
        client.get(f"{one}/changes", headers=HTMX)
    # What a click would do takes all that it will look at: more, but no more for more rows.
    with django_assert_max_num_queries(12, info="confirm"):
        client.get(f"{one}/publish")


def test_two_editors_of_the_settings_do_not_overwrite_each_other(client):
    publish = ProductPublishFactory()
    client.force_login(UserFactory(member_of=publish.organization))
    path = f"/provider/publishes/{publish.pk}/settings"
    seen = client.get(path).context["seen"]
    client.post(path, values_of(publish, seen=seen, hostname_base="theirs.example.com"))

    mine = values_of(publish, seen=seen, hostname_base="mine.example.com")
    stale = client.post(path, mine)

    assert stale.status_code == 422
    assert "Somebody else changed this" in text(stale)
    assert "Hostname: theirs.example.com" in text(stale)
    assert 'value="mine.example.com"' in stale.content.decode()
    publish.refresh_from_db()
    assert publish.hostname_base == "theirs.example.com"
    assert client.post(path, mine | {"seen": stale.context["seen"]}).status_code == 302


def test_the_list_marks_what_is_defined_otherwise_by_now(client, stage):
    client.force_login(UserFactory(member_of=stage.publish.organization))
    assert "changes not yet published" not in text(client.get("/provider/publishes"))

    stage.publish.product.services.first().routes.update(timeout_ms=1234)

    for headers in ({}, HTMX):
        part = client.get("/provider/publishes", headers=headers)
        assert "changes not yet published" in text(part)
