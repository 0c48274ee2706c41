from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
import yaml
from django.utils import timezone

from tests.clusters.conftest import HTMX, LIST, text
from tests.factories.clusters import AgentFactory, RegistrationTokenFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_new_token_is_shown_this_once(as_, admin, cluster, headers):
    client, path = as_(admin), f"{LIST}/{cluster.pk}"

    answer = client.post(
        f"{path}/tokens", {"ttl_seconds": "28800", "max_uses": "2"}, headers=headers
    )

    token = cluster.registration_tokens.get()
    assert (answer.status_code, token.max_uses) == (200, 2)
    page = answer.content.decode()
    secret = re.search(rf"igr_{token.prefix}_[0-9a-f]+", page).group()
    assert f"--token {secret}" in page
    assert "no-store" in answer.headers["Cache-Control"]
    assert ("<html" in page) is (not headers)
    manifest = html.unescape(re.search(r'id="join-manifest"[^>]*>(.*?)</pre>', page, re.S)[1])
    kinds = {row["kind"]: row for row in yaml.safe_load_all(manifest)}
    assert kinds["Secret"]["stringData"] == {"token": secret}
    once = re.search(r'<div id="join-once"[^>]*>', page).group()
    assert "hx-preserve" not in once

    again = client.get(path, headers=HTMX).content.decode()
    assert secret not in again
    assert 'id="join-once" hx-preserve' in again


def test_a_bad_token_form_says_why(as_, admin, cluster):
    answer = as_(admin).post(
        f"{LIST}/{cluster.pk}/tokens", {"ttl_seconds": "3600", "max_uses": "0"}, headers=HTMX
    )
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.content.decode()
    assert not cluster.registration_tokens.exists()


def test_the_checklist_follows_the_rows(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator)
    cluster, client = token.cluster, as_(admin)
    cluster.state.desired_generation = 3
    cluster.state.save()

    def steps():
        page = client.get(f"{LIST}/{cluster.pk}", headers=HTMX).content.decode()
        listed = page[page.index("Progress of the join") :]
        listed = listed[: listed.index("</ol>")]
        return re.findall(r'class="ig-tl-i (\w*)"', listed)

    assert steps() == ["busy", "", "", "", ""]
    token.use_count, token.last_used_at = 1, timezone.now()
    token.save()
    agent = AgentFactory(cluster=cluster, name="agent-new")
    assert steps() == ["ok", "ok", "busy", "", ""]
    agent.connected_at = agent.last_heartbeat_at = timezone.now()
    agent.save()
    assert steps() == ["ok", "ok", "ok", "ok", "busy"]
    agent.last_error = "bind: address in use"
    agent.save()
    assert steps() == ["ok", "ok", "ok", "ok", "bad"]
    agent.last_error, agent.applied_generation = "", 3
    agent.save()
    assert steps() == ["ok"] * 5


def test_an_expired_token_says_so_and_old_news_is_gone(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator, expired=True)
    client, path = as_(admin), f"{LIST}/{token.cluster.pk}"
    assert "Token expired" in text(client.get(path))
    token.expires_at = timezone.now() - timedelta(hours=1)
    token.save()
    assert "Token expired" not in text(client.get(path))


def test_revoke_a_token(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator)
    client = as_(admin)

    answer = client.post(f"/operator/tokens/{token.pk}/revoke")

    assert answer.url == f"{LIST}/{token.cluster.pk}"
    token.refresh_from_db()
    assert token.revoked_at
    assert "token is revoked" in text(client.get(answer.url))


def test_revoke_a_spent_token_explains(as_, admin, operator):
    token = RegistrationTokenFactory(cluster__organization=operator, used=True)
    client = as_(admin)
    answer = client.post(f"/operator/tokens/{token.pk}/revoke")
    assert "nothing to revoke" in text(client.get(answer.url))


def test_revoke_an_agent_after_asking(as_, admin, cluster):
    agent, client = cluster.agents.get(), as_(admin)
    path = f"/operator/agents/{agent.pk}/revoke"

    assert f"Revoke {agent.name}?" in text(client.get(path))
    assert client.get(path, headers=HTMX).content.decode().lstrip().startswith("<dialog")
    answer = client.post(path, headers=HTMX)

    assert answer.headers["HX-Redirect"] == f"{LIST}/{cluster.pk}"
    agent.refresh_from_db()
    assert agent.revoked_at
    assert "Agent revoked" in text(client.get(f"{LIST}/{cluster.pk}"))


def test_joining_and_revoking_is_for_admins_of_this_operator(
    as_, member, viewer, stranger, cluster
):
    token = RegistrationTokenFactory(cluster=cluster)
    paths = [
        f"{LIST}/{cluster.pk}/tokens",
        f"/operator/tokens/{token.pk}/revoke",
        f"/operator/agents/{cluster.agents.get().pk}/revoke",
    ]
    for path in paths:
        assert as_(member).post(path, {}).status_code == 403, path
        assert as_(viewer).post(path, {}).status_code == 403, path
        assert as_(stranger).post(path, {}).status_code == 404, path
