"""The OpenAPI description says what is on the wire: the data inside the envelope."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema

ERROR = {
    "type": "object",
    "nullable": True,
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "details": {"type": "object", "additionalProperties": True},
    },
}

# What examples of data come in.
ANSWER = {
    "success": True,
    "data": None,
    "error": None,
    "message": "",
    "request_id": "0b5e5b1c6d0e4b7f9a53c1d2e3f40516",
    "timestamp": "2026-01-31T09:00:00Z",
}


class EnvelopeSchema(AutoSchema):
    def _get_response_for_code(
        self, serializer: Any, status_code: str, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        response = super()._get_response_for_code(serializer, status_code, *args, **kwargs)
        for media in response.get("content", {}).values():
            media["schema"] = _enveloped(media.get("schema", {}))
            for example in media.get("examples", {}).values():
                example["value"] = ANSWER | {"data": example["value"]}
        return response


def _enveloped(data: dict[str, Any]) -> dict[str, Any]:
    properties = {
        "success": {"type": "boolean"},
        "data": data,
        "error": ERROR,
        "message": {"type": "string"},
        "request_id": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
    }
    return {"type": "object", "required": list(properties), "properties": properties}
