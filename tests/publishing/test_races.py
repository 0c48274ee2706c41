"""Several people and agents at once, on real connections."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from catalog.services import certificates
from clusters.services import clusters
from core.errors import DomainError
from publishing.models import Deployment, HostClaim, RouteClaim
from publishing.services.desired import manifest
from publishing.states import OPEN, Progress, Status
from tests.factories.accounts import UserFactory
from tests.factories.catalog import CertificateFactory, ListenerFactory
from tests.factories.publishing import ProductPublishFactory
from tests.factories.tls import issue
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)


def together(*calls):
    """Run all at once; what each returned, or the error's code."""

    def run(call):
        try:
            return call()
        except DomainError as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(30) for future in [pool.submit(run, call) for call in calls]]


def test_clicks_at_once_leave_one_open_deployment():
    stage = Stage()
    found = together(*[stage.click] * 8)
    assert all(isinstance(row, Deployment) for row in found)
    rows = stage.publish.deployments.order_by("number")
    assert [row.number for row in rows] == list(range(1, 9))
    statuses = Counter(rows.values_list("status", flat=True))
    assert statuses == {Progress.SUPERSEDED: 7, Progress.QUEUED: 1}
    assert stage.publish.revisions.count() == 1
    assert (stage.open.number, stage.open.generation, stage.generation()) == (8, 8, 8)


def test_two_tenants_at_once_one_gets_the_host():
    first = Stage(settings={"hostname_base": "api.example.com"})
    second = Stage(settings={"hostname_base": "api.example.com", "cluster": first.cluster})
    found = together(first.click, second.click)
    assert [row for row in found if isinstance(row, str)] == ["host_taken"]
    assert HostClaim.objects.count() == 1
    assert RouteClaim.objects.values("publish").distinct().count() == 1


def test_verdicts_at_once_settle_once():
    stage = Stage(agent_count=8)
    stage.click()
    stage.dispatch()
    deployment = stage.open
    together(
        *[
            lambda agent=agent: stage.say("applied", agent, deployment=deployment)
            for agent in stage.agents
        ]
    )
    assert stage.fresh().status == Status.PUBLISHED
    assert stage.happenings().count("published") == 1


def test_a_verdict_a_click_and_a_sweep_at_once_agree():
    stage = Stage(agent_count=4)
    stage.click()
    stage.dispatch()
    deployment = stage.open
    together(
        *[
            lambda agent=agent: stage.say("failed", agent, deployment=deployment)
            for agent in stage.agents
        ],
        stage.click,
        stage.sweep,
        stage.dispatch,
        stage.click,
    )
    publish = stage.fresh()
    opened = stage.publish.deployments.filter(status__in=OPEN)
    assert opened.count() <= 1
    assert publish.wanted_revision_id == (opened.get().revision_id if opened else None)
    held = RouteClaim.objects.filter(publish=publish).exists()
    assert held == (publish.wanted_revision_id is not None)


def test_dispatching_in_several_processes_asks_once():
    stage = Stage(agent_count=3)
    stage.click()
    together(*[stage.dispatch] * 4)
    assert stage.open.verdicts.count() == 3
    assert stage.happenings().count("dispatched") == 1


def test_publishes_of_one_cluster_at_once_get_generations_of_their_own():
    stages = [Stage()]
    stages += [Stage(agent_count=0, settings={"cluster": stages[0].cluster}) for _each in range(4)]
    found = together(*[stage.click for stage in stages])
    assert sorted(row.generation for row in found) == [1, 2, 3, 4, 5]


def test_reports_run_beside_a_click():
    stage = Stage()
    other = ProductPublishFactory(cluster=stage.cluster, published=True)
    rows = [
        {"id": publish.pk, "revision": "a" * 64, "error": "", "warning": ""}
        for publish in (stage.publish, other)
    ]
    found = together(*[stage.click, lambda: stage.report(publishes=rows)] * 4)
    assert len(found) == 8
    assert stage.publish.on_agents.get().revision == "a" * 64


def test_an_operators_edit_beside_clicks_locks_nobody_out():
    stage = Stage()
    operator = UserFactory(member_of=stage.cluster.organization)

    def edit(network: str) -> None:
        clusters.update(
            actor=operator,
            cluster_id=stage.cluster.pk,
            name=stage.cluster.name,
            region="kr-central",
            allowed_networks=[network],
        )

    for number in range(4):
        service = stage.publish.product.services.get()
        service.base_path = f"/v{number}"
        service.save()
        together(
            stage.click,
            lambda number=number: edit(f"127.0.{number}.0/24"),
            stage.click,
            lambda number=number: edit(f"127.1.{number}.0/24"),
        )
    assert stage.generation() == 16
    assert stage.publish.deployments.count() == 8


def test_publishing_and_replacing_or_deleting_a_certificate_at_once():
    """None waits for the other for ever, and nothing wanted refers to a certificate that is gone."""
    stage = Stage(settings={"hostname_base": "api.example.com"})
    owner = stage.publish.organization
    row = CertificateFactory(organization=owner)
    ListenerFactory(gateway=stage.publish.gateway, https=True, certificate=row)
    fresh = [issue("*.example.com") for _each in range(6)]
    found = together(
        *[stage.click] * 4,
        *[
            lambda each=each: certificates.replace(
                actor=stage.user,
                certificate_id=row.pk,
                certificate=each.chain,
                private_key=each.private_key,
            )
            for each in fresh
        ],
        lambda: certificates.delete(actor=stage.user, certificate_id=row.pk),
    )

    assert found[-1] == "certificate_in_use"
    assert all(isinstance(each, Deployment) for each in found[:4])
    row.refresh_from_db()
    assert row.version == 7
    named = manifest(agent=stage.agents[0])["secrets"]
    assert named == [{"id": str(row.pk), "version": row.tag}]
