"""The outermost layers of a request: who asks, and how much they may send."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from core.context import Origin, origin
from core.envelope import error_response

GetResponse = Callable[[HttpRequest], HttpResponse]
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
log = logging.getLogger("request")


class OriginMiddleware:
    """Names every request: in core.context, in the logs, in the answer's X-Request-ID."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        where = Origin(
            request_id=_request_id(request),
            ip=client_ip(request),
            user_agent=request.headers.get("User-Agent", "")[:300],
        )
        token = origin.set(where)
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = where.request_id
            _log(request, response, time.perf_counter() - started)
            return response
        finally:
            origin.reset(token)


class BodyLimitMiddleware:
    """Refuses a large body by its declared length, before anything reads it.

    A body without a length (chunked) reaches DRF as no body at all, so an API call's is refused as well.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_api = request.path.startswith("/api/")
        if is_api and "Transfer-Encoding" in request.headers and not _declared_length(request):
            return error_response(411, "length_required", _("Send the body with a Content-Length."))
        limit = _limit(request, is_api)
        if _declared_length(request) <= limit:
            return self.get_response(request)
        if is_api:
            message = _("The body may have %(limit)s bytes at most.") % {"limit": limit}
            return error_response(413, "payload_too_large", message)
        return render(request, "413.html", {"megabytes": limit // 1024**2}, status=413)


class CacheMiddleware:
    """No proxy keeps what a tenant sees, and nobody what the API tells, unless a view says otherwise.

    Browsers may keep pages for their Back button: a form that was left keeps what was typed.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_api = request.path.startswith("/api/")
        response.setdefault("Cache-Control", "no-store" if is_api else "private, no-cache")
        return response


def _limit(request: HttpRequest, is_api: bool) -> int:
    if is_api and request.path not in settings.DOCUMENT_PATHS:
        return settings.BODY_LIMIT
    return settings.DOCUMENT_BODY_LIMIT


def client_ip(request: HttpRequest) -> str | None:
    """The caller's address, as seen by the outermost proxy that we trust."""
    address = request.META.get("REMOTE_ADDR", "")
    if settings.TRUSTED_PROXIES:
        forwarded = request.headers.get("X-Forwarded-For", "").split(",")
        if len(forwarded) >= settings.TRUSTED_PROXIES:
            address = forwarded[-settings.TRUSTED_PROXIES]
    try:
        return str(ipaddress.ip_address(address.strip()))
    except ValueError:
        return None


def _request_id(request: HttpRequest) -> str:
    given = request.headers.get("X-Request-ID", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _declared_length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _log(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    level = logging.DEBUG if request.path.startswith(settings.STATIC_URL) else logging.INFO
    log.log(
        level,
        "%s %s %s",
        request.method,
        request.path,
        response.status_code,
        extra={"status": response.status_code, "ms": round(seconds * 1000, 1)},
    )
