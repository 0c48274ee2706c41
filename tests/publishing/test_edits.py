"""What is live stays as it was published, whatever happens to its definition."""

from __future__ import annotations

import pytest

from catalog.services import apis, backends, policies, routes
from publishing.services import agents
from tests.publishing.stage import Stage

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.serve()
    return stage


EDITS = {
    "a route": lambda user, pk: routes.create(
        actor=user, service_id=pk, path="/users/{id}", methods=["GET"]
    ),
    "a backend": lambda user, pk: backends.create(
        actor=user, service_id=pk, host="other.example.com", port=443, tls=True
    ),
    "a policy": lambda user, pk: policies.put(
        actor=user, service_id=pk, kind="ip", config={"deny": ["0.0.0.0/0"]}
    ),
    "everything": lambda user, pk: apis.update(
        actor=user,
        service_id=pk,
        base_path="/elsewhere",
        routes=[{"path": "/{id}", "methods": ["PUT"]}],
        backends=[{"host": "other.example.com", "port": 443}],
        policies=[{"kind": "request_size", "config": {"max_bytes": 1}}],
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_nothing_reaches_a_gateway_before_it_is_published(stage, edit):
    agent, live = stage.agents[0], stage.fresh().live_revision
    before = agents.manifest_tag(agent=agent), agents.bundle(agent=agent, digest=live.digest)
    claims = set(stage.publish.route_claims.values_list("path", "method"))

    edit(stage.user, stage.publish.product.services.get().pk)

    after = agents.manifest_tag(agent=agent), agents.bundle(agent=agent, digest=live.digest)
    assert after == before
    assert set(stage.publish.route_claims.values_list("path", "method")) == claims
    assert stage.fresh().live_revision == live

    deployment = stage.click()
    assert deployment.revision.digest != live.digest
    assert agents.manifest_tag(agent=agent) != before[0]
