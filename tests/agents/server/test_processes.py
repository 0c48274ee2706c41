"""Several processes on one port: as operators start them, with agents, publishes and restarts."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from agents.server.listening import PortInUse, require_free, reserve
from agents.wire import agent_pb2 as pb
from clusters.models import Agent, Cluster
from deploy.local import ports
from publishing.models import Deployment
from publishing.services import agents as publishing
from publishing.states import OPEN, Progress
from tests.agents.server.rig import Remote, dial, eventually, make_remote
from tests.factories.clusters import ClusterFactory
from tests.publishing.stage import Stage

START_SECONDS = 60.0


class Processes:
    """`manage.py runagentd --processes N` with the test's database."""

    def __init__(self, log: Path, settings: Any, count: int, **env: str) -> None:
        self.port = ports.free(1)[0]
        self.address = f"127.0.0.1:{self.port}"
        self.log, self.count = log, count
        database = settings.DATABASES["default"]
        url = "postgresql://{USER}@/{NAME}?host={HOST}".format(**database)
        options = ["--listen", self.address, "--processes", str(count)]
        with log.open("wb") as output:
            self.parent = subprocess.Popen(
                [sys.executable, "manage.py", "runagentd", *options],
                cwd=settings.BASE_DIR,
                env=os.environ | {"DATABASE_URL": url, "PGAPPNAME": f"agentd-{self.port}"} | env,
                stdout=output,
                stderr=output,
            )
        self.until(lambda: self.listening() == count)

    def children(self) -> list[int]:
        try:
            return sorted(child.pid for child in psutil.Process(self.parent.pid).children())
        except psutil.NoSuchProcess:
            return []

    def listening(self) -> int:
        return self.log.read_text().count("agentd listens on")

    def until(self, check: Callable[[], Any]) -> Any:
        def alive() -> Any:
            assert self.parent.poll() is None, self.log.read_text()
            return check()

        return eventually(alive, within=START_SECONDS)

    def replaced(self, old: int) -> None:
        """Another process took the place of `old`, and listens."""
        started = self.listening()
        self.until(lambda: old not in self.children() and len(self.children()) == self.count)
        if self.listening() == started:
            self.until(lambda: self.listening() > started)

    def stop(self) -> None:
        self.parent.kill()
        self.parent.wait()


