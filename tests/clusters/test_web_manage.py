from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Cluster
from tests.clusters.conftest import HTMX, LIST, text
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory

pytestmark = pytest.mark.django_db


FILLED = {
    "name": "kr-new",
    "region": "kr-central",
    "description": "Main",
    "cloud_provider": "AWS EKS",
    "labels_key": ["tier", ""],
    "labels_value": ["production", ""],
    "open_to_all": "True",
    "allowed_ports": "80, 8000 - 8999",
    "allowed_networks": "127.0.0.0/8\n10.0.0.0/8",
}


def test_form_full_page_and_for_whom(as_, member, viewer, stranger, cluster):
    for path in (f"{LIST}/new", f"{LIST}/{cluster.pk}/edit"):
        page = as_(member).get(path)
        assert page.status_code == 200
        assert "Kubernetes" in text(page)
        assert as_(viewer).get(path).status_code == 403
    assert as_(stranger).get(f"{LIST}/{cluster.pk}/edit").status_code == 404
    provider = UserFactory(member_of=OrganizationFactory(provider=True))
    assert as_(provider).get(f"{LIST}/new").status_code == 403


def test_register(as_, member, operator):
    response = as_(member).post(f"{LIST}/new", FILLED)

    cluster = Cluster.objects.get()
    assert response.status_code == 302
    assert response.url == f"{LIST}/{cluster.pk}"
    assert (cluster.name, cluster.organization) == ("kr-new", operator)
    assert cluster.labels == {"tier": "production"}
    assert cluster.allowed_ports == [80, 80, 8000, 8999]
    assert cluster.allowed_networks == ["10.0.0.0/8", "127.0.0.0/8"]


