"""One answer for all who ask for the same at the same moment, and never an old one."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIRequestFactory

from accounts.authentication import SessionAuthentication
from accounts.middleware import OrganizationMiddleware
from accounts.models import Role
from clusters.api.views import ClusterViewSet
from clusters.models import HEARTBEAT_WINDOW
from clusters.services import clusters
from clusters.services.lapses import announce_lapsed
from clusters.views import browse
from core import answers
from core.htmx import shared_page
from tests.factories.accounts import MembershipFactory, OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory

pytestmark = pytest.mark.django_db(transaction=True)
PAGE, API = "/operator/clusters", "/api/v1/operator/clusters"


@pytest.fixture
def operator():
    return OrganizationFactory(operator=True)


@pytest.fixture
def cluster(operator):
    return ClusterFactory(organization=operator, name="kr-main", active=True)


def member(organization, role=Role.MEMBER, **of) -> Client:
    client = Client()
    client.force_login(UserFactory(member_of=organization, role=role, **of))
    client.get("/notices")  # whatever is written once for a session
    return client


def read(client: Client, path: str = PAGE, **headers: str) -> tuple[str, bool]:
    """What it answered, and whether it looked at the clusters for that."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode(), any("clusters_cluster" in each["sql"] for each in asked)


@pytest.mark.parametrize("path", [PAGE, API])
def test_colleagues_are_answered_once(operator, cluster, path):
    one, other = member(operator), member(operator)

    assert read(one, path)[1]
    again, looked = read(other, path)

    assert "kr-main" in again
    assert not looked


@pytest.mark.parametrize("path", [PAGE, API])
def test_a_commit_is_seen_at_once(operator, cluster, path):
    reader = member(operator)
    read(reader, path)

    cluster.description = "The new one"
    cluster.save()

    assert "The new one" in read(reader, path)[0]


def test_a_transaction_sees_its_own_writes(operator, cluster):
    reader = member(operator)
    read(reader)

    with transaction.atomic():
        cluster.description = "Not committed"
        cluster.save()
        inside, _looked = read(reader)
        transaction.set_rollback(True)

    assert "Not committed" in inside
    assert "Not committed" not in read(reader)[0]


def test_a_commit_while_it_is_made_is_not_hidden(operator, cluster):
    request = RequestFactory().get("/")

    def make() -> str:
        OrganizationFactory()  # somebody commits meanwhile
        return "old"

    assert answers.shared(request, ("here",), make) == "old"
    assert answers.shared(RequestFactory().get("/"), ("here",), lambda: "new") == "new"


def test_what_a_commit_overtook_is_for_its_reader_alone(operator):
    """Not even for who asked before the commit, too: they may be no colleagues any more."""
    one, other = RequestFactory().get("/"), RequestFactory().get("/")
    other.snapshot = answers._snapshot(one)

    def make() -> str:
        OrganizationFactory()
        return "of one"

    assert answers.shared(one, ("here",), make) == "of one"
    assert answers.shared(other, ("here",), lambda: "of the other") == "of the other"


@pytest.mark.parametrize("path", [PAGE, API])
def test_other_roles_organizations_and_languages_get_their_own(operator, cluster, path):
    one, viewer, korean = (
        member(operator),
        member(operator, Role.VIEWER),
        member(operator, locale="ko"),
    )
    stranger = member(OrganizationFactory(operator=True))
    read(one, path)

    assert read(viewer, path)[1]
    assert read(korean, path)[1]
    assert "kr-main" not in read(stranger, path)[0]
    assert not read(one, path)[1]  # nothing was committed


def test_roles_do_not_matter_where_a_page_says_so(operator, cluster):
    AgentFactory(cluster=cluster, live=True)
    one, viewer = member(operator), member(operator, Role.VIEWER)
    read(one, "/operator/agents")

    assert not read(viewer, "/operator/agents")[1]


def test_whoever_works_elsewhere_too_is_no_colleague(operator, cluster):
    of_two = UserFactory(member_of=operator)
    MembershipFactory(user=of_two, organization=OrganizationFactory(operator=True, name="zz"))
    client, one = Client(), member(operator)
    client.force_login(of_two)
    read(one)

    assert read(client)[1]
    assert not read(one)[1]  # nothing was committed


def test_a_membership_that_ended_ends_at_once(operator, cluster):
    leaver = member(operator)
    assert "kr-main" in read(leaver)[0]

    operator.memberships.all().delete()

    assert "kr-main" not in read(leaver)[0]


def test_a_reload_past_all_caches_looks_again(operator, cluster):
    reader = member(operator)
    read(reader)

    assert not read(reader)[1]
    assert read(reader, **{"Cache-Control": "no-cache"})[1]


def test_what_only_the_clock_changed_is_not_answered_as_before(operator, cluster):
    reader = member(operator)
    agent = AgentFactory(cluster=cluster, live=True)
    read(reader)
    lapse = agent.last_heartbeat_at + HEARTBEAT_WINDOW

    announce_lapsed(after=lapse - timedelta(seconds=1), until=lapse + timedelta(seconds=1))

    assert read(reader)[1]


def test_what_one_reader_writes_the_other_reads(operator, cluster):
    admin = UserFactory(member_of=operator, role=Role.ADMIN)
    reader = member(operator)
    read(reader)

    clusters.set_maintenance(actor=admin, cluster_id=cluster.pk, enabled=True, reason="New disks")

    assert "New disks" in read(reader)[0]


def test_the_parts_that_htmx_asks_for_are_not_the_page(operator, cluster):
    reader = member(operator)
    page, _looked = read(reader)
    part, _looked = read(reader, **{"HX-Request": "true"})

    assert "<html" in page
    assert part.lstrip().startswith('<div class="ig-stack" id="cluster-rows"')


def test_nothing_of_one_reader_gets_into_what_is_shared():
    """A form has the CSRF token of a session."""

    @shared_page("catalog/services/import.html", "import-form")
    def personal(request) -> dict:
        return {}

    request = RequestFactory().get("/")
    request.htmx = SimpleNamespace(boosted=False, history_restore_request=False)
    request.standing, request.user, request.organization = (None, []), UserFactory(), None

    with pytest.raises(RuntimeError, match="one reader's own"):
        personal(request)


def test_who_leaves_while_asking_does_not_answer_for_those_who_stay(operator, cluster):
    """What is made after the membership ended is not given to those who have it still."""
    leaver, stayer = UserFactory(member_of=operator), member(operator)

    def late(request):
        leaver.memberships.all().delete()
        return browse.clusters(request)

    request = RequestFactory().get(PAGE)
    request.user, request.session, request.htmx = leaver, {}, False
    answer = OrganizationMiddleware(late)(request)

    assert "kr-main" not in answer.content.decode()
    assert "kr-main" in read(stayer)[0]


def test_who_joins_while_asking_does_not_answer_for_those_outside(operator, cluster):
    joiner, outsider = UserFactory(), Client()
    outsider.force_login(UserFactory())

    class Late(ClusterViewSet):
        def initial(self, request, *args, **kwargs):
            super().initial(request, *args, **kwargs)
            MembershipFactory(user=joiner, organization=operator)

    request = APIRequestFactory().get(API)
    request.user, request.session = joiner, {}
    answer = Late.as_view({"get": "list"}, authentication_classes=[SessionAuthentication])(request)

    assert "kr-main" in answer.render().content.decode()
    assert "kr-main" not in read(outsider, API)[0]
