"""The one shape of every REST answer. Free of DRF, so that middleware and error pages may use it."""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.context import origin

# A restart, a deadlock, a full pool: the transaction is rolled back, and the same call may work soon.
DATABASE_AWAY = (OperationalError, InterfaceError)
RETRY_SECONDS = "5"


def envelope(data: Any = None, error: dict[str, Any] | None = None, message: str = "") -> dict:
    return {
        "success": error is None,
        "data": data,
        "error": error,
        "message": message,
        "request_id": origin.get().request_id,
        "timestamp": timezone.now().isoformat().replace("+00:00", "Z"),
    }


def error_body(code: str, message: str, details: Any = None) -> dict[str, Any]:
    return {"code": code, "message": str(message), "details": details or {}}


def error_response(status: int, code: str, message: str, details: Any = None) -> JsonResponse:
    """The envelope outside of DRF: middleware, unknown paths, crashes."""
    return JsonResponse(envelope(error=error_body(code, message, details)), status=status)


def database_away_body() -> dict[str, Any]:
    message = _("The database cannot be reached just now. Try again in a few seconds.")
    return error_body("database_away", message)


def not_found_body() -> dict[str, Any]:
    return error_body("not_found", _("There is no such object, or you may not see it."))


def not_found(request: HttpRequest) -> JsonResponse:
    """Unknown paths under /api/."""
    message = _("There is no endpoint %(path)s.") % {"path": request.path}
    return error_response(404, "not_found", message)
