"""The whole product on one machine: databases, portal processes, a sample backend, an agent with Envoy.

`make demo` keeps its data and uses well-known ports; the smoke test uses the same class with a temporary
folder and free ports, so what it proves is what a newcomer runs.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from deploy.local import envoys, paths, ports, unprivileged
from deploy.local.postgres import Postgres
from deploy.local.processes import Child, ChildFailed, Group
from deploy.local.valkey import Valkey

SEED_MARK = "{"
ASGI = "config.asgi:application"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Ports:
    web: int
    agentd: int
    gateway: int
    upstream: int

    @classmethod
    def from_env(cls) -> Self:
        return cls(
            web=ports.from_env("WEB_PORT", 8000),
            agentd=ports.from_env("AGENTD_PORT", 9443),
            gateway=ports.from_env("GATEWAY_PORT", 8080),
            upstream=ports.from_env("UPSTREAM_PORT", 9100),
        )

    @classmethod
    def free(cls) -> Self:
        return cls(*ports.free(4))

    def require_free(self) -> None:
        """Every port, before anything is started."""
        named = {
            "WEB_PORT": self.web,
            "AGENTD_PORT": self.agentd,
            "GATEWAY_PORT": self.gateway,
            "UPSTREAM_PORT": self.upstream,
        }
        for variable, port in named.items():
            twins = [other for other, same in named.items() if same == port and other != variable]
            if twins:
                raise ports.PortError(f"{variable} and {twins[0]} are both {port}.")
            ports.require_free(port, variable)


class Stack:
    """Everything between `start` and `stop`; use as a context manager, so that nothing is left behind."""

    def __init__(
        self,
        home: Path,
        where: Ports,
        *,
        durable: bool = True,
        say: Callable[[str], None] = print,
    ):
        self.home = home.absolute()
        self.ports = where
        self.say = say
        self.group = Group(say)
        self.postgres = Postgres(self.home / "postgres", durable=durable)
        self.valkey = Valkey(self.home / "valkey")
        self.logs = self.home / "log"
        self.extra_environment: dict[str, dict[str, str]] = {}  # by child: what it gets besides

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports.web}"

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.gateway}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Databases, schema, then what needs them."""
        envoys.stop_all(self.home)
        self.ports.require_free()
        self._make_folders()
        self.start_databases()
        self._step("Schema", lambda: self.manage("migrate", "--noinput"))
        self.start_portal()

    def start_databases(self) -> None:
        # Adopted first: an interrupt while they start finds them in the group.
        self.group.adopt(self.postgres.child)
        self._step("PostgreSQL", self.postgres.start)
        self.group.adopt(self.valkey.child)
        self._step("Valkey", self.valkey.start)

    def start_portal(self) -> None:
        web, agentd = self.ports.web, self.ports.agentd
        self._spawn(
            "web",
            # -v 0: the portal logs its requests itself, as JSON.
            [_program("daphne"), "-v", "0", "-b", "127.0.0.1", "-p", str(web), ASGI],
            ready=lambda: responds(f"{self.url}/healthz"),
        )
        self._spawn("agentd", _manage("runagentd"), ready=lambda: ports.answers(agentd))
        self._spawn("worker", _manage("procrastinate", "worker"))
        upstream = self.ports.upstream
        self._spawn(
            "upstream",
            [sys.executable, "-m", "deploy.local.upstream", "--port", str(upstream)],
            ready=lambda: responds(f"http://127.0.0.1:{upstream}/healthz"),
        )

    def seed(self, *options: str) -> dict[str, Any]:
        """The demo's data, made through the services. Idempotent; answers what a newcomer must know.

        With --finish, the part that needs a live publish: the subscription and its key.
        """
        what = "Subscription" if "--finish" in options else "Demo data"
        where = ["--gateway-port", str(self.ports.gateway)]
        where += ["--upstream", f"127.0.0.1:{self.ports.upstream}"]
        output = self._step(what, lambda: self.manage("seed_demo", *where, *options, "--json"))
        lines = [line for line in output.splitlines() if line.startswith(SEED_MARK)]
        if not lines:
            raise ChildFailed(f"seed_demo printed no JSON line.\n{output}")
        return json.loads(lines[-1])

    def start_agent(self, token: str, name: str = "agent-1", bind: str = "127.0.0.1") -> Child:
        """Join once, then run: the state folder holds the identity.

        A revoked one stays, as in a container: its end would end the portal that revoked it.
        """
        state = self.agent_state(name)
        if not has_joined(state):
            self._step(f"Joining {name}", lambda: self.join(token, name, bind))
        run = [*self._agent("run", name), "--on-revoked", "serve"]
        return self._spawn(name, run, cwd=self.home)

    def join(self, token: str, name: str = "agent-1", bind: str = "127.0.0.1") -> str:
        where = ["--server", self.agents_server(name), "--token", token, "--bind", bind]
        return self._run([*self._agent("join", name), *where, "--name", name], cwd=self.home)

    def agents_server(self, name: str) -> str:
        """Where that agent finds agentd."""
        return f"127.0.0.1:{self.ports.agentd}"

    def child(self, name: str) -> Child:
        """The process of that name, for whoever means to disturb it."""
        return next(child for child in self.group if child.name == name)

    def admin_socket(self, agent: str = "agent-1") -> str:
        """Where that agent's Envoy tells about itself."""
        bootstrap = json.loads((self.agent_state(agent) / "bootstrap.json").read_text())
        return str(bootstrap["admin"]["address"]["pipe"]["path"])

    def envoy_pid(self, agent: str = "agent-1") -> int:
        """The Envoy that the agent wrote down last; 0 when there is none."""
        return envoys.pid_in(self.agent_state(agent) / "envoy.json")

    def agent_state(self, name: str = "agent-1") -> Path:
        return self.home / "agents" / name

    def manage(self, *arguments: str) -> str:
        """Run a management command and return what it printed."""
        return self._run(_manage(*arguments), cwd=paths.ROOT)

    def stop(self) -> None:
        """The agent before its Envoy, which outlives it by design; the databases last."""
        try:
            self.group.stop()
        finally:
            envoys.stop_all(self.home)

    def wipe(self) -> None:
        """Remove all data. The stack must be stopped."""
        envoys.stop_all(self.home)
        self.postgres.destroy()
        self.valkey.destroy()
        shutil.rmtree(self.home, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """The settings' environment, for the children and for whoever runs manage.py beside them."""
        agentd = f"127.0.0.1:{self.ports.agentd}"
        return {
            "DEBUG": "true",
            "SECRET_KEY": self._secret("secret_key"),
            "TOKEN_PEPPER": self._secret("token_pepper"),
            "ENCRYPTION_KEYS": self._secret("encryption_key"),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.valkey.url,
            "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
            "CSRF_TRUSTED_ORIGINS": f"{self.url},http://localhost:{self.ports.web}",
            "PUBLIC_URL": self.url,
            "AGENT_GRPC_ADDRESS": agentd,
            "AGENTD_LISTEN": agentd,
        }

    def _make_folders(self) -> None:
        unprivileged.make_folder(self.home)
        for folder in (self.logs, self.home / "secrets", self.home / "agents"):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _secret(self, name: str) -> str:
        """Made once for this folder: sessions and key hashes survive a restart."""
        path = self.home / "secrets" / name
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(48))
        return path.read_text()

    def _agent(self, verb: str, name: str) -> list[str]:
        return [_program("imp-agent"), verb, "--state-dir", str(self.agent_state(name))]

    def _spawn(
        self,
        name: str,
        argv: list[str],
        *,
        ready: Callable[[], bool] | None = None,
        cwd: Path = paths.ROOT,
    ) -> Child:
        env = {**self._child_env(), **self.extra_environment.get(name, {})}
        child = Child(name, argv, self.logs / f"{name}.log", env=env, cwd=cwd, ready=ready)
        self._step(name, lambda: self.group.start(child))
        return child

    def _run(self, argv: list[str], cwd: Path) -> str:
        result = subprocess.run(
            argv, cwd=cwd, env=self._child_env(), capture_output=True, text=True, check=False
        )
        if result.returncode:
            words = (result.stderr.strip() or result.stdout.strip())[-3000:]
            raise ChildFailed(f"{' '.join(argv[:3])} failed with {result.returncode}.\n{words}")
        return result.stdout

    def _child_env(self) -> dict[str, str]:
        return {**_without_proxies(os.environ), **self.environment()}

    def _step(self, what: str, act: Callable[[], Result]) -> Result:
        began = time.monotonic()
        result = act()
        self.say(f"  {what:<14} {time.monotonic() - began:5.1f} s")
        return result


def has_joined(state: Path) -> bool:
    """The agent writes its identity only after the server has accepted it."""
    return (state / "identity.json").exists()


def responds(url: str, headers: Mapping[str, str] | None = None) -> bool:
    """Whether a GET is answered with a 2xx."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    # No proxy of the machine's environment may stand between us and loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=2) as answer:
            return 200 <= answer.status < 300
    except OSError:
        return False


def wait_for(check: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Poll until it holds; say what did not hold when time is up."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            raise ChildFailed(f"{what} did not happen within {seconds:.0f} s.")
        time.sleep(0.1)


def _program(name: str) -> str:
    return str(paths.program(name))


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(paths.ROOT / "manage.py"), *arguments]


def _without_proxies(env: Mapping[str, str]) -> dict[str, str]:
    """All traffic of the demo is on loopback; a proxy would only break it."""
    return {name: value for name, value in env.items() if not name.lower().endswith("_proxy")}
