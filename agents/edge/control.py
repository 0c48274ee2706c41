"""The documents the control plane serves over REST: what to run and who may call."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Iterable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from google.protobuf import json_format
from google.protobuf.message import Message

from agents.edge.reach import is_loopback
from agents.edge.store import Cursor, is_whole
from agents.wire import bundle_pb2

log = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(20, connect=5)
BUNDLES_AT_ONCE = 8
LARGEST_BODY = 64 * 1024 * 1024


Document = TypeVar("Document", bound=Message)


class Unavailable(RuntimeError):
    """No usable answer: worth another try later."""


class Unauthorized(Unavailable):
    """The REST token does not count any more: only a new stream brings another."""


class CursorGone(RuntimeError):
    """The control plane cannot tell what changed since then: read everything."""


class Control:
    """One session's access to the REST documents, over connections that are kept open."""

    def __init__(self, base_url: str, token: str, trust: ssl.SSLContext) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Unavailable(f"The control plane named {base_url!r} as its REST address.")
        local = is_loopback(parts.hostname)
        if parts.scheme == "http" and not local:
            raise Unavailable(
                f"The control plane named {base_url} as its REST address, which is not encrypted. "
                "Set its PUBLIC_URL to an https:// address."
            )
        self._client = httpx.AsyncClient(
            base_url=base_url.rstrip("/") + "/api/v1/agent/",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            verify=trust,
            timeout=TIMEOUT,
            trust_env=not local,
            limits=httpx.Limits(max_connections=BUNDLES_AT_ONCE + 2, keepalive_expiry=120),
        )
        self._slots = asyncio.Semaphore(BUNDLES_AT_ONCE)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def manifest(self, etag: str) -> tuple[bundle_pb2.Manifest, str] | None:
        """What to run now, with the tag of this answer; None when it is still what `etag` named."""
        answer = await self._get("manifest", headers={"If-None-Match": etag} if etag else {})
        if answer.status_code == httpx.codes.NOT_MODIFIED:
            return None
        return _parsed(_good(answer), bundle_pb2.Manifest()), answer.headers.get("ETag", "")

    async def bundles(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Those that are still to be had; each is what it is named after."""
        wanted = list(digests)
        found = await asyncio.gather(*(self._bundle(digest) for digest in wanted))
        return {
            digest: body for digest, body in zip(wanted, found, strict=True) if body is not None
        }

    async def _bundle(self, digest: str) -> bytes | None:
        async with self._slots:
            answer = await self._get(f"bundles/{digest}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            log.info("A bundle is not wanted any more", extra={"digest": digest})
            return None
        body = _good(answer).content
        if not is_whole(digest, body):
            log.error(
                "A bundle does not hash to its name and is not used", extra={"digest": digest}
            )
            return None
        return body

    async def secret(self, secret_id: str) -> bundle_pb2.Secret | None:
        """None for one that nothing of this cluster refers to any more."""
        async with self._slots:
            answer = await self._get(f"secrets/{quote(secret_id, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _parsed(_good(answer), bundle_pb2.Secret())

    async def access(self, cursor: Cursor) -> bundle_pb2.AccessPage:
        params: dict[str, Any] = {}
        if cursor.lineage:
            params = {
                "lineage": cursor.lineage,
                "after_version": cursor.after_version,
                "after_id": cursor.after_id,
            }
        answer = await self._get("access", params=params)
        if answer.status_code == httpx.codes.GONE:
            raise CursorGone
        return _parsed(_good(answer), bundle_pb2.AccessPage())

    async def _get(self, path: str, **options: Any) -> httpx.Response:
        """One GET. A kept connection that the other side has just closed is worth one more at once."""
        for last in (False, True):
            try:
                return await self._client.get(path, **options)
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if last:
                    raise Unavailable(_words(error, path)) from error
            except (httpx.HTTPError, httpx.InvalidURL, RuntimeError) as error:
                # RuntimeError: the session ended meanwhile, and the client with it.
                raise Unavailable(_words(error, path)) from error
        raise AssertionError("unreachable")


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Unauthorized(
            "The control plane does not take the REST token of this session any more."
        )
    if answer.status_code != httpx.codes.OK:
        raise Unavailable(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: "
            f"{_error_of(answer)}"
        )
    if len(answer.content) > LARGEST_BODY:
        raise Unavailable(f"{answer.request.url.path} answered more than {LARGEST_BODY} bytes.")
    return answer


def _error_of(answer: httpx.Response) -> str:
    """The message of the error envelope, or the beginning of whatever came instead."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def _parsed(answer: httpx.Response, into: Document) -> Document:
    try:
        return json_format.Parse(answer.content, into, ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise Unavailable(f"{answer.request.url.path} cannot be read: {error}") from error


def _words(error: Exception, path: str) -> str:
    return f"{path}: {str(error) or type(error).__name__}"
