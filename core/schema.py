"""The OpenAPI description says what is on the wire: the envelope, every error, and who may call.

What follows from a view is told here once: summaries of the usual actions, permissions, errors, ETags.
What a description says with a status (409 `plan_in_use`) is among the answers, too.
"""

from __future__ import annotations

import re
from typing import Any

from django.utils import translation
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, get_doc
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_serializer
from rest_framework.permissions import SAFE_METHODS, AllowAny

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

ERRORS = {
    "400": (
        "invalid",
        "name: This field is required.",
        {"name": ["This field is required."]},
        "`invalid` or `malformed`: `error.details` names each field, filter or parameter.",
    ),
    "401": (
        "unauthenticated",
        "Authentication credentials were not provided.",
        {},
        "`unauthenticated`: no token and no session, or one that ended.",
    ),
    "403": (
        "permission_denied",
        "You may not do this.",
        {},
        "`permission_denied`: your role in the organization does not allow it.",
    ),
    "404": (
        "not_found",
        "There is no such object, or you may not see it.",
        {},
        "`not_found`: there is no such object or page, or you may not see it.",
    ),
    "409": (
        "conflict",
        "A rule says no.",
        {},
        "A rule says no: `error.code` says which, `error.details` what is in the way.",
    ),
    "412": (
        "stale",
        "Somebody else changed this meanwhile. Look at their change, then save again.",
        {"version": "1769850000.000000"},
        "`stale`: changed since the ETag was read. `error.details.version` is what it has now.",
    ),
    "429": (
        "throttled",
        "Request was throttled.",
        {},
        "`throttled` or `locked`: too many attempts. `Retry-After` says when to come again.",
    ),
}

SUCCESSES = {
    "200": "`data` is the answer.",
    "201": "Made: `data` shows it.",
    "202": "Begun: `data` shows how far it is.",
    "204": "Done. There is nothing to show.",
}
SUMMARIES = {
    "list": "List {many}",
    "retrieve": "Read {one}",
    "create": "Create {one}",
    "update": "Replace {one}",
    "partial_update": "Change {one}",
    "destroy": "Delete {one}",
}
DESCRIPTIONS = {
    "list": "Those that you may see, in pages. The id settles ties of their order. Parameters that do "
    "not exist, and values that they cannot have, are refused.",
}
KINDS = {"operator": "operator", "provider": "provider", "customer": "consumer"}
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag that you read: 412 if somebody else changed it since. "
    "Without it, or with `*`, their change is overwritten.",
)
ETAG = OpenApiParameter(
    "ETag",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="The version that this answer shows, for `If-Match`.",
)
NAMED = re.compile(r"\b(4\d\d) `")


def example(**values: Any) -> Any:
    """Of a body, at its serializer: `@example(name="main")`."""
    return extend_schema_serializer(
        examples=[OpenApiExample("Example", values, request_only=True)],
    )


