"""What would be published, what was, and who notices."""

from __future__ import annotations

from uuid import uuid4

import pytest

from accounts.models import Role
from clusters.models import Cluster
from publishing.differences import Change
from publishing.models import ProductPublish, PublishRevision
from publishing.services import revisions
from publishing.states import Status
from tests.factories.accounts import UserFactory
from tests.factories.catalog import ApiServiceFactory, RouteFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.subscriptions import ApplicationFactory, PlanFactory, SubscriptionFactory
from tests.publishing.stage import Stage
from tests.publishing.test_api import client_of, data, error, path_of

pytestmark = pytest.mark.django_db


# --- What is not published yet -----------------------------------------------------------------------


def test_nothing_is_pending_while_the_gateways_serve_what_is_defined():
    stage = Stage()
    stage.serve()
    assert revisions.pending(stage.fresh()) is None
    assert revisions.unpublished([stage.fresh()]) == set()


def test_a_changed_route_is_pending_until_it_is_published():
    stage = Stage()
    stage.serve()
    stage.change()
    found = revisions.pending(stage.fresh())
    assert found is not None
    [difference] = found.comparison.differences
    assert (difference.section, [each.name for each in difference.fields]) == (
        "routes",
        ["timeout_ms"],
    )
    assert found.baseline == stage.fresh().live_revision
    assert revisions.unpublished([stage.fresh()]) == {stage.publish.pk}

    stage.serve()
    assert revisions.pending(stage.fresh()) is None
    assert revisions.unpublished([stage.fresh()]) == set()


def test_of_a_draft_everything_is_pending_and_lists_do_not_mark_it():
    stage = Stage()
    found = revisions.pending(stage.publish)
    assert found is not None
    assert found.baseline is None
    assert {each.change for each in found.comparison.differences} == {Change.ADDED}
    assert revisions.unpublished([stage.publish]) == set()


def test_what_is_on_its_way_is_not_unpublished():
    stage = Stage()
    stage.serve()
    stage.change()
    stage.click()
    assert revisions.unpublished([stage.fresh()]) == set()
    assert revisions.pending(stage.fresh()) is not None  # compared with what is live


def test_a_list_asks_as_much_for_many_as_for_one(django_assert_num_queries):
    many = [ProductPublishFactory(published=True) for _each in range(6)]
    changed = many[2].product.services.get().routes.get()
    changed.timeout_ms += 1
    changed.save()
    rows = list(ProductPublish.objects.all())
    with django_assert_num_queries(3):
        assert revisions.unpublished(rows) == {many[2].pk}
    with django_assert_num_queries(0):
        assert revisions.unpublished([]) == set()


# --- Who notices -------------------------------------------------------------------------------------


def test_affected_are_those_who_may_call():
    stage = Stage(agent_count=2)
    plan, application = PlanFactory(publish=stage.publish), ApplicationFactory()
    SubscriptionFactory(plan=plan, application=application)
    SubscriptionFactory(plan=plan)
    SubscriptionFactory(plan=plan, pending=True)
    assert revisions.affected(stage.publish) == revisions.Affected(2, 2, 2)


# --- Why it would be refused -------------------------------------------------------------------------


def test_a_refusal_is_foretold_and_nothing_is_locked_or_written():
    stage = Stage()
    assert revisions.refusal(stage.publish, actor=stage.user) is None
    other = Stage(settings={"cluster": stage.cluster})
    other.publish.hostname_base = stage.publish.hostname_base
    other.publish.save()
    other.click()
    found = revisions.refusal(stage.publish, actor=stage.user)
    assert found is not None
    assert (found.code, stage.publish.deployments.count()) == ("host_taken", 0)
    Cluster.objects.update(allowed_ports=[9999, 9999])
    found = revisions.refusal(stage.fresh(), actor=stage.user)
    assert found is not None
    assert found.code == "port_not_allowed"


def test_what_is_live_already_is_refused():
    stage = Stage()
    stage.serve()
    found = revisions.refusal(stage.fresh(), actor=stage.user)
    assert found is not None
    assert found.code == "nothing_to_publish"


