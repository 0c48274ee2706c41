"""The whole product in a temporary folder, for one benchmark: the stack, its Django, its people."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import bulk, certificates, footprint
from deploy.local import paths
from deploy.local.processes import Child
from deploy.local.smoke.portal import wait_until
from deploy.local.smoke.scene import Scene
from deploy.local.stack import Ports, Stack

# As docs/operations.md says it for production.
WEB = (
    "--interface wsgi --host 127.0.0.1 --workers 2 --blocking-threads 2 --backpressure 2048"
    " --log-level warning"
)


class BenchStack(Stack):
    """The product as in production: granian, no DEBUG, agentd over TLS and in several processes."""

    def __init__(
        self, home: Path, *, tls: bool = False, rest_port: int | None = None, pages: bool = False
    ) -> None:
        super().__init__(home, Ports.free(), durable=True)
        self.ca = home / "ca.pem" if tls else None
        self._rest_port = rest_port
        self._pages = pages

    def environment(self) -> dict[str, str]:
        # As in production, but for TLS on the portal's side: DEBUG keeps and times every query.
        values = super().environment() | {
            "DEBUG": "false",
            "HTTPS": "false",
            "LOG_LEVEL": "WARNING",
            "STATIC_ROOT": str(self.home / "static"),
        }
        if self.ca:
            pair = self.home / "agentd.pem", self.home / "agentd.key"
            if not self.ca.exists():
                certificates.write(self.ca, *pair)
            values |= {"AGENTD_TLS_CERT": str(pair[0]), "AGENTD_TLS_KEY": str(pair[1])}
        if self._rest_port:
            # Agents read through a counter that stands before the portal.
            values["PUBLIC_URL"] = f"http://127.0.0.1:{self._rest_port}"
        return values

    def start_portal(self) -> None:
        if self._pages:
            self._step("Static files", lambda: self.manage("collectstatic", "--noinput"))
        super().start_portal()

    def _spawn(self, name: str, argv: list[str], **how: Any) -> Child:
        if name == "web":
            granian = str(paths.program("granian"))
            argv = [granian, *WEB.split(), "--port", str(self.ports.web), "config.wsgi:application"]
        return super()._spawn(name, argv, **how)

    def _agent(self, verb: str, name: str) -> list[str]:
        trust = ["--ca-file", str(self.ca)] if self.ca and verb == "join" else []
        return [*super()._agent(verb, name), *trust]

    def cpu_seconds(self, name: str) -> float:
        """That the child and its own children used so far."""
        return footprint.cpu_seconds(footprint.tree_of(self.child(name).pid))

    def serve_agents(self, processes: int) -> Child:
        """agentd anew, in so many processes."""
        agentd = self.child("agentd")
        agentd.stop()
        base = agentd.argv[: agentd.argv.index("runagentd") + 1]
        agentd.argv = [*base, "--processes", str(processes)] if processes > 1 else base
        agentd.start()
        return agentd


@contextmanager
def started(**how: Any) -> Iterator[BenchStack]:
    """Running, with this process's Django set up for its database; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="imp-bench-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o711)  # PostgreSQL's user has to pass through
        with BenchStack(home / "stack", **how) as stack:
            stack.start()
            use_django(stack)
            yield stack


def use_django(stack: Stack) -> None:
    """One stack for each process: settings are read once."""
    os.environ.update(stack.environment())
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django

    django.setup()


def scene_of(stack: Stack, *, agents: bool = True, backend: int | None = None) -> Scene:
    """Signed in as operator, provider and consumer, with a cluster; its agent is at work."""
    if backend:
        stack.ports = replace(stack.ports, upstream=backend)
    scene = Scene.enter(stack, bulk.people())
    scene.register_cluster()
    scene.template = scene.make_gateway("bench gateway", stack.ports.gateway)
    if agents:
        stack.start_agent(scene.agent_token)
        wait_until(lambda: scene.cluster_status() == "active", "the cluster becoming active")
    return scene


def has_processes() -> bool:
    """Whether this agentd can run in several processes."""
    command = paths.ROOT / "agents" / "server" / "management" / "commands" / "runagentd.py"
    return "--processes" in command.read_text()
