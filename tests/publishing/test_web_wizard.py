"""The wizard's pages: four steps, back and forth, two tabs, and what happens in between."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Role
from clusters.models import Agent, Cluster
from publishing.models import ProductPublish, PublishDraft
from tests.factories.accounts import UserFactory
from tests.factories.catalog import GatewayFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.publishing import ProductPublishFactory
from tests.publishing.test_drafts import SETTINGS, Desk

pytestmark = pytest.mark.django_db
TYPED = {
    "environment": "prod",
    "auth_mode": "api-key",
    "hostname_base": "api.example.com",
    "visibility": "public",
}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def browser(client, desk):
    client.force_login(desk.user)
    return client


def url(desk: Desk, step: str = "") -> str:
    return f"/provider/products/{desk.product.pk}/publish/" + (f"?step={step}" if step else "")


def text(response) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def hidden(response) -> dict[str, str]:
    """What the page's form sends along: step, version and tab."""
    page = response.content.decode()
    names = ("step", "version", "tab")
    return {
        name: re.search(rf'name="{name}" value="([^"]*)"', page)[1]  # type: ignore[index]
        for name in names
    }


def answer(browser, desk: Desk, step: str, **values: str):
    """Open the step, fill it in, press Next."""
    sent = hidden(browser.get(url(desk, step))) | values
    return browser.post(url(desk), sent)


def walk(browser, desk: Desk) -> None:
    answer(browser, desk, "cluster", cluster_id=str(desk.cluster.pk))
    answer(browser, desk, "gateway", gateway_id=str(desk.gateway.pk))
    answer(browser, desk, "settings", **TYPED)


def test_from_the_first_step_to_a_draft_publish(browser, desk):
    steps = [
        ("cluster", {"cluster_id": str(desk.cluster.pk)}),
        ("gateway", {"gateway_id": str(desk.gateway.pk)}),
        ("settings", TYPED),
        ("review", {"go": "create"}),
    ]
    at = url(desk)
    for step, values in steps:
        page = browser.get(at)
        assert hidden(page)["step"] == step
        answered = browser.post(url(desk), hidden(page) | values)
        assert answered.status_code == 302, text(answered)
        at = answered["Location"]

    publish = ProductPublish.objects.get()
    assert at == f"/provider/publishes/{publish.pk}"
    assert publish.status == "DRAFT"
    assert not PublishDraft.objects.exists()


def test_it_resumes_where_it_was_left_on_any_device(browser, desk):
    answer(browser, desk, "cluster", cluster_id=str(desk.cluster.pk))
    answer(browser, desk, "gateway", gateway_id=str(desk.gateway.pk))

    other = Client()
    other.force_login(desk.user)
    assert hidden(other.get(url(desk)))["step"] == "settings"


def test_a_step_ahead_leads_to_the_one_that_is_missing(browser, desk):
    response = browser.get(url(desk, "review"))
    assert (response.status_code, response["Location"]) == (302, url(desk, "cluster"))
    assert browser.get(url(desk, "nonsense")).status_code == 302


def test_an_empty_answer_is_told_at_its_field(browser, desk):
    response = answer(browser, desk, "cluster")
    assert response.status_code == 422
    assert "Choose a cluster." in text(response)


def test_what_is_wrong_stays_typed_and_is_named(browser, desk):
    walk(browser, desk)
    response = answer(browser, desk, "settings", **TYPED | {"hostname_base": "10.0.0.1"})

    assert response.status_code == 422
    page = response.content.decode()
    assert 'value="10.0.0.1"' in page
    assert "not an address" in text(response)
    assert PublishDraft.objects.get().data["hostname_base"] == "api.example.com"


def test_back_keeps_what_was_typed_so_far(browser, desk):
    answer(browser, desk, "cluster", cluster_id=str(desk.cluster.pk))
    answer(browser, desk, "gateway", gateway_id=str(desk.gateway.pk))

    response = answer(browser, desk, "settings", go="gateway", hostname_base="half.typ")

    assert response["Location"] == url(desk, "gateway")
    assert (
        f'value="{desk.gateway.pk}" checked' in browser.get(url(desk, "gateway")).content.decode()
    )
    assert 'value="half.typ"' in browser.get(url(desk, "settings")).content.decode()


def test_every_change_is_kept_by_itself(browser, desk):
    walk(browser, desk)
    page = hidden(browser.get(url(desk, "settings")))

    for typed in ("a", "ab", "abc"):
        kept = browser.post(url(desk), page | {"go": "keep", "hostname_base": typed})
        assert (kept.status_code, kept.content) == (204, b"")

    assert 'value="abc"' in browser.get(url(desk, "settings")).content.decode()