class EnvelopeSchema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        operation.setdefault("summary", self._usual_summary())
        who = self._permission()
        words = [operation.get("description", ""), f"**Permission:** {_in_words(who)}"]
        operation["description"] = "\n\n".join(filter(None, words))
        operation["x-permission"] = who
        self._add_errors(operation, who)
        return operation

    def get_description(self) -> str:
        """The action's own words: what the class says is about the class."""
        action = self._action()
        return get_doc(getattr(self.view, action, None)) or DESCRIPTIONS.get(action, "")

    def get_tags(self) -> list[str]:
        many = self._names()[1]
        return [many[0].upper() + many[1:]] if many else super().get_tags()

    def get_override_parameters(self) -> list[Any]:
        parameters = list(super().get_override_parameters())
        versioned = getattr(self.view, "versioned_actions", ())
        action = self._action()
        if action in versioned:
            parameters.append(IF_MATCH)
        if action in {*versioned, *getattr(self.view, "versioned_reads", ())}:
            parameters.append(ETAG)
        return parameters

    def _action(self) -> str:
        return getattr(self.view, "action", None) or self.method.lower()

    def _usual_summary(self) -> str:
        one, many = self._names()
        article = "an" if one[:1].lower() in "aeio" else "a"
        words = SUMMARIES.get(self._action(), "")
        return words.format(one=f"{article} {one}", many=many) if one else ""

    def _names(self) -> tuple[str, str]:
        rows = getattr(self.view, "queryset", None)
        if rows is None:
            return "", ""
        meta = rows.model._meta
        with translation.override("en"):
            names = str(meta.verbose_name), str(meta.verbose_name_plural)
        one, many = (name.replace("api ", "API ") for name in names)
        return one, many

    def _permission(self) -> dict[str, str]:
        """{"organization": its kind, "role": the least one}: tests/test_openapi.py holds it to that."""
        if any(isinstance(each, AllowAny) for each in self.view.get_permissions()):
            return {"organization": "none", "role": "none"}
        role = "viewer" if self.method in SAFE_METHODS else "member"
        role = getattr(self.view, "roles", {}).get(self._action(), role)
        section = self.path.removeprefix("/api/v1/").partition("/")[0]
        return {"organization": KINDS.get(section, "any"), "role": role}

    def _add_errors(self, operation: dict[str, Any], who: dict[str, str]) -> None:
        responses = operation["responses"]
        for status in {*self._statuses(operation, who), *(s for s in responses if s >= "400")}:
            said = responses.get(status, {}).get("description")
            responses[status] = self._failure(status, said)
        operation["responses"] = dict(sorted(responses.items()))

    def _statuses(self, operation: dict[str, Any], who: dict[str, str]) -> set[str]:
        found = set(NAMED.findall(operation["description"])) & set(ERRORS)
        places = {each["in"] for each in operation.get("parameters", [])}
        if "requestBody" in operation or "query" in places:
            found.add("400")
        if "path" in places or self._is_list_view():
            found.add("404")
        if who["role"] != "none":
            found |= {"401", "404"}  # X-Organization may name what is not there
        if who["role"] in {"member", "admin"}:
            found.add("403")
        if any(each["name"] == "If-Match" for each in operation.get("parameters", [])):
            found.add("412")
        if self.view.get_throttles():
            found.add("429")
        return found

    def _failure(self, status: str, said: str | None) -> dict[str, Any]:
        component = ResolvedComponent(
            name="Failure",
            type=ResolvedComponent.SCHEMA,
            schema=_failure_schema(),
            object="Failure",
        )
        self.registry.register_on_missing(component)
        code, message, details, words = ERRORS[status]
        error = {"code": code, "message": message, "details": details}
        sample = ANSWER | {"success": False, "error": error}
        content = {"application/json": {"schema": component.ref, "example": sample}}
        return {"description": said or words, "content": content}

    def _get_response_for_code(
        self, serializer: Any, status_code: str, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        response = super()._get_response_for_code(serializer, status_code, *args, **kwargs)
        response["description"] = response["description"] or SUCCESSES.get(status_code, "")
        for media in response.get("content", {}).values():
            media["schema"] = _enveloped(media.get("schema", {}))
            for sample in media.get("examples", {}).values():
                sample["value"] = ANSWER | {"data": sample["value"]}
        return response


def _in_words(who: dict[str, str]) -> str:
    if who["role"] == "none":
        return "none; everybody may, without signing in."
    kind = "" if who["organization"] == "any" else f" {who['organization']}"
    where = f"of the{kind} organization that it belongs to, or that `X-Organization` names"
    return {
        "self": "whoever is signed in, about themselves and their organizations.",
        "viewer": f"every role {where}. For anybody else it does not exist.",
        "member": f"members and admins {where}. Viewers get 403; for anybody else it does not exist.",
        "admin": f"admins {where}. Members and viewers get 403; for anybody else it does not exist.",
    }[who["role"]]


def _failure_schema() -> dict[str, Any]:
    schema = _enveloped({"nullable": True, "description": "Always null."})
    schema["properties"]["error"] = {key: ERROR[key] for key in ERROR if key != "nullable"}
    return schema


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
