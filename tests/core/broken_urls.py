"""Views that fail in every way a view can."""

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    SuspiciousOperation,
    ValidationError,
)
from django.db import DataError, OperationalError
from django.urls import path
from rest_framework.exceptions import Throttled
from rest_framework.views import APIView

from config.urls import handler400, handler403, handler404, handler500
from core.errors import DomainError

__all__ = ["handler400", "handler403", "handler404", "handler500"]

ERRORS = {
    "permission": PermissionDenied(),
    "missing": ObjectDoesNotExist(),
    "validation": ValidationError({"name": ["Bad."]}),
    "data": DataError("integer out of range"),
    "throttled": Throttled(wait=3),
    "away": OperationalError("connection to 10.1.2.3 failed"),
    "crash": RuntimeError("secret"),
    "rule": DomainError("It is too late.", code="too_late", details={"since": "noon"}),
    "suspicious": SuspiciousOperation(),
}


def plain(request, kind):
    raise ERRORS[kind]


class Raise(APIView):
    def get(self, request, kind):
        raise ERRORS[kind]


urlpatterns = [
    path("api/away", plain, {"kind": "away"}),
    path("away", plain, {"kind": "away"}),
    path("api/crash", plain, {"kind": "crash"}),
    path("api/suspicious", plain, {"kind": "suspicious"}),
    path("api/forbidden", plain, {"kind": "permission"}),
    path("crash", plain, {"kind": "crash"}),
    path("suspicious", plain, {"kind": "suspicious"}),
    path("forbidden", plain, {"kind": "permission"}),
    path("api/crash-drf", Raise.as_view(), {"kind": "crash"}),
    path("api/rule", Raise.as_view(), {"kind": "rule"}),
    path("api/raise/<str:kind>", Raise.as_view()),
]
