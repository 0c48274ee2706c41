"""clusters.services.joining: who may join, and as whom."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from accounts.models import AuditEvent
from clusters.models import Agent, RegistrationToken
from clusters.services import agents
from core import secrets
from core.errors import DomainError, InvalidInput, Unauthenticated
from tests.agents.server.rig import Key, make_cluster, make_token


def register(token: str, key: Key | None = None, **fields: Any) -> Agent:
    request = (key or Key()).request(token)
    values = {
        name: getattr(request, name)
        for name in ("token", "name", "public_key", "signature", "version", "gateway_classes")
    }
    return agents.register_agent(**values | fields)


def test_a_token_and_a_key_make_an_agent_and_an_audit_row(cluster):
    token = make_token(cluster)

    agent = register(token, name="edge-1")

    assert (agent.cluster, agent.name, agent.gateway_classes) == (cluster, "edge-1", ["envoy"])
    assert RegistrationToken.objects.get().use_count == 1
    event = AuditEvent.objects.get(action="agent.register")
    assert event.organization_id == cluster.organization_id
    assert event.object_id == str(agent.pk)
    assert token not in str(event.after)
    assert secrets.digest(token) not in str(event.after)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "token_expired"),
        ({"use_count": 1}, "token_used"),
        ({"revoked_at": timezone.now()}, "token_revoked"),
    ],
)
def test_a_token_that_is_no_longer_good_says_why(cluster, fields, code):
    token = make_token(cluster, **fields)

    with pytest.raises(Unauthenticated) as refused:
        register(token)

    assert refused.value.code == code
    assert token not in str(refused.value)
    assert not Agent.objects.exists()


def wrong_secret(token: str) -> str:
    return token[:-1] + ("0" if token[-1] != "0" else "1")


@pytest.mark.parametrize(
    "spoil",
    [
        wrong_secret,
        str.upper,
        lambda token: "",
        lambda token: "igr",
        lambda token: "igr__",
        lambda token: token + "_more",
        lambda token: token.replace("igr", "imp"),
        lambda token: token + "\x00",
        lambda token: token + "é",
        lambda token: token * 100,
        lambda token: "igr_0123456789_" + "0" * 64,
    ],
)
def test_an_unknown_token_is_refused(cluster, spoil):
    with pytest.raises(Unauthenticated) as refused:
        register(spoil(make_token(cluster)))

    assert refused.value.code == "token_unknown"


def test_a_key_that_the_sender_does_not_hold_is_refused(cluster):
    token, victim = make_token(cluster), Key()

    with pytest.raises(Unauthenticated) as refused:
        register(token, public_key=victim.public)

    assert refused.value.code == "signature_invalid"
    assert RegistrationToken.objects.get().use_count == 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"public_key": b""}, "public_key"),
        ({"public_key": bytes(31)}, "public_key"),
        ({"name": "Foo_Bar"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": ""}, "name"),
        ({"version": "v" * 41}, "version"),
        ({"version": "a\x00b"}, "version"),
        ({"gateway_classes": ["Envoy!"]}, "gateway_classes"),
        ({"gateway_classes": ["x" * 33]}, "gateway_classes"),
        ({"gateway_classes": [f"c{number}" for number in range(17)]}, "gateway_classes"),
    ],
)
def test_a_wrong_value_is_named_and_spends_no_token(cluster, fields, field):
    with pytest.raises(InvalidInput) as refused:
        register(make_token(cluster), **fields)

    assert refused.value.field == field
    assert RegistrationToken.objects.get().use_count == 0


def test_a_signature_of_any_length_is_only_wrong(cluster):
    for signature in (b"", b"x", bytes(64), bytes(1000)):
        with pytest.raises(Unauthenticated):
            register(make_token(cluster), signature=signature)


def test_the_same_key_again_is_the_same_agent_even_with_a_spent_token(cluster):
    key, token = Key(), make_token(cluster)
    first = register(token, key)

    again = register(token, key, version="0.2.0")

    assert again == first
    assert again.version == "0.2.0"
    assert Agent.objects.count() == 1
    assert AuditEvent.objects.filter(action="agent.register").count() == 1


def test_a_revoked_key_needs_a_new_token(cluster):
    key, token = Key(), make_token(cluster)
    first = register(token, key)
    Agent.objects.update(revoked_at=timezone.now())

    with pytest.raises(Unauthenticated) as refused:
        register(token, key)

    assert refused.value.code == "token_used"
    assert register(make_token(cluster), key) != first


def test_a_name_of_another_key_is_taken_and_spends_no_token(cluster):
    register(make_token(cluster))
    token = make_token(cluster)

    with pytest.raises(DomainError) as refused:
        register(token)

    assert refused.value.code == "name_taken"
    assert "--name" in str(refused.value)
    assert register(token, name="agent-2").name == "agent-2"


def test_the_same_name_is_free_in_another_cluster_and_after_a_revocation(cluster):
    register(make_token(cluster))
    register(make_token(make_cluster("busan-1")))
    Agent.objects.filter(cluster=cluster).update(revoked_at=timezone.now())

    register(make_token(cluster))

    assert Agent.objects.filter(name="agent-1").count() == 3


def test_a_key_of_another_cluster_is_refused_without_naming_it(cluster):
    key, other = Key(), make_cluster("secret-name")
    register(make_token(other), key)

    with pytest.raises(DomainError) as refused:
        register(make_token(cluster), key)

    assert refused.value.code == "key_taken"
    assert "secret-name" not in str(refused.value)


def test_the_database_refuses_a_second_agent_of_one_key(cluster):
    key = Key()
    register(make_token(cluster), key)

    with pytest.raises(IntegrityError), transaction.atomic():
        Agent.objects.create(cluster=cluster, name="other", public_key=key.public)


def race(count: int, attempt: Any) -> list[str]:
    """The outcomes of `attempt(number)` in as many threads as PostgreSQL has room for."""

    def run(number: int) -> str:
        try:
            attempt(number)
        except DomainError as error:
            return error.code
        finally:
            connections.close_all()
        return "joined"

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(run, range(count)))


def test_of_50_joiners_with_one_token_exactly_one_wins(transactional_db):
    token = make_token(make_cluster())

    outcomes = race(50, lambda number: register(token, name=f"agent-{number}"))

    assert outcomes.count("joined") == 1
    assert outcomes.count("token_used") == 49
    assert Agent.objects.count() == 1
    assert RegistrationToken.objects.get().use_count == 1


def test_of_20_joiners_with_a_token_for_three_exactly_three_win(transactional_db):
    token = make_token(make_cluster(), max_uses=3)

    outcomes = race(20, lambda number: register(token, name=f"agent-{number}"))

    assert outcomes.count("joined") == 3
    assert Agent.objects.count() == 3


def test_twins_with_one_key_become_one_agent(transactional_db):
    key, token = Key(), make_token(make_cluster(), max_uses=10)

    outcomes = race(10, lambda number: register(token, key))

    assert outcomes == ["joined"] * 10
    assert Agent.objects.count() == 1
    assert RegistrationToken.objects.get().use_count == 1
