"""What every REST view shares: errors mapped once, rows through `visible_to`, checked bodies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    ValidationError,
)
from django.db import DataError
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from rest_framework import exceptions, mixins
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import set_rollback

from core import answers, versions
from core.envelope import (
    DATABASE_AWAY,
    RETRY_SECONDS,
    database_away_body,
    error_body,
    not_found_body,
)
from core.errors import DomainError
from core.rest import Rendered

log = logging.getLogger(__name__)

UUID_REGEX = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"


def ok(data: Any = None, *, message: str = "", status: int = 200) -> Response:
    """An answer with a sentence for people in `message`."""
    response = Response(data, status=status)
    response.message = message
    return response


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Every error that a view may raise, mapped in this one place. The rest is a crash (500)."""
    mapped = _mapped(error)
    if mapped is None:
        return None
    status, body, headers = mapped
    set_rollback()
    return Response(body, status=status, headers=headers)


def _mapped(error: Exception) -> tuple[int, dict[str, Any], dict[str, str]] | None:
    if isinstance(error, DomainError):
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return error.status, error_body(error.code, error.message, error.details), headers
    if isinstance(error, exceptions.APIException):
        return error.status_code, _api_error(error), _headers(error)
    if isinstance(error, Http404 | ObjectDoesNotExist):
        return 404, not_found_body(), {}
    if isinstance(error, PermissionDenied):
        message = str(error) or _("You may not do this.")
        return 403, error_body("permission_denied", message), {}
    if isinstance(error, ValidationError):
        details = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        return 400, error_body("invalid", _first(details), details), {}
    if isinstance(error, RequestDataTooBig):
        return 413, error_body("payload_too_large", _("The body is too large.")), {}
    if isinstance(error, DataError):
        log.info("The database refused a value: %s", error)
        return 400, error_body("invalid", _("A value is out of range.")), {}
    if isinstance(error, DATABASE_AWAY):
        log.error("The database is away: %s", error)
        return 503, database_away_body(), {"Retry-After": RETRY_SECONDS}
    return None


CODES = {
    exceptions.ParseError: "malformed",
    exceptions.NotAuthenticated: "unauthenticated",
    exceptions.AuthenticationFailed: "unauthenticated",
    exceptions.PermissionDenied: "permission_denied",
}


def _api_error(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        return error_body("invalid", _first(error.detail), error.detail)
    if isinstance(error, exceptions.NotFound):
        return not_found_body()
    code = CODES.get(type(error)) or str(getattr(error.detail, "code", error.default_code))
    return error_body(code, str(error.detail))


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None):
        headers["Retry-After"] = f"{error.wait:.0f}"
    return headers


def _first(details: Any, path: str = "") -> str:
    """The first message with the field that it is about: "name: This field is required."."""
    if isinstance(details, dict):
        key, value = next(iter(details.items()), ("", ""))
        inner = "" if key in {"", "non_field_errors", "__all__"} else str(key)
        return _first(value, f"{path}.{inner}".strip("."))
    if isinstance(details, list | tuple):
        return _first(next((item for item in details if item), ""), path)
    return f"{path}: {details}" if path else str(details)


class VisibleMixin:
    """A viewset over the rows of `model` that the user may see; anything else is a 404."""

    model: Any
    lookup_value_regex = UUID_REGEX

    def get_queryset(self):
        return self.model.objects.visible_to(self.request.user)

    def get_object(self):
        """Filters are for lists."""
        row = get_object_or_404(self.get_queryset(), pk=self.kwargs["pk"])
        self.check_object_permissions(self.request, row)
        return row


def shared(action: Callable[..., Response]) -> Callable[..., Response]:
    """For a GET: what callers see alike is made once for all who ask just now (core.answers)."""

    @wraps(action)
    def answer(view: Any, request: Any, *args: Any, **kwargs: Any) -> Response:
        def make() -> str:
            return JSONRenderer().render(action(view, request, *args, **kwargs).data).decode()

        if ";" in request.accepted_media_type:  # asks for an indent
            return action(view, request, *args, **kwargs)
        return Response(Rendered(answers.shared(request, ("api", request.standing), make)))

    return answer


class SharedListMixin(mixins.ListModelMixin):
    list = shared(mixins.ListModelMixin.list)


class VersionedMixin:
    """Whoever sends back the ETag that they read overwrites nobody else's change.

    `versioned_actions` take If-Match: their services get `seen=versions.asked(request)`.
    """

    versioned_actions: Collection[str] = ("update", "partial_update", "destroy")
    versioned_reads: Collection[str] = ("retrieve", "create")

    def retrieve(self, request: Request, pk: str) -> Response:
        """The ETag changes with what is shown. Send it back in `If-Match`."""
        return self.answer(self.get_object())

    def answer(self, row: Any, status: int = 200) -> Response:
        fresh = self.get_queryset().get(pk=row.pk)
        headers = versions.headers(getattr(fresh, "updated_at", fresh))
        return Response(self.get_serializer(fresh).data, status=status, headers=headers)


def validated(serializer: type[BaseSerializer], request: Any, **options: Any) -> dict[str, Any]:
    """The checked body of a request, for a service: ValidationError becomes a 400."""
    body = serializer(data=request.data, **options)
    body.is_valid(raise_exception=True)
    return body.validated_data
