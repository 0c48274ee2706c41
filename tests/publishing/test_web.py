"""The publish pages: whole, in part, for strangers and viewers, and what they say in each state."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from publishing.models import ProductPublish
from publishing.states import OPEN, Outcome, Progress, Status
from tests.factories.accounts import UserFactory
from tests.factories.publishing import (
    AgentPublishFactory,
    DeploymentFactory,
    DeploymentVerdictFactory,
    ProductPublishFactory,
)
from tests.publishing.stage import PROOF

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
LIST = "/provider/publishes"


@pytest.fixture
def publish() -> ProductPublish:
    return ProductPublishFactory()


@pytest.fixture
def browser(client, publish):
    """Signed in as a member of the publish's provider."""
    client.force_login(UserFactory(member_of=publish.organization))
    return client


@pytest.fixture
def viewer(client, publish):
    client.force_login(UserFactory(member_of=publish.organization, role=Role.VIEWER))
    return client


def url(publish: ProductPublish, verb: str = "") -> str:
    return f"/provider/publishes/{publish.pk}" + (f"/{verb}" if verb else "")


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def test_a_full_page_has_the_shell_and_its_socket(browser, publish):
    page = browser.get(url(publish)).content.decode()

    assert "<html" in page
    assert f'data-ig-socket="/ws/publishes/{publish.pk}"' in page
    assert "/changes" in page


def test_a_partial_is_the_live_region_alone(browser, publish):
    page = browser.get(url(publish), headers=HTMX).content.decode()

    assert "<html" not in page
    assert page.strip().startswith('<div class="ig-stack" id="publish-live"')


@pytest.mark.parametrize("verb", ["", "publish", "withdraw"])
def test_a_stranger_gets_404(client, publish, verb):
    client.force_login(UserFactory(member_of=ProductPublishFactory().organization))

    assert client.get(url(publish, verb)).status_code == 404
    assert client.post(url(publish, verb)).status_code in {404, 405}


def test_somebody_unknown_signs_in_first(client, publish):
    response = client.get(url(publish))

    assert response.status_code == 302
    assert response["Location"].startswith("/login")


@pytest.mark.parametrize("verb", ["publish", "withdraw"])
def test_a_viewer_reads_but_changes_nothing(viewer, publish, verb):
    assert "Publish…" not in text(viewer.get(url(publish)))
    assert viewer.post(url(publish, verb)).status_code == 403
    assert not publish.deployments.exists()


def test_publish_asks_once_takes_a_note_and_shows_it(browser, publish):
    asked = browser.get(url(publish, "publish"))
    assert "Publish" in text(asked)
    assert not publish.deployments.exists()

    response = browser.post(url(publish, "publish"), {"note": "Production release v2.0"})

    assert response.status_code == 302
    page = text(browser.get(response["Location"]))
    assert "“Production release v2.0”" in page
    assert "Queued" in page
    assert "no agent is connected" in page.lower()


def test_a_refusal_keeps_what_was_typed_and_says_why(browser, publish):
    publish.product.services.clear()

    response = browser.post(url(publish, "publish"), {"note": "my long note"})

    assert response.status_code == 422
    page = response.content.decode()
    assert 'value="my long note"' in page
    assert 'role="alert"' in page


def test_withdrawing_a_draft_is_refused_by_name_of_the_state(browser, publish):
    response = browser.post(url(publish, "withdraw"), {"reason": "oops"})

    assert response.status_code == 422
    assert "draft" in text(response).lower()


def test_a_queued_deployment_can_be_cancelled(browser, publish):
    browser.post(url(publish, "publish"))
    deployment = publish.deployments.get()
    assert "Cancel deployment" in text(browser.get(url(publish)))

    response = browser.post(f"/provider/deployments/{deployment.pk}/cancel")

    assert response.status_code == 302
    deployment.refresh_from_db()
    assert deployment.status == Progress.CANCELLED


