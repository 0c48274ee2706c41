"""What services raise. Mapped once: pages (core.htmx), the API (core.api), gRPC (agents.server)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DomainError(Exception):
    """A rule says no: 409 in the API, a form error in pages, FAILED_PRECONDITION in gRPC.

    `code` is stable and for programs, `message` is for people: what happened, why, what to do next.
    """

    status = 409
    code = "conflict"

    def __init__(
        self, message: str, *, code: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details = dict(details or {})


class InvalidTransition(DomainError):
    code = "invalid_state"


class InvalidInput(DomainError):
    """A value is wrong: 400 with the field's name, a field error in pages, INVALID_ARGUMENT in gRPC."""

    status = 400
    code = "invalid"

    def __init__(self, message: str, *, field: str, code: str | None = None) -> None:
        super().__init__(message, code=code, details={field: [message]})
        self.field = field


class Stale(DomainError):
    """The caller read an older version than the one it would overwrite: 412."""

    status = 412
    code = "stale"


class Unauthenticated(DomainError):
    """The caller is not who it says: 401, UNAUTHENTICATED."""

    status = 401
    code = "unauthenticated"


class Gone(DomainError):
    """What was asked for existed once and cannot be told any more: 410, OUT_OF_RANGE."""

    status = 410
    code = "gone"