@pytest.fixture
def start(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    running: list[Processes] = []

    def run(count: int = 2, **env: str) -> Processes:
        running.append(Processes(tmp_path / f"{len(running)}.log", settings, count, **env))
        return running[-1]

    yield run
    for processes in running:
        children = processes.children()
        processes.stop()
        eventually(lambda pids=children: not any(map(exists, pids)), within=START_SECONDS)


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_new_python(pid: int) -> bool:
    return "--lifeline" in psutil.Process(pid).cmdline()


class Follower(threading.Thread):
    """An agent that takes everything from the manifest and answers; it comes back when its stream ends."""

    def __init__(self, processes: Processes, cluster: Cluster, name: str) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        with dial(processes) as channel:
            remote = make_remote(channel, cluster, name)
        self.key, self.agent_id = remote.key, remote.agent_id
        self.over = threading.Event()
        self.goodbyes: list[int] = []

    def run(self) -> None:
        while not self.over.is_set():
            with dial(self._processes) as channel:
                try:
                    self._talk(Remote(channel, self.key, self.agent_id).dial())
                except Exception:  # noqa: BLE001 - the stream is gone: come back
                    time.sleep(0.1)
        connection.close()

    def _talk(self, wire: Any) -> None:
        answered: set[str] = set()
        while not self.over.is_set():
            try:
                message = wire.receive(0.2)
            except queue.Empty:
                continue
            if message is None:
                return
            if message.HasField("goodbye"):
                self.goodbyes.append(message.goodbye.reason)
            else:
                self._look(wire, answered)

    def _look(self, wire: Any, answered: set[str]) -> None:
        manifest = publishing.manifest(agent=Agent.objects.get(pk=self.agent_id))
        connection.close()  # the test's pool is smaller than the fleet
        generation = manifest["generation"]
        for row in manifest["publishes"]:
            if row["deployment_id"] and row["deployment_id"] not in answered:
                answered.add(row["deployment_id"])
                for outcome in (pb.OUTCOME_APPLYING, pb.OUTCOME_APPLIED):
                    word = pb.DeployResult(
                        deployment_id=row["deployment_id"],
                        revision=row["revision"],
                        generation=generation,
                        outcome=outcome,
                    )
                    wire.send(deploy_result=word)
        wire.send(
            state_report=pb.StateReport(
                applied_generation=generation, settled_generation=generation
            )
        )


class Clicks(threading.Thread):
    """A stream of publishes: each one again as soon as its last deployment ended."""

    def __init__(self, stages: list[Stage]) -> None:
        super().__init__(daemon=True)
        self.stages, self.over, self.count = stages, threading.Event(), 0

    def run(self) -> None:
        while not self.over.wait(0.1):
            for stage in self.stages:
                if not stage.publish.deployments.filter(status__in=OPEN).exists():
                    stage.change()
                    stage.click()
                    self.count += 1
        connection.close()


@pytest.fixture
def scene(start: Callable[..., Processes]) -> Iterator[tuple[Processes, list[Follower], Clicks]]:
    processes, cluster = start(), ClusterFactory()
    followers = [Follower(processes, cluster, f"agent-{number}") for number in range(4)]
    for follower in followers:
        follower.start()
    eventually(lambda: Agent.objects.exclude(connected_at=None).count() == 4)
    stages = [Stage(0, {"cluster": cluster}) for _ in range(3)]
    clicks = Clicks(stages)
    clicks.start()
    yield processes, followers, clicks
    clicks.over.set()
    for follower in followers:
        follower.over.set()
    for thread in (clicks, *followers):
        thread.join(20)


def all_succeeded(clicks: Clicks) -> None:
    """Nothing was lost, refused or replaced: every click became what it asked for."""
    before = clicks.count
    eventually(lambda: clicks.count > before + 3, within=30)  # it still goes on
    clicks.over.set()
    clicks.join(20)
    eventually(lambda: not Deployment.objects.filter(status__in=OPEN).exists(), within=30)
    assert set(Deployment.objects.values_list("status", flat=True)) == {Progress.SUCCEEDED}
    for stage in clicks.stages:
        publish = stage.fresh()
        assert publish.status == "PUBLISHED"
        assert publish.live_revision == publish.wanted_revision == stage.latest().revision


# --- Restarts ----------------------------------------------------------------------------------


def test_a_rolling_restart_under_a_stream_of_publishes_loses_none(scene):
    processes, followers, clicks = scene
    old = processes.children()
    # Forks of the parent, which is quick; whatever comes later may be of new code.
    assert not any(map(is_new_python, old))

    processes.parent.send_signal(signal.SIGHUP)

    processes.until(lambda: "started anew" in processes.log.read_text())
    assert not set(old) & set(processes.children())
    assert all(map(is_new_python, processes.children()))
    all_succeeded(clicks)
    reasons = {reason for follower in followers for reason in follower.goodbyes}
    assert reasons == {pb.Goodbye.DRAIN}


def test_processes_that_are_killed_come_back_and_no_publish_is_lost(scene):
    processes, _followers, clicks = scene
    for pid in processes.children():
        os.kill(pid, signal.SIGKILL)
        processes.replaced(pid)
        time.sleep(1)

    all_succeeded(clicks)


# --- The parent --------------------------------------------------------------------------------


def test_sigterm_drains_all_and_the_parent_ends_last(start):
    processes = start()
    children = processes.children()
    with dial(processes) as channel:
        wire, _ = make_remote(channel, ClusterFactory()).connect()

        processes.parent.send_signal(signal.SIGTERM)

        assert wire.expect("goodbye", within=20).reason == pb.Goodbye.DRAIN
    assert processes.parent.wait(30) == 0
    assert not any(map(exists, children))
    assert processes.log.read_text().count("agentd stopped.") == 2


def test_without_its_parent_no_process_stays(start):
    processes = start()
    children = processes.children()

    processes.parent.kill()
    processes.parent.wait()

    eventually(lambda: not any(map(exists, children)), within=20)
    require_free(processes.address)


def test_the_parent_ends_although_a_process_hangs(start):
    processes = start()
    hung = processes.children()[0]
    os.kill(hung, signal.SIGSTOP)

    processes.parent.send_signal(signal.SIGTERM)

    assert processes.parent.wait(60) == 0
    assert not exists(hung)


def test_the_port_is_ours_even_while_nobody_listens():
    with reserve(f"127.0.0.1:{ports.free(1)[0]}") as held:
        listen = "127.0.0.1:{1}".format(*held.getsockname())
        with pytest.raises(PortInUse):
            reserve(listen)
        with socket.socket() as ours:  # a process of ours joins, as grpc does
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            ours.bind(held.getsockname())
        with pytest.raises(CommandError, match="in use"):
            call_command("runagentd", listen=listen, processes=2)


def test_a_second_agentd_on_the_port_is_refused(start):
    processes = start()

    with pytest.raises(CommandError, match="in use"):
        call_command("runagentd", listen=processes.address, processes=2)
    with pytest.raises(CommandError, match="in use"):
        call_command("runagentd", listen=processes.address)


@pytest.mark.parametrize("count", [0, -1])
def test_at_least_one_process(count):
    with pytest.raises(CommandError, match="at least one"):
        call_command("runagentd", processes=count)


# --- Connections -------------------------------------------------------------------------------


def test_a_storm_of_agents_stays_within_the_connection_budget(start):
    """docs/operations.md counts DATABASE_POOL_SIZE for each process, and none for the parent."""
    processes, cluster = start(DATABASE_POOL_SIZE="3"), ClusterFactory()
    followers = [Follower(processes, cluster, f"agent-{number}") for number in range(20)]
    stages = [Stage(0, {"cluster": cluster}) for _ in range(2)]
    most = 0
    for follower in followers:
        follower.start()

    def held() -> bool:
        nonlocal most
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s",
                [f"agentd-{processes.port}"],
            )
            most = max(most, cursor.fetchone()[0])
        connected = Agent.objects.filter(disconnected_at=None).exclude(connected_at=None)
        return connected.count() == 20

    eventually(held, within=30)
    for stage in stages:
        stage.click()
    eventually(
        lambda: held() and not Deployment.objects.filter(status__in=OPEN).exists(), within=30
    )
    for follower in followers:
        follower.over.set()
    for follower in followers:
        follower.join(20)
    assert 2 <= most <= processes.count * 3
