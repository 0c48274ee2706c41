"""Calls a gateway every few milliseconds on one kept connection and notes when the answer changes."""

from __future__ import annotations

import socket
import threading
import time
from typing import Self

PAUSE = 0.002
PATIENCE = 30.0


class Watcher:
    """Runs beside whoever clicks. Times are of time.monotonic."""

    def __init__(
        self, port: int, host: str, path: str, key: str = "", *, wanted: int, method: str = "GET"
    ) -> None:
        self._port, self._wanted = port, wanted
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Length: 0"]
        lines += [f"x-api-key: {key}"] if key else []
        self._request = "\r\n".join([*lines, "", ""]).encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._connection: socket.socket | None = None
        self.first: float | None = None
        self.others: dict[int, int] = {}  # status -> how often, before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._connection:
            self._connection.close()

    def wait(self, seconds: float = PATIENCE) -> float:
        """When the wanted answer was there first."""
        self._thread.join(seconds)
        if self.first is None:
            raise TimeoutError(f"no {self._wanted} within {seconds:.0f} s, but {self.others}")
        return self.first

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                status = self._call()
            except OSError:
                status = 0
                self._connection = None
            if status == self._wanted:
                self.first = time.monotonic()
                return
            self.others[status] = self.others.get(status, 0) + 1
            time.sleep(PAUSE)

    def _call(self) -> int:
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self._port), timeout=5)
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.sendall(self._request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, body = answer.partition(b"\r\n\r\n")
        fields = head.decode("latin-1").lower().split("\r\n")
        length = next((int(f[15:]) for f in fields if f.startswith("content-length:")), 0)
        while len(body) < length:
            body += self._more()
        if "connection: close" in fields:
            self._connection.close()
            self._connection = None
        return int(head[9:12])

    def _more(self) -> bytes:
        assert self._connection is not None
        if not (part := self._connection.recv(65536)):
            raise ConnectionResetError
        return part
