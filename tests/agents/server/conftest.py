"""A real agentd on a free port of loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from agents.server.options import Options
from agents.wire import agent_pb2_grpc
from clusters.models import Cluster
from tests.agents.server.rig import FAST, Agentd, Remote, dial, make_cluster, make_remote


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Cluster:
    request.getfixturevalue("db" if "agentd" not in request.fixturenames else "transactional_db")
    return make_cluster()


@pytest.fixture
def start_agentd(transactional_db: None) -> Iterator[Callable[..., Agentd]]:
    """Start servers; the database is emptied only when all of them are gone."""
    running: list[Agentd] = []

    def start(**options: Any) -> Agentd:
        defaults = {"listen": "127.0.0.1:0", "rest_url": "http://portal", "timings": FAST}
        running.append(Agentd(Options(**defaults | options)))
        return running[-1]

    yield start
    for agentd in running:
        agentd.stop()


@pytest.fixture
def agentd(start_agentd: Callable[..., Agentd]) -> Agentd:
    return start_agentd(registrations_at_once=200)


@pytest.fixture
def channel(agentd: Agentd) -> Iterator[grpc.Channel]:
    with dial(agentd) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.Channel) -> agent_pb2_grpc.AgentServiceStub:
    return agent_pb2_grpc.AgentServiceStub(channel)


@pytest.fixture
def remote(channel: grpc.Channel, cluster: Cluster) -> Remote:
    return make_remote(channel, cluster)
