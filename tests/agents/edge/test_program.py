"""`imp-agent` as it is installed: real processes, a real Envoy, real signals."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from agents.edge import cli
from agents.edge.agent import Exit
from agents.edge.state import StateDir
from agents.wire import agent_pb2 as pb
from deploy.local import ports
from tests.agents.edge.conftest import until
from tests.agents.edge.peer import Peer

PUBLISH = str(uuid.UUID(int=1))


@dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str


@dataclass
class Program:
    """One installation: a state folder and the commands on it."""

    folder: Path

    @property
    def state(self) -> StateDir:
        return StateDir(self.folder)

    async def call(self, verb: str, *options: str, stdin: str = "", **env: str) -> Finished:
        process = await self._start(verb, *options, stdin=asyncio.subprocess.PIPE, **env)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        return Finished(process.returncode or 0, out.decode(), err.decode())

    async def run(self, *options: str) -> asyncio.subprocess.Process:
        process = await self._start("run", "--listen", "127.0.0.1:0", *options)
        await until(lambda: self.state.running() or process.returncode is not None, "it runs")
        return process

    async def join(self, peer: Peer, *options: str) -> Finished:
        server, token = f"127.0.0.1:{peer.port}", peer.issue_token()
        return await self.call("join", "--server", server, "--token", token, *options)

    async def status(self) -> dict[str, Any]:
        return json.loads((await self.call("status", "--json")).out)

    @property
    def has_gateway(self) -> bool:
        """Whether an Envoy is to be adopted."""
        return (self.folder / "envoy.json").exists()

    @property
    def envoy(self) -> int:
        return json.loads((self.folder / "envoy.json").read_text())["pid"]

    async def _start(self, verb: str, *options: str, **kwargs: Any) -> asyncio.subprocess.Process:
        pipes = {name: kwargs.pop(name) for name in ("stdin",) if name in kwargs}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "agents.edge.cli",
            verb,
            "--state-dir",
            str(self.folder),
            *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **kwargs},
            **pipes,
        )


@pytest.fixture
async def program() -> AsyncIterator[Program]:
    # Not tmp_path: the path of a Unix socket is short.
    program = Program(Path(tempfile.mkdtemp(prefix="imp-", dir="/tmp")))
    yield program
    if running := program.state.running():
        os.kill(running.pid, signal.SIGKILL)
        await until(lambda: not program.state.is_locked())
    if program.has_gateway:
        await program.call("stop", "--gateway")
    shutil.rmtree(program.folder)


@pytest.fixture
def port() -> int:
    return ports.free()[0]


def publish(peer: Peer, port: int, rewrite: str = "") -> str:
    """One public route to the peer's own web server, which answers 404s of its own."""
    peer.denied_networks, peer.allowed_networks = ["127.0.0.0/8"], ["127.0.0.1/32"]
    deployment, _ = peer.publish(
        PUBLISH,
        host="api.example.com",
        listeners=[{"port": port, "protocol": "HTTP"}],
        auth={"mode": "none"},
        routes=[
            {
                "id": str(uuid.UUID(int=2)),
                "match": "prefix",
                "path": "/billing",
                "methods": ["GET"],
                "rewrite": rewrite,
                "timeout_ms": 2000,
                "upstream_id": str(uuid.UUID(int=3)),
            }
        ],
        upstreams=[
            {
                "id": str(uuid.UUID(int=3)),
                "name": "web",
                "backends": [
                    {
                        "id": str(uuid.UUID(int=4)),
                        "host": "127.0.0.1",
                        "port": peer.http_port,
                        "weight": 1,
                    }
                ],
            }
        ],
    )
    return deployment


async def applied(peer: Peer, deployment: str) -> None:
    finals = (pb.OUTCOME_APPLIED, pb.OUTCOME_FAILED)
    await until(lambda: peer.outcome(deployment) in finals, "a verdict", 20)
    result = peer.results(deployment)[-1]
    assert result.outcome == pb.OUTCOME_APPLIED, result.error