# --- Over REST ---------------------------------------------------------------------------------------


def test_changes_over_rest():
    stage = Stage()
    api = client_of(stage.user)
    draft = data(api.get(path_of(stage, "changes")))
    assert (draft["pending"], draft["compared_with"], draft["refusal"]) == (True, None, None)
    assert draft["comparison"]["added"] > 0
    stage.serve()
    same = data(api.get(path_of(stage, "changes")))
    assert (same["pending"], same["comparison"], same["digest"]) == (False, None, None)
    stage.change()
    changed = data(api.get(path_of(stage, "changes")))
    assert changed["compared_with"]["number"] == 1
    assert changed["affected"] == {"subscriptions": 0, "applications": 0, "agents": 1}
    [difference] = changed["comparison"]["differences"]
    route = stage.publish.product.services.get().routes.get()
    assert difference == {
        "section": "routes",
        "change": "changed",
        "id": str(route.pk),
        "name": f"GET, POST {route.service.base_path}",
        "service": route.service.name,
        "fields": [
            {"name": "timeout_ms", "before": route.timeout_ms - 1, "after": route.timeout_ms}
        ],
    }


def test_changes_say_why_they_would_be_refused():
    stage = Stage()
    stage.serve()
    ApiServiceFactory(organization=stage.publish.organization).products.add(stage.publish.product)
    refusal = data(client_of(stage.user).get(path_of(stage, "changes")))["refusal"]
    assert refusal["code"] == "no_routes"
    assert refusal["message"]


def test_revisions_are_compared_with_what_is_live_or_with_another():
    stage = Stage()
    api = client_of(stage.user)
    stage.serve()
    RouteFactory(service=stage.publish.product.services.get(), path="/more")
    stage.serve()

    back = data(api.get(path_of(stage, "revisions", "1", "compare")))
    assert (back["before"]["number"], back["after"]["number"]) == (2, 1)
    assert (back["comparison"]["removed"], back["comparison"]["added"]) == (1, 0)
    forth = data(api.get(path_of(stage, "revisions", "2", "compare"), {"with": "1"}))
    assert (forth["before"]["number"], forth["comparison"]["added"]) == (1, 1)
    same = data(api.get(path_of(stage, "revisions", "2", "compare")))
    assert same["comparison"]["differences"] == []


def test_with_nothing_live_a_revision_is_compared_with_nothing():
    stage = Stage()
    stage.serve()
    stage.withdraw()
    stage.dispatch()
    stage.say("applied")
    assert stage.fresh().status == Status.WITHDRAWN
    found = data(client_of(stage.user).get(path_of(stage, "revisions", "1", "compare")))
    assert found["before"] is None
    assert found["comparison"]["removed"] == 0


def test_revisions_that_do_not_exist_and_numbers_that_are_none():
    stage = Stage()
    stage.serve()
    api = client_of(stage.user)
    error(api.get(path_of(stage, "revisions", "2", "compare")), 404)
    error(api.get(path_of(stage, "revisions", "9" * 30, "compare")), 404)
    error(api.get(path_of(stage, "revisions", "1", "compare"), {"with": "9"}), 404)
    for nonsense in ("x", "-1", "²", "9" * 30, ""):
        answer = api.get(path_of(stage, "revisions", "1", "compare"), {"with": nonsense})
        assert "with" in error(answer, 400)["details"]
    assert PublishRevision.objects.count() == 1


def test_changes_and_comparisons_are_for_those_who_see_the_publish():
    stage = Stage()
    stage.serve()
    viewer = client_of(UserFactory(member_of=stage.publish.organization, role=Role.VIEWER))
    stranger = client_of(UserFactory())
    for parts in (("changes",), ("revisions", "1", "compare")):
        data(viewer.get(path_of(stage, *parts)))
        error(stranger.get(path_of(stage, *parts)), 404)
        error(viewer.get(path_of(stage, *parts).replace(str(stage.publish.pk), str(uuid4()))), 404)
