"""What services raise, as gRPC statuses: the one place for it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import grpc
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import DataError, InterfaceError, OperationalError
from google.protobuf.message import DecodeError

from core.errors import DomainError

CODE_KEY = "imp-error"  # trailing metadata: the error's stable code, for programs
log = logging.getLogger(__name__)

BY_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    410: grpc.StatusCode.OUT_OF_RANGE,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    status: grpc.StatusCode
    code: str
    message: str

    @property
    def trailers(self) -> tuple[tuple[str, str], ...]:
        return ((CODE_KEY, self.code),)


class Refused(Exception):
    """A call ends here, with this status."""

    def __init__(self, status: grpc.StatusCode, code: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, code, message)


class InvalidMessage(Refused):
    def __init__(self, message: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, "invalid_message", message)


class TooSlow(Refused):
    def __init__(self) -> None:
        message = "The agent does not read its stream."
        super().__init__(grpc.StatusCode.DEADLINE_EXCEEDED, "too_slow", message)


def refusal(error: BaseException) -> Refusal:
    """Never the words of an unexpected error: they may hold what the caller must not see."""
    if isinstance(error, Refused):
        return error.refusal
    if isinstance(error, DomainError):
        status = BY_STATUS.get(error.status, grpc.StatusCode.FAILED_PRECONDITION)
        return Refusal(status, error.code, str(error.message))
    if isinstance(error, ObjectDoesNotExist):
        return Refusal(grpc.StatusCode.NOT_FOUND, "not_found", "There is no such object.")
    if isinstance(error, PermissionDenied):
        message = str(error) or "You may not do this."
        return Refusal(grpc.StatusCode.PERMISSION_DENIED, "permission_denied", message)
    if isinstance(error, DecodeError):
        message = "The message is not a valid protobuf message of this call."
        return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "invalid_message", message)
    if isinstance(error, DataError):
        log.info("The database refused a value: %s", error)
        message = "A value is out of range."
        return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "invalid", message)
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("The database is away: %s", error)
        message = "The portal cannot reach its database. Try again."
        return Refusal(grpc.StatusCode.UNAVAILABLE, "database_away", message)
    log.error("A call crashed.", exc_info=error)
    return Refusal(grpc.StatusCode.INTERNAL, "internal_error", "Something broke on our side.")
