"""A PostgreSQL and a Valkey that leave nothing behind, for tests and for checks that need settings.

`python -m deploy.local.throwaway manage.py check` runs that command with this Python against them.
DATABASE_URL or REDIS_URL set by the caller are used as they are.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local import processes
from deploy.local.postgres import Postgres
from deploy.local.valkey import Valkey

SECRETS = ("SECRET_KEY", "TOKEN_PEPPER", "ENCRYPTION_KEYS")
FILLER = "a throwaway value: long and mixed enough for the deployment checks: 7hR2-kQ9z"


class Throwaway:
    """Knows its addresses at once, so that the environment can be set before the servers start."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imp-"))
        # PostgreSQL's user has to pass through it; mkdtemp made it ours alone.
        self.folder.chmod(0o711)
        self._servers: list[Postgres | Valkey] = []

    def set_environment(self) -> None:
        """Name the servers and secrets that the caller did not name."""
        if "DATABASE_URL" not in os.environ:
            os.environ["DATABASE_URL"] = self._own(Postgres(self.folder / "pg", durable=False))
        if "REDIS_URL" not in os.environ:
            os.environ["REDIS_URL"] = self._own(Valkey(self.folder / "valkey"))
        for name in SECRETS:
            os.environ.setdefault(name, f"{name} {FILLER}")

    def start(self) -> None:
        for server in self._servers:
            server.start()

    def stop(self) -> None:
        """Stop what was started and remove all of it."""
        for server in reversed(self._servers):
            server.stop()
            server.destroy()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.set_environment()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _own(self, server: Postgres | Valkey) -> str:
        self._servers.append(server)
        return server.url


def main() -> int:
    processes.exit_on_signals()
    with Throwaway():
        return subprocess.run([sys.executable, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
