"""Products' pictures, for everybody who knows their address: the marketplace shows them to strangers."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from catalog.models import Logo

A_YEAR = 365 * 24 * 3600


@require_safe
def logo(request: HttpRequest, pk: UUID) -> HttpResponse:
    """It never changes under this address, so browsers and proxies may keep it."""
    row = get_object_or_404(Logo.objects.only("digest", "image"), pk=pk)
    tag = f'"{row.digest}"'
    response: HttpResponse
    if request.headers.get("If-None-Match") == tag:
        response = HttpResponseNotModified()
    else:
        response = HttpResponse(bytes(row.image), content_type="image/png")
    response["ETag"] = tag
    response["Cache-Control"] = f"public, max-age={A_YEAR}, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response
