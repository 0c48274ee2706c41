"""The database says no, whatever the services think."""

from __future__ import annotations

import hashlib

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, RestrictedError
from django.utils import timezone

from publishing.models import (
    Deployment,
    HostClaim,
    ProductPublish,
    PublishRevision,
    RouteClaim,
)
from tests.factories.accounts import OrganizationFactory
from tests.factories.publishing import (
    AgentPublishFactory,
    DeploymentFactory,
    DeploymentVerdictFactory,
    HostClaimFactory,
    ProductPublishFactory,
    PublishDraftFactory,
    PublishEventFactory,
    PublishRevisionFactory,
    RouteClaimFactory,
)

pytestmark = pytest.mark.django_db


def refused(constraint: str):
    return pytest.raises(IntegrityError, match=constraint)


def change(row, **values):
    type(row).objects.filter(pk=row.pk).update(**values)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"status": "LIVE"}, "publishing_publish_status_known"),
        ({"status": "PUBLISHED"}, "publishing_publish_live_iff_published"),
        ({"status": "WITHDRAWN"}, "publishing_publish_withdrawn_has_time"),
        ({"environment": "staging"}, "publishing_publish_environment_known"),
        ({"auth_mode": "basic"}, "publishing_publish_auth_mode_known"),
        ({"visibility": "secret"}, "publishing_publish_visibility_known"),
    ],
)
def test_a_publish(values, constraint):
    publish = ProductPublishFactory()
    with refused(constraint):
        change(publish, **values)


@pytest.mark.parametrize("values", [{"live_revision": None}, {"published_at": None}])
def test_a_published_one_has_a_live_revision_and_a_time(values):
    publish = ProductPublishFactory(published=True)
    with refused("publishing_publish_live_iff_published"):
        change(publish, **values)


def test_a_draft_has_nothing_live():
    revision = PublishRevisionFactory()
    with refused("publishing_publish_live_iff_published"):
        change(revision.publish, live_revision=revision)


def test_one_draft_or_published_publish_per_target():
    publish = ProductPublishFactory(published=True)
    same = {
        field: getattr(publish, field)
        for field in ("organization", "product", "cluster", "gateway", "environment")
    }
    with transaction.atomic(), refused("publishing_publish_one_per_target"):
        ProductPublishFactory(**same)
    ProductPublishFactory(**same | {"environment": "dev"})


@pytest.mark.parametrize("field", ["product", "cluster", "gateway", "organization"])
def test_what_a_publish_stands_on_is_not_deleted(field):
    publish = ProductPublishFactory()
    with pytest.raises(ProtectedError):
        getattr(publish, field).delete()


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        (
            {"status": "RUNNING", "finished_at": timezone.now()},
            "publishing_deployment_status_known",
        ),
        ({"status": "FAILED"}, "publishing_deployment_finished_iff_closed"),
        ({"revision": None}, "publishing_deployment_revision_iff_publish"),
        ({"kind": "withdraw"}, "publishing_deployment_revision_iff_publish"),
    ],
)
def test_a_deployment(values, constraint):
    deployment = DeploymentFactory()
    with refused(constraint):
        change(deployment, **values)


def test_an_open_deployment_has_not_finished():
    deployment = DeploymentFactory()
    with refused("publishing_deployment_finished_iff_closed"):
        change(deployment, finished_at=timezone.now())


def test_one_open_deployment_per_publish():
    first = DeploymentFactory()
    with transaction.atomic(), refused("publishing_deployment_one_open"):
        DeploymentFactory(publish=first.publish, revision=first.revision)
    DeploymentFactory(publish=first.publish, revision=first.revision, succeeded=True)


def test_deployment_numbers_are_given_once():
    first = DeploymentFactory(succeeded=True)
    with refused("publishing_deployment_number_once"):
        DeploymentFactory(publish=first.publish, revision=first.revision, number=first.number)


def test_a_deployed_revision_is_not_deleted():
    deployment = DeploymentFactory()
    with pytest.raises(RestrictedError):
        deployment.revision.delete()


def test_one_verdict_per_agent():
    verdict = DeploymentVerdictFactory()
    with refused("publishing_verdict_once"):
        DeploymentVerdictFactory(deployment=verdict.deployment, agent=verdict.agent)


def test_a_verdict_is_one_of_those_we_know():
    verdict = DeploymentVerdictFactory()
    with refused("publishing_verdict_outcome_known"):
        change(verdict, outcome="maybe")


def test_one_observation_per_agent_and_publish():
    row = AgentPublishFactory()
    with refused("publishing_agentpublish_once"):
        AgentPublishFactory(agent=row.agent, publish=row.publish)


def test_events_are_those_we_know():
    with refused("publishing_event_kind_known"):
        PublishEventFactory(kind="exploded")


def test_a_host_belongs_to_one_organization_per_cluster():
    claim = HostClaimFactory()
    with transaction.atomic(), refused("publishing_hostclaim_once"):
        HostClaimFactory(
            cluster=claim.cluster,
            host=claim.host,
            organization=OrganizationFactory(provider=True),
        )
    HostClaimFactory(host=claim.host)
    assert HostClaim.objects.count() == 2


def test_a_route_belongs_to_one_publish():
    claim = RouteClaimFactory()
    other = ProductPublishFactory(cluster=claim.cluster)
    same = {"cluster": claim.cluster, "host": claim.host, "path": claim.path}
    with transaction.atomic(), refused("publishing_routeclaim_once"):
        RouteClaimFactory(publish=other, **same)
    RouteClaimFactory(publish=other, **same, method="PUT")
    assert RouteClaim.objects.count() == 2


def test_one_wizard_per_person_and_product():
    draft = PublishDraftFactory()
    with refused("publishing_draft_once"):
        PublishDraftFactory(product=draft.product, user=draft.user)


# --- Revisions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["digest", "document", "number", "publish_id"])
def test_a_revision_never_changes(field):
    revision = PublishRevisionFactory()
    value = {
        "digest": "0" * 64,
        "document": "{}",
        "number": 99,
        "publish_id": ProductPublishFactory().pk,
    }[field]
    with refused("a revision never changes"):
        change(revision, **{field: value})


def test_who_made_a_revision_may_be_forgotten():
    revision = PublishRevisionFactory()
    change(revision, created_by=None)
    revision.save()


def test_a_revision_is_named_by_its_content():
    revision = PublishRevisionFactory()
    with refused("publishing_revision_digest_is_of_document"):
        PublishRevision.objects.create(
            publish=revision.publish, number=2, digest="0" * 64, document="{}"
        )


def test_revisions_are_numbered_and_named_once():
    revision = PublishRevisionFactory()
    with transaction.atomic(), refused("publishing_revision_digest_once"):
        PublishRevision.objects.create(
            publish=revision.publish,
            number=2,
            digest=revision.digest,
            document=revision.document,
        )
    with refused("publishing_revision_number_once"):
        PublishRevision.objects.create(
            publish=revision.publish,
            number=revision.number,
            digest=hashlib.sha256(b"{}").hexdigest(),
            document="{}",
        )


def test_a_publish_goes_with_its_history():
    deployment = DeploymentFactory(succeeded=True)
    DeploymentVerdictFactory(deployment=deployment)
    deployment.publish.delete()
    assert not ProductPublish.objects.exists()
    assert not Deployment.objects.exists()