WRONG = [
    ({"name": "Foo_Bar"}, "not a valid name"),
    ({"name": "a" * 64}, "not a valid name"),
    ({"name": "kr-main"}, "already have a cluster named"),
    ({"name": ""}, "required"),
    ({"region": ""}, "required"),
    ({"allowed_ports": "80, many"}, "is not a port"),
    ({"allowed_networks": "10.0.0.1/8"}, "CIDR notation"),
    ({"labels_key": ["a b"], "labels_value": ["x"]}, "not a valid label key"),
    ({"labels_key": ["a", "a"], "labels_value": ["x", "y"]}, "is there twice"),
    ({"open_to_all": "perhaps"}, "valid choice"),
    ({"open_to": ["7"]}, "valid"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_register_says_what_is_wrong_and_keeps_what_was_typed(as_, member, cluster, wrong, said):
    response = as_(member).post(f"{LIST}/new", FILLED | wrong)

    assert response.status_code == 422
    assert said in text(response)
    page = response.content.decode()
    for value in (FILLED | wrong).values():
        if isinstance(value, str) and value not in {"", "True", "perhaps"}:
            assert value.replace("\n", " ") in page.replace("\n", " ")
    assert Cluster.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_label_rows_come_and_go_without_losing_input(as_, member, headers):
    client = as_(member)
    typed = FILLED | {"labels_key": ["tier", "team"], "labels_value": ["gold", "core"]}

    def rows(**button):
        page = client.post(f"{LIST}/new", typed | button, headers=headers)
        assert page.status_code == 200
        html = page.content.decode()
        assert ("<html" in html) is (not headers)
        assert headers or 'value="kr-new"' in html
        assert "ig-field-error" not in html
        return re.findall(r'name="labels_key" value="([^"]*)"', html)

    assert rows(add_label="1") == ["tier", "team", ""]
    assert rows(remove_label="0") == ["team"]
    assert rows(remove_label="9") == ["tier", "team"]
    assert rows(remove_label="x") == ["tier", "team"]
    assert not Cluster.objects.exists()


def test_edit_shows_what_is_there_and_saves(as_, member, operator):
    provider = OrganizationFactory(provider=True)
    cluster = ClusterFactory(
        organization=operator, labels={"a": "b"}, allowed_ports=[80, 80], open_to_all=False
    )
    client, path = as_(member), f"{LIST}/{cluster.pk}/edit"

    page = client.get(path).content.decode()
    assert f'value="{cluster.name}"' in page
    assert 'name="labels_key" value="a"' in page

    answer = client.post(path, FILLED | {"open_to_all": "False", "open_to": [str(provider.pk)]})
    assert answer.status_code == 302
    cluster.refresh_from_db()
    assert cluster.name == "kr-new"
    assert list(cluster.open_to.all()) == [provider]
    assert "settings are saved" in text(client.get(answer.url))


def test_edit_of_labels_keeps_the_page(as_, member, cluster):
    answer = as_(member).post(f"{LIST}/{cluster.pk}/edit", FILLED | {"add_label": "1"})
    assert answer.status_code == 200
    assert answer.content.decode().count('name="labels_key"') == 3


def test_enter_saves_and_never_removes_a_label(as_, member):
    page = as_(member).get(f"{LIST}/new").content.decode()
    form = page[page.index('id="cluster-form"') :]
    first = re.search(r"<button[^>]*>", form).group()
    assert "name=" not in first


@pytest.mark.parametrize("name", ["maintenance", "delete"])
def test_dialogs_page_partial_and_for_whom(as_, admin, viewer, stranger, cluster, name):
    path = f"{LIST}/{cluster.pk}/{name}"

    page = as_(admin).get(path)
    assert "<html" in page.content.decode()
    assert "kr-main" in text(page)
    partial = as_(admin).get(path, headers=HTMX).content.decode()
    assert partial.lstrip().startswith("<dialog")
    assert "data-ig-open" in partial

    for method in ("get", "post"):
        assert getattr(as_(viewer), method)(path).status_code == 403
        assert getattr(as_(stranger), method)(path).status_code == 404


def test_maintenance_by_the_dialog(as_, member, cluster):
    client, path = as_(member), f"{LIST}/{cluster.pk}/maintenance"

    answer = client.post(path, {"reason": "Kernel", "lasts": "3600"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == f"{LIST}/{cluster.pk}"
    cluster.refresh_from_db()
    left = cluster.maintenance_until - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert cluster.maintenance_reason == "Kernel"

    assert client.post(path, {"end": "1"}).status_code == 302
    cluster.refresh_from_db()
    assert not cluster.maintained


@pytest.mark.parametrize("wrong", [{"lasts": "7"}, {"lasts": "0", "reason": "x" * 301}])
def test_maintenance_that_makes_no_sense(as_, member, cluster, wrong):
    answer = as_(member).post(f"{LIST}/{cluster.pk}/maintenance", wrong, headers=HTMX)
    assert answer.status_code == 422
    assert "<dialog" in answer.content.decode()
    cluster.refresh_from_db()
    assert not cluster.maintained


def test_changing_the_reason_of_a_maintenance_keeps_its_end(as_, member, cluster):
    client, path = as_(member), f"{LIST}/{cluster.pk}/maintenance"
    client.post(path, {"reason": "Kernel", "lasts": "3600"})
    end = Cluster.objects.get(pk=cluster.pk).maintenance_until

    assert "As planned: by itself in 59 min" in text(client.get(path))
    client.post(path, {"reason": "Kernel and disks", "lasts": "-1"})

    cluster.refresh_from_db()
    assert (cluster.maintenance_until, cluster.maintenance_reason) == (end, "Kernel and disks")


def test_an_end_that_is_not_planned_cannot_be_kept(as_, member, cluster):
    answer = as_(member).post(f"{LIST}/{cluster.pk}/maintenance", {"lasts": "-1"})
    assert answer.status_code == 422
    assert "This end is past or changed" in text(answer)


def test_two_people_do_not_overwrite_each_others_maintenance(as_, member, cluster):
    client, path = as_(member), f"{LIST}/{cluster.pk}/maintenance"
    seen = re.search(r'name="seen" value="([^"]+)"', client.get(path).content.decode())[1]
    client.post(path, {"reason": "Theirs", "lasts": "0"})

    answer = client.post(path, {"reason": "Mine", "lasts": "0", "seen": seen})

    assert answer.status_code == 422
    assert "Reason: Theirs" in text(answer)
    assert 'value="Mine"' in answer.content.decode()
    cluster.refresh_from_db()
    assert cluster.maintenance_reason == "Theirs"


def test_delete_asks_for_the_name(as_, admin, operator):
    cluster = ClusterFactory(organization=operator, name="kr-old")
    client, path = as_(admin), f"{LIST}/{cluster.pk}/delete"

    wrong = client.post(path, {"name": "kr-new"}, headers=HTMX)
    assert wrong.status_code == 422
    assert "kr-new" in wrong.content.decode()
    assert Cluster.objects.exists()

    answer = client.post(path, {"name": "kr-old"}, headers=HTMX)
    assert answer.headers["HX-Redirect"] == LIST
    assert not Cluster.objects.exists()
    assert "kr-old is deleted" in text(client.get(LIST))


def test_delete_lists_what_is_in_the_way(as_, admin, cluster, publish_on):
    publish = publish_on(cluster)
    client, path = as_(admin), f"{LIST}/{cluster.pk}/delete"

    words = text(client.get(path))
    assert cluster.agents.get().name in words
    assert publish.product.name in words
    assert "Delete cluster" not in words
    live = publish_on(cluster, product="User API", status="PUBLISHED")
    page = client.get(path).content.decode()
    assert f"/operator/publishes/{live.pk}" in page
    assert f"/operator/agents/{cluster.agents.get().pk}/revoke" in page
    # Nothing of it was ever sent to the cluster: it is its provider's alone.
    assert f"/operator/publishes/{publish.pk}" not in page

    answer = client.post(path, {"name": "kr-main"})
    assert answer.status_code == 422
    assert Cluster.objects.exists()


def test_a_long_list_of_what_is_in_the_way_is_cut(as_, admin, operator, publish_on):
    cluster = ClusterFactory(organization=operator)
    AgentFactory.create_batch(12, cluster=cluster, live=True)
    for number in range(11):
        publish_on(cluster, product=f"API {number}", provider=OrganizationFactory(provider=True))
    words = text(as_(admin).get(f"{LIST}/{cluster.pk}/delete"))
    assert "and 2 more agents" in words
    assert "and 1 more publish " in words


def test_delete_refused_by_a_withdrawn_publish_says_so(as_, admin, operator, publish_on):
    cluster = ClusterFactory(organization=operator)
    publish = publish_on(cluster, status="WITHDRAWN")
    answer = as_(admin).post(f"{LIST}/{cluster.pk}/delete", {"name": cluster.name})
    assert answer.status_code == 422
    assert f"still in use: {publish}" in text(answer)


def test_member_may_not_delete(as_, member, cluster):
    assert as_(member).get(f"{LIST}/{cluster.pk}/delete").status_code == 403


# --- the name while it is typed ------------------------------------------------------------


def test_the_name_is_checked_while_it_is_typed(as_, member, cluster):
    client = as_(member)

    def said(name, **more):
        return text(client.get(f"{LIST}/check-name", {"name": name, **more}))

    assert "kr-new is free." in said("kr-new")
    assert "You already have a cluster named kr-main" in said("kr-main")
    assert "kr-main is free." in said("kr-main", cluster=cluster.pk)
    assert "the Kubernetes rule" in said("KR_Main")
    assert "the Kubernetes rule" in said("")


def test_checking_a_name_tells_nothing_of_strangers(as_, stranger, cluster):
    client = as_(stranger)
    assert "kr-main is free." in text(client.get(f"{LIST}/check-name", {"name": "kr-main"}))
    for pk in (cluster.pk, "nonsense"):
        asked = {"name": "x", "cluster": pk}
        assert client.get(f"{LIST}/check-name", asked).status_code == 404


# --- maintenance is told to those concerned ------------------------------------------------------


def test_providers_with_something_here_are_told(as_, member, cluster, publish_on):
    concerned = publish_on(cluster, status="PUBLISHED").organization
    gone = publish_on(cluster, status="WITHDRAWN").organization
    elsewhere = OrganizationFactory(provider=True)
    client = as_(member)

    client.post(f"{LIST}/{cluster.pk}/maintenance", {"reason": "Kernel", "lasts": "3600"})

    notice = concerned.notices.get()
    assert notice.words.startswith("kr-main is in maintenance (Kernel)")
    assert notice.until is not None
    assert not gone.notices.exists()
    assert not elsewhere.notices.exists()

    client.force_login(UserFactory(member_of=concerned))
    assert "kr-main is in maintenance (Kernel)" in text(client.get("/account/tokens"))

    client.force_login(member)
    client.post(f"{LIST}/{cluster.pk}/maintenance", {"end": "1"})
    assert concerned.notices.get().over


# --- two editors ------------------------------------------------------------


def test_two_editors_do_not_overwrite_each_other(as_, member, cluster):
    client, url = as_(member), f"{LIST}/{cluster.pk}/edit"
    version = re.search(r'name="seen" value="([^"]+)"', client.get(url).content.decode())[1]
    mine = FILLED | {"name": "kr-main", "seen": version}
    assert client.post(url, mine | {"description": "Theirs"}).status_code == 302

    answer = client.post(url, mine | {"description": "Mine"})

    words = text(answer)
    assert answer.status_code == 422
    assert "Somebody else changed this meanwhile" in words
    assert "Description: Theirs" in words
    assert "Labels" not in words.partition("What you typed is below")[0]
    page = answer.content.decode()
    assert 'value="Mine"' in page
    cluster.refresh_from_db()
    assert cluster.description == "Theirs"

    again = re.search(r'name="seen" value="([^"]+)"', page)[1]
    assert client.post(url, mine | {"description": "Mine", "seen": again}).status_code == 302
    cluster.refresh_from_db()
    assert cluster.description == "Mine"


def test_what_somebody_else_stored_is_told_in_words(as_, member, cluster):
    provider = OrganizationFactory(provider=True, name="Payments")
    client, url = as_(member), f"{LIST}/{cluster.pk}/edit"
    seen = re.search(r'name="seen" value="([^"]+)"', client.get(url).content.decode())[1]
    theirs = {"open_to_all": "False", "open_to": str(provider.pk), "labels_value": ["test", ""]}
    assert client.post(url, FILLED | {"name": "kr-main"} | theirs).status_code == 302

    words = text(client.post(url, FILLED | {"name": "kr-main", "seen": seen}))

    assert "Labels: tier=test" in words
    assert "Who may publish here?: Only the providers I name" in words
    assert "Named providers: Payments" in words


def test_adding_a_label_is_no_look_at_what_others_stored(as_, member, cluster):
    """Without JavaScript, the whole page comes back."""
    client, url = as_(member), f"{LIST}/{cluster.pk}/edit"
    answer = client.post(url, FILLED | {"seen": "1.000000", "add_label": "1"})
    assert 'name="seen" value="1.000000"' in answer.content.decode()
