"""The one client for URLs that users give: it reaches the public Internet and nothing behind our own doors.

The name is resolved once, every address is judged, and the connection goes to a judged address: a second
answer of DNS cannot lead elsewhere. Each redirect starts over. Blocking, so only for workers.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import httpcore
from django.utils.translation import gettext as _

from core.addresses import internal, literal

MAX_URL = 2000
MAX_REDIRECTS = 5
REDIRECTS = frozenset((301, 302, 303, 307, 308))
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
ERRNO = re.compile(r"^\[Errno -?\d+\] ")
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Fetched:
    url: str  # after redirects
    body: bytes


class FetchFailed(Exception):
    """`code` and `details` can be kept and said again in another language, by `words`."""

    def __init__(self, code: str, **details: Any) -> None:
        super().__init__(code)
        self.code = code
        self.details = details


def words(code: str, details: dict[str, Any]) -> str:
    """What happened, for people."""
    known = {
        "url": _("This is not a link that can be fetched. Enter one that starts with https://."),
        "forbidden": _(
            "%(host)s is an internal address. Only public addresses are fetched; paste the document "
            "or upload it instead."
        ),
        "unknown_host": _("No address is known for %(host)s. Check the name."),
        "unreachable": _("%(host)s could not be reached: %(reason)s."),
        "timeout": _("%(host)s did not answer completely within %(seconds)s seconds."),
        "protocol": _("%(host)s did not answer in valid HTTP."),
        "status": _("%(host)s answered with status %(status)s instead of the document."),
        "encoding": _("%(host)s sent the document compressed although that was not asked for."),
        "too_large": _("The document is larger than %(megabytes)s MB."),
        "redirects": _("%(host)s redirects too often."),
    }
    return known[code] % details


def checked_url(url: str) -> SplitResult:
    """An absolute http(s) URL without credentials. Raises FetchFailed."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
        good = good and not (parts.username or parts.password)
    except ValueError:
        good = False
    if not good or len(url) > MAX_URL or any(mark.isspace() or ord(mark) < 32 for mark in url):
        raise FetchFailed("url")
    return parts


def fetch(
    url: str, *, limit: int, seconds: float = 20, allowed_networks: Iterable[str] = ()
) -> Fetched:
    """GET `url`, at most `limit` bytes within `seconds`, redirects included. Raises FetchFailed."""
    deadline, allowed = time.monotonic() + seconds, tuple(allowed_networks)
    for _hop in range(MAX_REDIRECTS + 1):
        parts = checked_url(url)
        host = parts.hostname or ""
        with _told_apart(host, seconds):
            answer = _get(parts, _Guard(deadline, allowed), limit)
        if isinstance(answer, bytes):
            return Fetched(url, answer)
        url = _joined(url, answer)
    raise FetchFailed("redirects", host=host)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:  # "http://[nothing"
        raise FetchFailed("url") from None


def _get(parts: SplitResult, guard: _Guard, limit: int) -> bytes | str:
    """The body, or where a redirect points to."""
    host = _ascii(parts.hostname or "")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        target += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    # Built from checked parts: no second parser may read the URL differently.
    url = httpcore.URL(scheme=parts.scheme, host=host, port=parts.port, target=target)
    headers: dict[bytes | str, bytes | str] = {
        "Host": _host_header(host, parts),
        "Accept": "application/json, application/yaml, */*",
        "Accept-Encoding": "identity",
        "User-Agent": "imp-gateway",
    }
    timeout = {"connect": CONNECT_SECONDS, "read": READ_SECONDS, "write": READ_SECONDS}
    with (
        httpcore.ConnectionPool(
            network_backend=guard, ssl_context=ssl.create_default_context(), max_connections=1
        ) as pool,
        pool.stream("GET", url, headers=headers, extensions={"timeout": timeout}) as response,
    ):
        return _answer(response, limit, parts.hostname or "")


def _answer(response: httpcore.Response, limit: int, host: str) -> bytes | str:
    headers = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    if response.status in REDIRECTS and b"location" in headers:
        return headers[b"location"]
    if response.status != 200:
        raise FetchFailed("status", host=host, status=response.status)
    if headers.get(b"content-encoding", "identity") != "identity":
        raise FetchFailed("encoding", host=host)
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > limit:
            raise FetchFailed("too_large", megabytes=limit // 1024**2)
    return bytes(body)


@contextmanager
def _told_apart(host: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException:
        raise FetchFailed("timeout", host=host, seconds=round(seconds)) from None
    except httpcore.NetworkError as error:
        reason = ERRNO.sub("", str(error))[:200].rstrip(".")
        raise FetchFailed("unreachable", host=host, reason=reason) from None
    except (httpcore.ProtocolError, UnicodeError):
        raise FetchFailed("protocol", host=host) from None


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        raise FetchFailed("unknown_host", host=host) from None


def _host_header(host: str, parts: SplitResult) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if parts.port in {None, PORTS[parts.scheme]} else f"{shown}:{parts.port}"


class _Guard(httpcore.NetworkBackend):
    """Connects to judged addresses only, and never past the deadline."""

    def __init__(self, deadline: float, allowed: tuple[str, ...]) -> None:
        self._deadline = deadline
        self._allowed = allowed
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._judged(host, port)
        for address in addresses[:-1]:
            try:
                return self._connect(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(addresses[-1], port, timeout)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        raise NotImplementedError

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)

    def _connect(self, address: str, port: int, timeout: float | None) -> httpcore.NetworkStream:
        rest = _rest(self._deadline, timeout)
        return _Hurried(self._inner.connect_tcp(address, port, timeout=rest), self._deadline)

    def _judged(self, host: str, port: int) -> list[str]:
        """Every address of the name, or none: a name that also leads inside is refused."""
        meant = literal(host)
        found = [str(meant)] if meant is not None else _resolve(host, port)
        if any(internal(address, self._allowed) for address in found):
            raise FetchFailed("forbidden", host=host)
        return found


class _Hurried(httpcore.NetworkStream):
    """A stream whose every wait ends at the deadline, so that a trickle of bytes cannot outlast it."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _rest(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, _rest(self._deadline, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        rest = _rest(self._deadline, timeout)
        return _Hurried(self._inner.start_tls(ssl_context, server_hostname, rest), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _rest(deadline: float, timeout: float | None) -> float:
    rest = deadline - time.monotonic()
    if rest <= 0:
        raise httpcore.ReadTimeout
    return rest if timeout is None else min(rest, timeout)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchFailed("unknown_host", host=host) from None
    # Without a zone: "fe80::1%eth0" is judged as what it is.
    return list(dict.fromkeys(str(ip_address(str(entry[4][0]))) for entry in found))
