"""Error pages for people, the envelope for programs."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from core.envelope import (
    DATABASE_AWAY,
    RETRY_SECONDS,
    database_away_body,
    envelope,
    error_response,
    not_found,
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_response(400, "bad_request", _("The request is not valid HTTP for this site."))
    return render(request, "400.html", status=400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return error_response(403, "permission_denied", str(exception) or _("You may not do this."))
    return render(request, "403.html", {"reason": str(exception)}, status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return not_found(request) if _is_api(request) else render(request, "404.html", status=404)


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exc_info()[1], DATABASE_AWAY):
        return _database_away(request)
    if _is_api(request):
        message = _("Something broke on our side. Try again; the request id finds it in the logs.")
        return error_response(500, "internal_error", message)
    # No context processors: whatever broke may be one of them.
    return HttpResponse(_static_page(), status=500)


def _database_away(request: HttpRequest) -> HttpResponse:
    """Middleware needs the database too, so this is no matter of views alone."""
    if _is_api(request):
        response: HttpResponse = JsonResponse(envelope(error=database_away_body()), status=503)
    else:
        response = HttpResponse(_static_page(), status=503)
    response["Retry-After"] = RETRY_SECONDS
    return response


def _static_page() -> str:
    from django.template.loader import get_template

    from core.context import origin

    return get_template("500.html").render({"request_id": origin.get().request_id})


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