async def served(port: int, address: str = "127.0.0.1") -> bool:
    """Whether a call reaches the backend: the peer refuses it with 401 for want of a token."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            url = f"http://{address}:{port}/billing"
            answer = await client.get(url, headers={"Host": "api.example.com"})
        except httpx.HTTPError:
            return False
    return answer.status_code == 401


async def test_faults_from_inside_are_for_one_machine_only(program: Program, peer: Peer) -> None:
    await program.join(peer)
    program.state.save_identity(replace(program.state.identity(), plaintext=False))
    refused = await program.call("run", IMP_FAULT_POINT="agent.applied")
    assert refused.code == Exit.FAILED
    assert "IMP_FAULT_POINT" in refused.err


async def test_a_gateway_listens_only_where_it_was_bound(
    program: Program, peer: Peer, port: int
) -> None:
    wrong = await program.call("join", "--server", "x:1", "--bind", "localhost")
    assert (wrong.code, "not an IPv4 address" in wrong.err) == (Exit.USAGE, True)
    await program.join(peer, "--bind", "127.0.0.2")
    await program.run()
    deployment = publish(peer, port)
    peer.hint()
    await applied(peer, deployment)
    assert await served(port, "127.0.0.2")
    assert not await served(port)


async def test_the_whole_life_of_an_agent_with_a_real_envoy(
    program: Program, peer: Peer, port: int
) -> None:
    assert (await program.join(peer, "--name", "edge-1")).code == Exit.OK
    agent = await program.run()
    deployment = publish(peer, port)
    peer.hint()
    await applied(peer, deployment)
    assert await served(port)
    envoy = program.envoy

    # Killed without warning: the gateway serves on, and the next agent adopts it.
    agent.kill()
    await agent.wait()
    assert await served(port)
    assert (await program.status())["running"] is False
    connects = peer.connects
    agent = await program.run()
    await until(lambda: peer.connects == connects + 1, "connected again")
    shown = await program.status()
    assert shown["pid"] == agent.pid
    assert program.envoy == envoy
    assert await served(port)

    # A second one on the same folder stays out.
    second = await program.call("run")
    assert second.code == Exit.LOCKED
    assert "Another agent runs" in second.err

    # Told to stop: a goodbye, and the gateway serves on.
    peer.heard.clear()
    assert (await program.call("stop")).code == Exit.OK
    assert await agent.wait() == Exit.OK
    assert peer.heard[-1].goodbye.reason == pb.Goodbye.STOPPING
    assert await served(port)

    # An orphan gateway can be stopped, too.
    assert "gateway is stopped" in (await program.call("stop", "--gateway")).out
    assert not await served(port)
    assert not program.has_gateway


async def test_the_gateway_is_served_from_disk_after_everything_was_off(
    program: Program, port: int
) -> None:
    peer = Peer()
    async with peer.serving():
        await program.join(peer)
        agent = await program.run()
        deployment = publish(peer, port)
        peer.hint()
        await applied(peer, deployment)
        assert (await program.call("stop", "--gateway")).out == "Stopped, with its gateway.\n"
        assert await agent.wait() == Exit.OK
        assert not await served(port)
        web = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    web.close()

    # No control plane anywhere.
    agent = await program.run()
    deadline = time.monotonic() + 10
    while (shown := await program.status())["gateway"]["ready"] is False:
        assert time.monotonic() < deadline
    async with httpx.AsyncClient(trust_env=False) as client:
        url, headers = f"http://127.0.0.1:{port}/billing", {"Host": "api.example.com"}
        answer = await client.get(url, headers=headers)
    assert answer.status_code == 503  # Envoy knows the route; its backend went with the peer
    assert shown["connected"] is False
    agent.send_signal(signal.SIGTERM)
    assert await agent.wait() == Exit.OK


async def test_a_revoked_agent_exits_with_its_own_code(program: Program, peer: Peer) -> None:
    await program.join(peer)
    agent = await program.run()
    await until(lambda: peer.connects == 1)
    gone = pb.Goodbye(reason=pb.Goodbye.REVOKED)
    peer.tell(pb.ServerMessage(goodbye=gone))

    assert await agent.wait() == Exit.REVOKED
    again = await program.call("run")
    assert again.code == Exit.REVOKED
    assert "imp-agent join" in again.err
    assert "not running, revoked" in (await program.call("status")).out


async def test_logs_are_json_lines_without_secrets(program: Program, peer: Peer) -> None:
    await program.join(peer)
    agent = await program.run()
    await until(lambda: peer.connects == 1)
    agent.terminate()
    _, err = await agent.communicate()

    lines = [json.loads(line) for line in err.decode().splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()
    assert any(line["message"] == "Connected" for line in lines)
    secrets = [*peer.tokens, peer.rest_token, program.state.key_file.read_text().split("\n")[1]]
    assert not [secret for secret in secrets if secret in err.decode()]


async def test_status_shows_what_is_served(program: Program, peer: Peer, port: int) -> None:
    assert (await program.call("status")).code == Exit.NOT_RUNNING
    await program.join(peer, "--name", "edge-1")
    await program.run()
    deployment = publish(peer, port)
    peer.hint()
    await applied(peer, deployment)
    shown = await program.call("status")

    assert shown.code == Exit.OK
    words = " ".join(shown.out.split())
    assert "agent edge-1 (" in words
    assert "cluster seoul-1" in words
    assert ", connected" in words
    assert "gateway envoy, ready" in words
    assert f"publish {PUBLISH} at {peer.wanted[PUBLISH]['revision'][:8]}" in words


# --- join on the command line ---


async def test_joining_again_keeps_the_identity_even_with_a_spent_token(
    program: Program, peer: Peer
) -> None:
    assert (await program.join(peer)).code == Exit.OK
    identity = program.state.identity()
    again = await program.join(peer)
    assert again.code == Exit.OK
    assert "has already joined cluster seoul-1" in again.out
    assert "knows this agent" in again.out
    spent = await program.call("join", "--server", identity.server, "--token", "igr_spent")
    assert spent.code == Exit.OK
    assert "token is unknown" in spent.out
    assert program.state.identity() == identity


async def test_the_token_may_come_from_a_file_stdin_or_the_environment(
    program: Program, peer: Peer, tmp_path: Path
) -> None:
    server = ("--server", f"127.0.0.1:{peer.port}", "--name", "edge-1")
    file = tmp_path / "token"
    file.write_text(peer.issue_token() + "\n")
    assert (await program.call("join", *server, "--token-file", str(file))).code == Exit.OK
    for stdin, options, env in (
        (peer.issue_token(), ("--token-file", "-"), {}),
        ("", (), {"IMP_AGENT_TOKEN": peer.issue_token()}),
    ):
        program.state.identity_file.unlink()
        assert (await program.call("join", *server, *options, stdin=stdin, **env)).code == Exit.OK


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--server", "127.0.0.1:1", "--token", "x"), Exit.UNREACHABLE, "cannot be reached"),
        (("--server", "127.0.0.1:1"), Exit.USAGE, "A registration token is needed"),
        (("--server", "nonsense", "--token", "x"), Exit.USAGE, "is not host:port"),
        (("--token", "x"), Exit.USAGE, "is not host:port"),
        (("--server", "a:1", "--token", "x", "--name", "Foo_Bar"), Exit.USAGE, "--name"),
        (("--server", "a:1", "--token-file", "/nowhere"), Exit.USAGE, "cannot be read"),
        (("--server", "a:1", "--token", "x", "--ca-sha256", "ab"), Exit.REFUSED, "64 hexadecimal"),
    ],
)
async def test_each_mistake_has_its_words_and_its_code(
    program: Program, options: tuple[str, ...], code: Exit, words: str
) -> None:
    finished = await program.call("join", *options)

    assert finished.code == code
    assert words in finished.err
    assert "Traceback" not in finished.err


async def test_commands_on_a_folder_without_an_agent_say_what_to_do(program: Program) -> None:
    for verb in ("run", "status", "stop"):
        finished = await program.call(verb)
        assert finished.code == Exit.NOT_RUNNING
        assert "imp-agent join" in finished.err


async def test_a_taken_default_port_is_no_reason_not_to_run(program: Program, peer: Peer) -> None:
    await program.join(peer)
    taken = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    busy = taken.sockets[0].getsockname()[1]
    refused = await program.call("run", "--listen", f"127.0.0.1:{busy}")
    taken.close()

    assert refused.code == Exit.FAILED
    assert "--listen" in refused.err


def test_the_default_name_is_one_that_kubernetes_would_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for host, name in (
        ("Edge_1.example.com", "edge-1"),
        ("-x-", "x"),
        ("서울", "agent"),
        ("a" * 70, "a" * 63),
    ):
        monkeypatch.setattr(socket, "gethostname", lambda host=host: host)
        assert cli.default_name() == name


def test_version_is_printed() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "agents.edge.cli", "version"],
        capture_output=True,
        check=True,
        text=True,
    )

    assert out.stdout.startswith("imp-agent ")
