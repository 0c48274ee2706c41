"""What colleagues share must be the same for both: else one would be shown what is the other's."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from accounts.models import Kind, Notice, Role
from tests.crowd import crowd
from tests.factories.publishing import PublishDraftFactory
from tests.walk.world import World

PAGES = {
    "/operator/": Kind.OPERATOR,
    "/operator/clusters": Kind.OPERATOR,
    "/operator/agents": Kind.OPERATOR,
    "/operator/deployments": Kind.OPERATOR,
    "/provider/": Kind.PROVIDER,
    "/provider/products": Kind.PROVIDER,
    "/provider/api-services": Kind.PROVIDER,
    "/provider/gateways": Kind.PROVIDER,
    "/provider/certificates": Kind.PROVIDER,
    "/provider/publishes": Kind.PROVIDER,
    "/provider/deployments": Kind.PROVIDER,
    "/provider/subscriptions": Kind.PROVIDER,
}
# What a page shows of its reader beside what is shared.
OWN = [
    r'<input type="hidden" name="csrfmiddlewaretoken" [^>]*>',
    r'<section class="ig-card" aria-labelledby="drafts-h">.*?</section>',
    r'<div class="ig-banner warn" id="notice-.*?</form></div>',
]


# The same for a viewer as for an admin.
FOR_ALL_ROLES = [
    "/operator/agents",
    "/operator/deployments",
    "/provider/",
    "/provider/publishes",
    "/provider/deployments",
]


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "part"])
def test_two_members_see_the_same(headers):
    world = World()
    crowd(world, 3)
    for path, kind in PAGES.items():
        one, other = (world.somebody(kind, Role.MEMBER) for _number in range(2))
        PublishDraftFactory(product=world.product, user=one)
        for notice in Notice.objects.filter(organization=world.organizations[kind]):
            notice.readers.add(other)

        first, second = (shared(path, reader, headers) for reader in (one, other))

        assert first == second, path
        assert str(one) not in first


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "part"])
@pytest.mark.parametrize("path", FOR_ALL_ROLES)
def test_a_viewer_sees_what_an_admin_sees(path, headers):
    world = World()
    crowd(world, 3)
    readers = (world.somebody(PAGES[path], role) for role in (Role.VIEWER, Role.ADMIN))

    first, second = (shared(path, reader, headers) for reader in readers)

    assert first == second


def shared(path: str, reader, headers) -> str:
    client = Client()
    client.force_login(reader)
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200, path
    text = answer.content.decode()
    page = re.search(r"<main .*?</main>", text, re.DOTALL)
    assert bool(page) != bool(headers)
    text = page[0] if page else text
    for own in OWN:
        text = re.sub(own, "", text, flags=re.DOTALL)
    # Two moments: what they say of the time passed may differ.
    return re.sub(r"\s+", " ", re.sub(r">[^<]*</time>", "></time>", text))
