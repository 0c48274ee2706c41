"""Access entries: versions, pages, tombstones, and whoever lost the thread."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from google.protobuf import json_format

from clusters.models import ClusterState
from core.errors import Gone
from subscriptions.models import AccessEntry, Credential, Plan
from subscriptions.services import access, credentials, pages, subscriptions, upkeep
from tests.factories.accounts import UserFactory
from tests.factories.clusters import AgentFactory, ClusterFactory
from tests.factories.subscriptions import (
    AccessEntryFactory,
    CredentialFactory,
    PlanFactory,
    SubscriptionFactory,
)

LONG_AGO = timedelta(days=31)


@pytest.fixture
def cluster(db):
    return ClusterFactory()


@pytest.fixture
def agent(cluster):
    return AgentFactory(cluster=cluster, live=True)


def at(cluster, version):
    """The cluster has come to this version."""
    ClusterState.objects.filter(cluster=cluster).update(access_version=version)


class Reader:
    """Reads as an agent does: keeps what it is told, and where to go on."""

    def __init__(self, agent, limit=5000):
        self.agent, self.limit = agent, limit
        self.known, self.cursor, self.pages = {}, ("", 0, ""), []

    def page(self):
        lineage, version, entry = self.cursor
        found = access.access_page(
            agent=self.agent,
            lineage=lineage,
            after_version=version,
            after_id=entry,
            limit=self.limit,
        )
        if found["full"]:
            self.known = {}
        for row in found["entries"]:
            if row["deleted"]:
                self.known.pop(row["id"], None)
            else:
                self.known[row["id"]] = row
        self.cursor = (found["lineage"], found["next_version"], found["next_id"])
        self.pages.append(found)
        return found

    def read(self):
        while self.page()["more"]:
            pass
        return self.known


# --- Reading ---------------------------------------------------------------------------------------


def test_an_empty_cluster_answers_with_an_empty_full_read(agent):
    page = Reader(agent).page()
    assert (page["full"], page["more"], page["entries"], page["version"]) == (True, False, [], 0)
    assert page["lineage"] == str(agent.cluster.state.lineage)


def test_a_page_is_the_wires_message(agent, cluster):
    key = AccessEntryFactory(cluster=cluster, version=1, suspended=True)
    plan = AccessEntryFactory(cluster=cluster, version=2, plan=True, rate_per_minute=60)
    at(cluster, 2)
    from agents.wire import bundle_pb2

    page = Reader(agent).page()
    message = json_format.Parse(json.dumps(page), bundle_pb2.AccessPage())

    assert [entry.id for entry in message.entries] == [str(key.pk), str(plan.pk)]
    assert (message.entries[0].digest, message.entries[0].suspended) == (key.digest, True)
    assert (message.entries[1].kind, message.entries[1].rate_per_minute) == ("plan", 60)
    assert (message.entries[1].subscription_id, message.entries[1].deleted) == ("", False)
    assert (message.version, message.full, message.more) == (2, True, False)


def test_after_a_full_read_only_news_come(agent, cluster):
    AccessEntryFactory(cluster=cluster, version=1)
    at(cluster, 1)
    reader = Reader(agent)
    reader.read()

    assert reader.page()["entries"] == []
    news = AccessEntryFactory(cluster=cluster, version=2)
    AccessEntryFactory(version=2)  # of another cluster
    at(cluster, 2)
    page = reader.page()
    assert ([row["id"] for row in page["entries"]], page["full"]) == ([str(news.pk)], False)


def test_twelve_thousand_entries_in_three_pages(agent, cluster):
    AccessEntry.objects.bulk_create(
        AccessEntryFactory.build_batch(12_000, cluster=cluster, version=7), batch_size=2000
    )
    AccessEntryFactory(cluster=cluster, version=3)
    at(cluster, 7)
    reader = Reader(agent)

    started = time.perf_counter()
    known = reader.read()
    seconds = time.perf_counter() - started

    assert len(known) == 12_001
    assert [len(page["entries"]) for page in reader.pages] == [5000, 5000, 2001]
    assert [page["full"] for page in reader.pages] == [True, False, False]
    told = [(row["version"], row["id"]) for page in reader.pages for row in page["entries"]]
    assert told == sorted(told)
    assert seconds < 5
    assert reader.page()["entries"] == []


@pytest.mark.parametrize("limit", [0, -5, 1, 6000])
def test_a_page_has_at_least_one_and_at_most_five_thousand(agent, cluster, limit):
    AccessEntryFactory.create_batch(2, cluster=cluster, version=1)
    at(cluster, 1)
    reader = Reader(agent, limit=limit)
    assert len(reader.page()["entries"]) == (2 if limit == 6000 else 1)
    assert len(reader.read()) == 2


def test_a_full_read_leaves_tombstones_out_and_later_reads_tell_them(agent, cluster):
    AccessEntryFactory(cluster=cluster, version=1, buried=True)
    key = AccessEntryFactory(cluster=cluster, version=2)
    at(cluster, 2)
    reader = Reader(agent)
    assert list(reader.read()) == [str(key.pk)]

    AccessEntry.objects.filter(pk=key.pk).update(version=3, deleted_at=timezone.now())
    at(cluster, 3)
    assert reader.read() == {}
    assert reader.pages[-1]["entries"][0]["deleted"] is True


def test_what_changes_while_a_full_read_is_under_way_is_not_missed(agent, cluster):
    early, middle, late = (AccessEntryFactory(cluster=cluster, version=n) for n in (1, 2, 3))
    AccessEntryFactory(cluster=cluster, version=4, buried=True)
    at(cluster, 4)
    reader = Reader(agent, limit=1)
    reader.page()

    AccessEntry.objects.filter(pk=early.pk).update(version=5, deleted_at=timezone.now())
    AccessEntry.objects.filter(pk=late.pk).update(version=6, suspended=True)
    at(cluster, 6)
    known = reader.read()

    assert set(known) == {str(middle.pk), str(late.pk)}
    assert known[str(late.pk)]["suspended"] is True
    # What was buried before the read began is not this reader's business.
    assert sum(row["deleted"] for page in reader.pages for row in page["entries"]) == 1


@pytest.mark.parametrize("version", [0, "", "0"])
def test_an_empty_cursor_in_any_spelling_is_a_full_read(agent, version):
    lineage = str(agent.cluster.state.lineage)
    page = access.access_page(agent=agent, lineage=lineage, after_version=version, after_id="")
    assert page["full"] is True


# --- Whoever lost the thread -----------------------------------------------------------------------


def gone(agent, lineage, version, entry):
    with pytest.raises(Gone) as refusal:
        access.access_page(agent=agent, lineage=lineage, after_version=version, after_id=entry)
    assert (refusal.value.status, refusal.value.code) == (410, "cursor_gone")


def test_another_lineage_is_gone(agent):
    other = str(uuid.uuid4())
    gone(agent, other, 0, "")
    gone(agent, other, 1, str(uuid.uuid4()))
    gone(agent, "nonsense", 0, "")


def test_a_cursor_from_the_future_is_gone(agent, cluster):
    at(cluster, 5)
    gone(agent, str(cluster.state.lineage), 6, str(uuid.uuid4()))


@pytest.mark.parametrize(
    ("version", "entry"),
    [
        (1, ""), (1, "nonsense"), (0, "nonsense"), (-1, str(uuid.UUID(int=1))), ("x", str(uuid.UUID(int=1))),
        (10**30, str(uuid.UUID(int=1))), (1, "x~" + str(uuid.UUID(int=1))), (1, "~"), (1, "x" * 300_000),
        (1, "\x00"),
    ],
)  # fmt: skip
def test_what_is_no_cursor_of_ours_is_gone(agent, cluster, version, entry):
    at(cluster, 5)
    gone(agent, str(cluster.state.lineage), version, entry)


def test_a_cursor_without_its_lineage_is_gone(agent, cluster):
    at(cluster, 5)
    gone(agent, "", 3, str(uuid.uuid4()))


def test_a_cursor_older_than_an_expired_tombstone_is_gone(agent, cluster):
    key = AccessEntryFactory(cluster=cluster, version=1)
    at(cluster, 1)
    reader = Reader(agent)
    reader.read()
    AccessEntry.objects.filter(pk=key.pk).update(version=2, deleted_at=timezone.now() - LONG_AGO)
    at(cluster, 2)

    with pytest.raises(Gone):
        reader.page()
    reader.cursor = ("", 0, "")
    assert reader.read() == {}
    assert reader.page()["entries"] == []  # and from here on all is well


def test_a_full_read_may_walk_past_expired_tombstones(agent, cluster):
    for version in range(1, 6):
        AccessEntryFactory(cluster=cluster, version=version)
    AccessEntryFactory(cluster=cluster, version=4, deleted_at=timezone.now() - LONG_AGO)
    at(cluster, 5)
    reader = Reader(agent, limit=2)
    assert len(reader.read()) == 5
    assert reader.page()["entries"] == []


def test_a_full_read_that_was_left_for_a_month_starts_anew(agent, cluster):
    keys = [AccessEntryFactory(cluster=cluster, version=version) for version in (1, 2, 3)]
    at(cluster, 3)
    reader = Reader(agent, limit=1)
    reader.page()
    AccessEntry.objects.filter(pk=keys[0].pk).update(
        version=4, deleted_at=timezone.now() - LONG_AGO
    )
    at(cluster, 4)
    with pytest.raises(Gone):
        reader.page()


def test_other_clusters_tombstones_do_not_matter(agent, cluster):
    AccessEntryFactory(version=90, deleted_at=timezone.now() - LONG_AGO)
    AccessEntryFactory(cluster=cluster, version=1)
    at(cluster, 1)
    reader = Reader(agent)
    reader.read()
    assert reader.page()["entries"] == []


# --- Keeping house ---------------------------------------------------------------------------------


def test_expired_tombstones_go_but_the_newest_marks_the_limit(agent, cluster):
    old = timezone.now() - LONG_AGO
    for version in (1, 2, 3):
        AccessEntryFactory(cluster=cluster, version=version, deleted_at=old)
    AccessEntryFactory(cluster=cluster, version=4, buried=True)
    AccessEntryFactory(cluster=cluster, version=5)
    other = AccessEntryFactory(version=1, deleted_at=old)
    at(cluster, 5)

    assert pages.purge() == 2

    assert set(cluster.access_entries.values_list("version", flat=True)) == {3, 4, 5}
    assert AccessEntry.objects.filter(pk=other.pk).exists()
    gone(agent, str(cluster.state.lineage), 2, str(pages.LAST_ID))
    assert pages.purge() == 0


def test_limits_of_plans_that_went_with_their_publish_are_buried(cluster):
    plan = PlanFactory()
    access.put_plan(plan)
    Plan.objects.filter(pk=plan.pk).delete()
    living = PlanFactory()
    access.put_plan(living)

    upkeep.keep_house()

    assert AccessEntry.objects.get(pk=plan.pk).deleted_at is not None
    assert AccessEntry.objects.get(pk=living.pk).deleted_at is None


# --- Writing ---------------------------------------------------------------------------------------


def test_ten_thousand_keys_change_at_one_version_and_fast(db):
    subscription = SubscriptionFactory()
    keys = CredentialFactory.build_batch(10_000, subscription=subscription)
    Credential.objects.bulk_create(keys, batch_size=2000)
    member = UserFactory(member_of=subscription.application.organization)
    provider = UserFactory(member_of=subscription.publish.organization)
    other = PlanFactory(publish=subscription.publish)
    pk = subscription.pk

    started = time.perf_counter()
    assert access.put_keys(subscription, keys) == 1
    subscriptions.change_plan(actor=member, subscription_id=pk, plan_id=other.pk)
    subscriptions.suspend(actor=provider, subscription_id=pk, reason="Unpaid")
    subscriptions.cancel(actor=member, subscription_id=pk)
    seconds = time.perf_counter() - started

    rows = AccessEntry.objects.filter(plan_id=other.pk, suspended=True, version=4)
    assert rows.exclude(deleted_at=None).count() == 10_000
    assert Credential.objects.filter(revoked_version=4).count() == 10_000
    assert seconds < 15


def test_a_cluster_without_its_state_row_is_told_apart(db):
    plan = PlanFactory()
    ClusterState.objects.all().delete()
    with pytest.raises(ClusterState.DoesNotExist):
        access.put_plan(plan)


def test_writers_wake_the_agents_once_they_committed(
    db, django_capture_on_commit_callbacks, monkeypatch
):
    heard = []
    monkeypatch.setattr("core.notify.wake", heard.append)
    plan = PlanFactory()
    access.put_plan(plan)
    assert heard == [plan.publish.cluster_id]


def test_versions_are_committed_in_their_order(transactional_db):
    """A reader beside eight writers never meets a version below one that it has already seen."""
    subscription = SubscriptionFactory()
    cluster = subscription.publish.cluster
    seen: list[int] = []
    skipped: list[tuple[int, list[int]]] = []
    stop = threading.Event()

    def write() -> None:
        for _ in range(15):
            with transaction.atomic():
                access.put_keys(subscription, [CredentialFactory(subscription=subscription)])
                time.sleep(0.002)  # hold the version for a while before it is committed
        connection.close()

    def read() -> None:
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute(
                    "SELECT version FROM subscriptions_accessentry WHERE cluster_id = %s",
                    [cluster.pk],
                )
                now = sorted(row[0] for row in cursor.fetchall())
                late = [version for version in now if seen and version <= seen[-1]]
                if late != seen:
                    skipped.append((len(seen), late))
                seen[:] = now
        connection.close()

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write) for _ in range(8)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()

    assert skipped == []
    versions = AccessEntry.objects.order_by("version").values_list("version", flat=True)
    assert list(versions) == list(range(1, 121))


def test_a_reader_beside_writers_ends_with_what_is_true(transactional_db):
    subscription = SubscriptionFactory()
    member = UserFactory(member_of=subscription.application.organization)
    agent = AgentFactory(cluster=subscription.publish.cluster, live=True)
    reader = Reader(agent, limit=7)
    done = threading.Event()

    def work() -> None:
        for number in range(12):
            row, _secret = credentials.create(actor=member, subscription_id=subscription.pk)
            if number % 3 == 0:
                credentials.revoke(actor=member, credential_id=row.pk)
        connection.close()

    writers = [threading.Thread(target=work) for _ in range(4)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        reader.read()
    for writer in writers:
        writer.join()
    done.set()

    living = Credential.objects.filter(revoked_at=None).values_list("pk", flat=True)
    assert set(reader.read()) == {str(pk) for pk in living}
    assert len(living) == 4 * 8


def test_an_edit_of_the_cluster_and_a_new_key_do_not_deadlock(transactional_db):
    """Both want the cluster's row and its state; a foreign key check at commit would close the circle."""
    subscription = SubscriptionFactory()
    member = UserFactory(member_of=subscription.application.organization)
    cluster = subscription.publish.cluster
    failures: list[Exception] = []

    def guarded(work) -> None:
        try:
            for _ in range(15):
                work()
        except Exception as error:  # noqa: BLE001 - told to the main thread
            failures.append(error)
        finally:
            connection.close()

    def edit() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT FROM clusters_cluster WHERE id = %s FOR UPDATE", [cluster.pk])
            time.sleep(0.003)
            cursor.execute(
                "UPDATE clusters_clusterstate SET desired_generation = desired_generation + 1"
                " WHERE cluster_id = %s",
                [cluster.pk],
            )

    def make() -> None:
        credentials.create(actor=member, subscription_id=subscription.pk)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in (edit, make, edit, make)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_worker_keeps_house_daily(db):
    from procrastinate.contrib.django import app

    task = app.tasks["subscriptions.keep_house"]
    assert task(timestamp=0) == {"clusters": 0, "tombstones": 0}
    assert any(periodic.task is task for periodic in app.periodic_registry.periodic_tasks.values())
