from __future__ import annotations

import hashlib
import re

import pytest
from django.utils import timezone

from accounts.models import Role
from catalog.models import Gateway, Product
from publishing.models import ProductPublish, PublishRevision
from publishing.states import Status
from tests.factories.accounts import OrganizationFactory, UserFactory
from tests.factories.clusters import ClusterFactory

HTMX = {"HX-Request": "true"}
LIST = "/operator/clusters"


def text(response) -> str:
    """What a person reads, without tags and runs of white space."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


@pytest.fixture
def as_(client):
    def sign_in(user):
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def cluster(operator):
    return ClusterFactory(organization=operator, name="kr-main", active=True)


@pytest.fixture
def operator(db):
    return OrganizationFactory(operator=True, name="Platform team")


@pytest.fixture
def admin(operator):
    return UserFactory(member_of=operator, role=Role.ADMIN, name="Seo-yeon")


@pytest.fixture
def member(operator):
    return UserFactory(member_of=operator, role=Role.MEMBER)


@pytest.fixture
def viewer(operator):
    return UserFactory(member_of=operator, role=Role.VIEWER)


@pytest.fixture
def stranger(db):
    """An admin, of another operator."""
    return UserFactory(member_of=OrganizationFactory(operator=True), role=Role.ADMIN)


@pytest.fixture
def publish_on(db):
    """Puts a publish of some provider on a cluster; the rows alone, without gateways."""

    def make(cluster, *, product="Payment API", provider=None, status=Status.DRAFT, **fields):
        provider = provider or OrganizationFactory(provider=True)
        gateway, _made = Gateway.objects.get_or_create(
            organization=provider, name="edge", gateway_class="envoy"
        )
        row = ProductPublish.objects.create(
            organization=provider,
            product=Product.objects.create(organization=provider, name=product, version="2.0"),
            cluster=cluster,
            gateway=gateway,
            environment="prod",
            hostname_base="pay.example.com",
            auth_mode="api-key",
            **fields,
        )
        if status != Status.DRAFT:
            document = "{}"
            revision = PublishRevision.objects.create(
                publish=row,
                number=1,
                document=document,
                digest=hashlib.sha256(document.encode()).hexdigest(),
            )
            now = timezone.now()
            row.status, row.published_at = status, now
            row.live_revision = revision if status == Status.PUBLISHED else None
            row.withdrawn_at = now if status == Status.WITHDRAWN else None
            row.save()
        return row

    return make
