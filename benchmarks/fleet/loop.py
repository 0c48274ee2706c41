"""One thread, one epoll, timers; and bytes to and from one address, with TLS or without."""

from __future__ import annotations

import errno
import heapq
import itertools
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
CHUNK = 65536
LONGEST_WAIT = 1.0


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.running = True

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        if self._handlers.pop(fd, None):
            self._epoll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), call))

    def run(self) -> None:
        while self.running:
            for fd, events in self._epoll.poll(self._wait(), 256):
                if handler := self._handlers.get(fd):
                    handler(events)
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()

    def _wait(self) -> float:
        if not self._timers:
            return LONGEST_WAIT
        return min(LONGEST_WAIT, max(0.0, self._timers[0][0] - time.monotonic()))


class Channel:
    """Never blocks. `on_lost` is called once, unless the channel was closed from here."""

    def __init__(
        self,
        loop: Loop,
        address: tuple[str, int],
        *,
        on_open: Callable[[], None],
        on_bytes: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
        source: str = "",
    ) -> None:
        self._loop, self._address, self._tls = loop, address, tls
        self._on_open, self._on_bytes, self._on_lost = on_open, on_bytes, on_lost
        self._out = bytearray()
        self._step = self._connect
        self._sock = socket.socket()
        self._sock.setblocking(False)
        self._fd = self._sock.fileno()
        if source:
            # The kernel then chooses the port when it knows the other end: as many as there are.
            self._sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            self._sock.bind((source, 0))
        error = self._sock.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            # Not from inside the constructor: the caller does not hold us yet.
            loop.after(0, lambda: self._lose(errno.errorcode[error]))
            return
        loop.watch(self._fd, WRITE, self._ready)

    def write(self, data: bytes | bytearray) -> None:
        self._out += data
        if self._step == self._talk:
            self._guarded(self._flush)

    def close(self, *, abort: bool = False) -> None:
        """`abort` resets the connection, as a process that is killed does."""
        self._on_lost = _ignore
        if abort and self._sock.fileno() >= 0:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._release()

    def _ready(self, _events: int) -> None:
        self._guarded(self._step)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (ssl.SSLWantReadError, BlockingIOError):
            self._loop.change(self._fd, READ)
        except ssl.SSLWantWriteError:
            self._loop.change(self._fd, READ | WRITE)
        except (OSError, EOFError) as error:
            self._lose(str(error) or type(error).__name__)

    def _connect(self) -> None:
        if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, errno.errorcode[error])
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            self._sock = self._tls.wrap_socket(
                self._sock, do_handshake_on_connect=False, server_hostname=self._address[0]
            )
        self._step = self._greet
        self._greet()

    def _greet(self) -> None:
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.do_handshake()
        self._step = self._talk
        self._loop.change(self._fd, READ)
        self._on_open()
        self._flush()

    def _talk(self) -> None:
        self._flush()
        while data := self._sock.recv(CHUNK):
            self._on_bytes(data)
            if self._sock.fileno() < 0:
                return
        raise EOFError("closed by the server")

    def _flush(self) -> None:
        while self._out and self._sock.fileno() >= 0:
            try:
                sent = self._sock.send(self._out)
            except BlockingIOError:
                self._loop.change(self._fd, READ | WRITE)
                return
            del self._out[:sent]

    def _lose(self, why: str) -> None:
        tell, self._on_lost = self._on_lost, _ignore
        self._release()
        tell(why)

    def _release(self) -> None:
        self._loop.forget(self._fd)
        self._sock.close()


def _ignore(_why: str) -> None:
    pass
