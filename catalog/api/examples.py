"""What the OpenAPI document shows: one example of each kind of policy, each of them valid."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

from catalog.models import PolicyKind

BY_KIND = {
    PolicyKind.CORS: {
        "allow_origins": ["https://*.example.com", "https://example.com"],
        "allow_methods": ["GET", "POST"],
        "allow_headers": ["content-type"],
        "expose_headers": ["x-request-id"],
        "max_age": 600,
        "allow_credentials": False,
    },
    PolicyKind.HEADERS: {
        "request": {"x-team": "payments"},
        "response": {"cache-control": "no-store"},
        "remove_request": ["cookie"],
        "remove_response": ["server"],
    },
    PolicyKind.IP: {"allow": ["198.51.100.0/24", "2001:db8::/32"], "deny": ["198.51.100.66/32"]},
    PolicyKind.REQUEST_SIZE: {"max_bytes": 1_048_576},
}

CONFIGS = [
    OpenApiExample(str(kind), {"config": config}, request_only=True)
    for kind, config in BY_KIND.items()
]
POLICIES = [
    OpenApiExample(
        str(kind),
        {"id": "5b0e0b1c-0000-4000-8000-000000000001", "kind": str(kind), "config": config},
        response_only=True,
    )
    for kind, config in BY_KIND.items()
]
LOGO = OpenApiExample(
    "A picture", {"logo": "logo.png"}, media_type="multipart/form-data", request_only=True
)