def test_cancelling_too_late_says_so(browser, publish):
    deployment = DeploymentFactory(publish=publish, status=Progress.APPLYING)

    response = browser.post(f"/provider/deployments/{deployment.pk}/cancel")

    assert response.status_code == 409
    assert 'role="alert"' in response.content.decode()


def test_each_agent_has_its_verdict_and_the_gateway_its_own_words(browser, publish):
    deployment = DeploymentFactory(publish=publish, status=Progress.APPLYING)
    DeploymentVerdictFactory(
        deployment=deployment,
        outcome=Outcome.APPLIED,
        probe=[PROOF],
        timings={"fetch_ms": 18, "apply_ms": 66, "probe_ms": 12},
    )
    words = "cannot bind '0.0.0.0:8080': Address already in use <b>"
    DeploymentVerdictFactory(deployment=deployment, outcome=Outcome.FAILED, error=words)

    response = browser.get(url(publish))

    page = text(response)
    assert "1 of 2" in page
    assert "66 ms" in page
    assert "Address already in use &lt;b&gt;" in response.content.decode()


def test_the_proof_of_the_live_revision_is_on_the_page(client):
    publish = ProductPublishFactory(published=True)
    client.force_login(UserFactory(member_of=publish.organization))
    agent = AgentPublishFactory(publish=publish).agent
    deployment = DeploymentFactory(publish=publish, revision=publish.live_revision, succeeded=True)
    DeploymentVerdictFactory(
        deployment=deployment,
        agent=agent,
        outcome=Outcome.APPLIED,
        probe=[PROOF | {"path": "/billing"}, PROOF | {"with_credential": False, "got": 401}],
    )

    page = text(client.get(url(publish)))

    assert "Serving on 1 of 1" in page
    assert "GET /billing with the agent's key" in page.replace("&#x27;", "'")
    assert "without a key" in page


def test_a_publish_that_is_not_everywhere_says_so(client):
    publish = ProductPublishFactory(published=True)
    client.force_login(UserFactory(member_of=publish.organization))
    AgentPublishFactory(publish=publish)
    AgentPublishFactory(publish=publish, revision="")

    assert "live on 1 of 2" in text(client.get(url(publish)))


def test_a_withdrawn_publish_says_what_that_means(client):
    publish = ProductPublishFactory(withdrawn=True)
    client.force_login(UserFactory(member_of=publish.organization))

    page = text(client.get(url(publish)))

    assert "every call answers 404" in page
    assert "Publish again" in page


def test_the_list_shows_the_active_organizations_publishes_by_status(browser, publish):
    ProductPublishFactory(hostname_base="not-mine.example.com")
    ProductPublishFactory(organization=publish.organization, published=True)

    page = browser.get(LIST)
    drafts = browser.get(f"{LIST}?status={Status.DRAFT}", headers=HTMX).content.decode()

    assert "not-mine" not in page.content.decode()
    assert "All 2" in text(page)
    assert "<html" not in drafts
    assert str(publish.pk) in drafts
    assert drafts.count("ig-main") == 1


def test_empty_lists_say_what_to_do(browser, publish):
    assert "No publish matches" in text(browser.get(f"{LIST}?search=nothing-like-it"))
    publish.delete()
    assert "Nothing is published yet" in text(browser.get(LIST))


@pytest.mark.parametrize("path", [LIST, "detail"])
def test_queries_do_not_grow_with_the_rows(client, path):
    publish = ProductPublishFactory(published=True)
    client.force_login(UserFactory(member_of=publish.organization))
    path = url(publish) if path == "detail" else path

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(path).status_code == 200
        return len(captured)

    queries()
    before = queries()
    for _each in range(5):
        AgentPublishFactory(publish=publish)
        ProductPublishFactory(organization=publish.organization)
        deployment = DeploymentFactory(
            publish=publish, revision=publish.live_revision, succeeded=True
        )
        DeploymentVerdictFactory(deployment=deployment, probe=[PROOF])

    assert queries() <= before + 1
    assert publish.deployments.filter(status__in=OPEN).count() == 0