def test_another_cluster_drops_the_gateway_that_it_cannot_drive_and_says_so(browser, desk):
    walk(browser, desk)
    other = ClusterFactory()
    AgentFactory(cluster=other, live=True, gateway_classes=["kong"])

    response = answer(browser, desk, "cluster", cluster_id=str(other.pk))

    page = browser.get(response["Location"])
    assert f"Gateway {desk.gateway.name} is no longer chosen" in text(page)
    assert "No agent of this cluster can drive envoy." in text(page)


@pytest.mark.parametrize(
    ("agents", "words"),
    [({}, "No agent has joined yet."), ({"stale": True}, "No agent is connected.")],
)
def test_a_pending_or_inactive_cluster_can_be_chosen_and_says_it_waits(
    browser, desk, agents, words
):
    Agent.objects.all().delete()
    if agents:
        AgentFactory(cluster=desk.cluster, **agents)
    page = browser.get(url(desk))
    assert words in text(page)
    assert answer(browser, desk, "cluster", cluster_id=str(desk.cluster.pk)).status_code == 302


def test_one_in_maintenance_cannot_be_chosen_and_says_why(browser, desk):
    Cluster.objects.filter(pk=desk.cluster.pk).update(
        maintenance_since=timezone.now(), maintenance_reason="New kernels"
    )
    page = browser.get(url(desk))
    assert "New kernels" in text(page)
    assert re.search(rf'value="{desk.cluster.pk}" disabled', page.content.decode())

    response = answer(browser, desk, "cluster", cluster_id=str(desk.cluster.pk))
    assert response.status_code == 422
    assert "is in maintenance" in text(response)


def test_a_cluster_that_goes_inactive_between_steps_is_told_at_the_review(browser, desk):
    walk(browser, desk)
    Agent.objects.update(last_heartbeat_at=timezone.now() - timezone.timedelta(hours=1))

    page = text(browser.get(url(desk, "review")))

    assert "is connected now" in page
    assert answer(browser, desk, "review", go="create").status_code == 302


def test_a_cluster_that_closes_between_steps_is_told_and_nothing_is_created(browser, desk):
    walk(browser, desk)
    Cluster.objects.update(open_to_all=False)

    assert "is no longer open to your organization" in text(browser.get(url(desk, "review")))
    assert answer(browser, desk, "review", go="create").status_code == 422
    assert not ProductPublish.objects.exists()


def test_the_review_shows_routes_with_hosts_the_diff_and_conflicts(browser, desk):
    other = ProductPublishFactory(
        organization=desk.organization,
        product=desk.product,
        cluster=desk.cluster,
        gateway=desk.gateway,
        environment="stage",
        hostname_base="api.example.com",
        published=True,
    )
    walk(browser, desk)

    page = browser.get(url(desk, "review"))

    service = desk.product.services.get()
    assert f"api.example.com{service.base_path}/*" in text(page)
    assert 'class="add" data-s="+"' in page.content.decode()
    assert "Publishing it now would be refused." in text(page)
    assert f"/provider/publishes/{other.pk}" in page.content.decode()


def test_two_tabs_the_older_one_is_told_and_keeps_what_was_typed(browser, desk):
    walk(browser, desk)
    old = hidden(browser.get(url(desk, "settings")))
    answer(browser, desk, "settings", **TYPED | {"hostname_base": "theirs.example.com"})

    response = browser.post(url(desk), old | TYPED | {"hostname_base": "mine.example.com"})

    assert response.status_code == 409
    page = response.content.decode()
    assert 'value="mine.example.com"' in page
    assert "changed in another tab" in text(response)
    assert PublishDraft.objects.get().data["hostname_base"] == "theirs.example.com"
    # A second click means it.
    again = browser.post(
        url(desk), hidden(response) | TYPED | {"hostname_base": "mine.example.com"}
    )
    assert again.status_code == 302
    assert PublishDraft.objects.get().data["hostname_base"] == "mine.example.com"


def test_create_clicked_twice_makes_one(browser, desk):
    walk(browser, desk)
    page = hidden(browser.get(url(desk, "review"))) | {"go": "create"}

    first, second = browser.post(url(desk), page), browser.post(url(desk), page)

    assert (first.status_code, second.status_code) == (302, 302)
    assert ProductPublish.objects.count() == 1
    assert "it became a publish" in text(browser.get(second["Location"]))


