"""Redis goes, hangs and comes back; an agent stops reading."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from channels.layers import channel_layers

from agents.server import wake
from agents.wire import agent_pb2 as pb
from clusters.services import agents
from core import notify
from deploy.local.valkey import Valkey
from publishing.models import DeploymentVerdict
from tests.agents.server.rig import (
    LAZY,
    dial,
    eventually,
    make_cluster,
    make_deployment,
    make_remote,
    move,
    result_of,
)

# --- Redis -------------------------------------------------------------------------------------


@pytest.fixture
def own_valkey(tmp_path_factory, settings):
    """One that this test may stop, for the channel layer of this test alone."""
    home = Path(tmp_path_factory.mktemp("valkey"))
    for folder in (home, *list(home.parents)[:2]):
        folder.chmod(0o755)
    server = Valkey(home / "v")
    layers = deepcopy(settings.CHANNEL_LAYERS)
    layers["default"]["CONFIG"]["hosts"][0]["address"] = server.url
    settings.CHANNEL_LAYERS, settings.REDIS_URL = layers, server.url
    channel_layers.backends.clear()
    yield server
    server.stop()
    server.destroy()
    channel_layers.backends.clear()


def test_without_redis_everything_arrives_a_sweep_later_and_wakes_come_back(
    own_valkey, start_agentd, caplog
):
    cluster = make_cluster()
    with dial(start_agentd()) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()  # Redis is not even there yet
        deployment = make_deployment(cluster)
        notify.wake(cluster.pk)
        assert wire.expect("deploy_command", within=3).deployment_id == str(deployment.pk)
        wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
        eventually(lambda: DeploymentVerdict.objects.filter(outcome="applied").exists())

        own_valkey.start()
        eventually(lambda: "Listening for wakes" in caplog.text)
        own_valkey.stop()  # and it goes again, under way
        move(cluster, access_version=5)
        assert eventually(lambda: wire.expect("state_changed", within=3).access_version == 5)
        agents.open_session(agent_id=remote.agent_id, version="", gateway_classes=[], owner="e/1")
        assert wire.expect("goodbye", within=5).reason == pb.Goodbye.SUPERSEDED


def test_wakes_arrive_again_after_redis_was_away(own_valkey, start_agentd, caplog):
    cluster = make_cluster()
    own_valkey.start()
    with dial(start_agentd(timings=LAZY)) as channel:
        wire, _ = make_remote(channel, cluster).connect()
        eventually(lambda: "Listening for wakes" in caplog.text)
        own_valkey.stop()
        own_valkey.start()
        move(cluster, access_version=5)

        def woken() -> bool:
            notify.wake(cluster.pk)
            return not wire.nothing(0.3)

        assert eventually(woken)


@contextmanager
def hanging(server: Valkey) -> Iterator[None]:
    """It takes connections and bytes, and answers nothing."""
    pid = server.child.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_redis_that_hangs_delays_and_blocks_nobody(own_valkey, start_agentd, client, caplog):
    cluster = make_cluster()
    own_valkey.start()
    agentd = start_agentd()
    with dial(agentd) as channel:
        remote = make_remote(channel, cluster)
        wire, _ = remote.connect()
        eventually(lambda: "Listening for wakes" in caplog.text)
        with hanging(own_valkey):
            began = time.monotonic()
            deployment = make_deployment(cluster)
            for _ in range(20):
                notify.wake(cluster.pk)  # nobody who publishes waits for Redis
            assert time.monotonic() - began < 1
            assert wire.expect("deploy_command", within=5).deployment_id == str(deployment.pk)
            wire.send(deploy_result=result_of(deployment, pb.OUTCOME_APPLIED))
            eventually(lambda: DeploymentVerdict.objects.filter(outcome="applied").exists())
            began = time.monotonic()
            answer = client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["checks"]["redis"] == "failed: TimeoutError"
            began = time.monotonic()
            agentd.stop()
            assert time.monotonic() - began < 10


def test_wakes_arrive_again_after_redis_hung(own_valkey, start_agentd, monkeypatch, caplog):
    cluster = make_cluster()
    own_valkey.start()
    monkeypatch.setattr(wake, "ANSWER_SECONDS", 0.5)
    with dial(start_agentd(timings=replace(LAZY, echo=0.5))) as channel:
        wire, _ = make_remote(channel, cluster).connect()
        eventually(lambda: "Listening for wakes" in caplog.text)
        with hanging(own_valkey):
            eventually(lambda: "No wakes from Redis" in caplog.text)
        move(cluster, access_version=5)

        def woken() -> bool:
            notify.wake(cluster.pk)
            return not wire.nothing(0.3)

        assert eventually(woken)


# --- Slow agents -------------------------------------------------------------------------------


def test_an_agent_that_does_not_read_is_dropped_and_disturbs_nobody(start_agentd):
    """HTTP/2 flow control holds the server's write back; after the time limit the stream is dropped."""
    cluster = make_cluster()
    agentd = start_agentd(timings=replace(LAZY, write=0.5))
    window = ("grpc.http2.lookahead_bytes", 5), ("grpc.http2.bdp_probe", 0)
    with dial(agentd, *window) as narrow, dial(agentd) as channel:
        eager, _ = make_remote(channel, cluster, "eager").connect()
        lazy = make_remote(narrow, cluster, "lazy")
        silent = lazy.dial(reads=False)
        eventually(lambda: lazy.agent_id in agentd.server.hub.streams)
        move(cluster, access_version=5)
        notify.wake(cluster.pk)

        assert eager.expect("state_changed", within=1).access_version == 5
        eventually(lambda: lazy.agent_id not in agentd.server.hub.streams, within=2)
        eventually(lambda: lazy.row().disconnected_at)
        silent.cancel()