def test_discard(browser, desk):
    desk.fill()
    response = browser.post(url(desk) + "discard", follow=True)
    assert "The draft is discarded." in text(response)
    assert not PublishDraft.objects.exists()


def test_the_publishes_page_lists_drafts_to_go_on_with(browser, desk):
    desk.fill()
    page = browser.get("/provider/publishes").content.decode()
    assert url(desk) in page
    assert f"{url(desk)}discard" in page


def test_strangers_and_viewers(client, desk):
    client.force_login(UserFactory())
    assert client.get(url(desk)).status_code == 404
    assert client.post(url(desk)).status_code == 404
    client.force_login(UserFactory(member_of=desk.organization, role=Role.VIEWER))
    assert client.get(url(desk)).status_code == 403
    assert client.post(url(desk), {"step": "cluster"}).status_code == 403
    assert client.post(url(desk) + "discard").status_code == 403


@pytest.mark.parametrize("count", [10, 200])
def test_no_step_asks_more_for_many_rows(browser, desk, count, django_assert_max_num_queries):
    desk.fill()
    for _each in range(count - 1):
        AgentFactory(cluster=ClusterFactory(), live=True)
        GatewayFactory(organization=desk.organization)
    for step in ("cluster", "gateway", "settings", "review"):
        with django_assert_max_num_queries(12, info=step):
            assert browser.get(url(desk, step)).status_code == 200
    assert SETTINGS["environment"] == "prod"


# --- Many clusters ---------------------------------------------------------------------------------


@pytest.fixture
def many(desk):
    """Thirty more, so that the step has pages."""
    return [ClusterFactory(name=f"far-{number:02}", region="eu-west") for number in range(30)]


def names(response) -> list[str]:
    page = response.content.decode()
    return re.findall(r'ig-strong ig-wrap">([^<]+)<', page)


def test_clusters_come_in_pages(browser, desk, many):
    first = browser.get(url(desk, "cluster"))
    assert len(names(first)) == 10
    assert "1–10 of 31" in text(first)
    last = browser.get(url(desk, "cluster") + "&page=4")
    assert names(last) == ["far-29"]


def test_a_search_narrows_them(browser, desk, many):
    page = browser.get(url(desk, "cluster") + "&search=far-2")
    assert names(page) == [f"far-2{number}" for number in range(10)]
    page = browser.get(url(desk, "cluster") + "&search=nowhere")
    assert names(page) == []
    assert "matches “nowhere”" in text(page)
    assert names(browser.get(url(desk, "cluster") + "&search=%00")) == []


def test_the_ticked_one_stays_in_sight(browser, desk, many):
    ticked = f'value="{desk.cluster.pk}" checked'
    page = browser.get(url(desk, "cluster") + f"&search=far-2&cluster_id={desk.cluster.pk}")
    assert names(page)[0] == desk.cluster.name
    assert ticked in page.content.decode()

    answer(browser, desk, "cluster", cluster_id=str(desk.cluster.pk))
    page = browser.get(url(desk, "cluster") + "&page=3")
    assert ticked in page.content.decode()
    assert len(names(page)) == 11


def test_a_stranger_is_not_ticked_into_sight(browser, desk, many):
    closed = ClusterFactory(name="closed", open_to_all=False)
    page = browser.get(url(desk, "cluster") + f"&page=4&cluster_id={closed.pk}")
    assert names(page) == ["far-29"]
    assert browser.get(url(desk, "cluster") + "&cluster_id=nonsense").status_code == 200


def test_without_javascript_search_and_pages_keep_what_is_ticked(browser, desk, many):
    found = answer(browser, desk, "cluster", go="find", search="far-1", cluster_id=str(many[3].pk))
    assert found["Location"] == url(desk, "cluster") + "&search=far-1#clusters"
    assert f'value="{many[3].pk}" checked' in browser.get(found["Location"]).content.decode()

    turned = answer(browser, desk, "cluster", page="3", search="")
    assert turned["Location"] == url(desk, "cluster") + "&page=3#clusters"
    assert PublishDraft.objects.get().data["cluster_id"] == str(many[3].pk)


def test_looking_around_makes_no_draft(browser, desk, many):
    answer(browser, desk, "cluster", go="find", search="far")
    answer(browser, desk, "cluster", page="2")
    assert not PublishDraft.objects.exists()


def test_htmx_gets_the_clusters_alone(browser, desk, many):
    part = browser.get(url(desk, "cluster") + "&page=2", headers={"HX-Request": "true"})
    assert part.content.decode().strip().startswith('<div class="ig-g" id="clusters">')
    assert len(names(part)) == 10
