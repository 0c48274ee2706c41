"""What an agent reads. Bare documents without the envelope: they are files to keep, not answers to show."""

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.utils.cache import get_conditional_response
from rest_framework.request import Request
from rest_framework.views import APIView

from agents.server.api.authentication import AgentAuthentication, IsAgent
from clusters.models import Agent
from publishing.services import agents as publishing
from subscriptions.services.access import access_page

ACCESS_LIMIT = 5000


class AgentView(APIView):
    authentication_classes = [AgentAuthentication]
    permission_classes = [IsAgent]
    schema = None  # the documents are described by protos/agent/v1/bundle.proto

    @property
    def agent(self) -> Agent:
        return cast(Agent, self.request.auth)


class Manifest(AgentView):
    """What the agent's cluster should run now. 304 while nothing changed."""

    def get(self, request: Request) -> HttpResponse:
        return _document(request, _json(publishing.manifest(agent=self.agent)))


class Bundle(AgentView):
    """One compiled publish by its SHA-256, if it is wanted or live in the agent's cluster."""

    def get(self, request: Request, digest: str) -> HttpResponse:
        document = publishing.bundle(agent=self.agent, digest=digest)
        return HttpResponse(document, content_type="application/json")


class Access(AgentView):
    """Key digests and plan limits after a cursor, in (version, id) order. 410 for a cursor that is gone."""

    def get(self, request: Request) -> HttpResponse:
        query = request.query_params
        page = access_page(
            agent=self.agent,
            lineage=query.get("lineage", ""),
            after_version=query.get("after_version", ""),
            after_id=query.get("after_id", ""),
            limit=ACCESS_LIMIT,
        )
        return HttpResponse(_json(page), content_type="application/json")


def _document(request: Request, body: bytes) -> HttpResponse:
    inner: HttpRequest = request._request
    tag = f'"{hashlib.sha256(body).hexdigest()}"'
    response = HttpResponse(body, content_type="application/json", headers={"ETag": tag})
    return get_conditional_response(inner, etag=tag, response=response) or response


def _json(document: dict[str, Any]) -> bytes:
    """The same content is the same bytes, so that it has the same ETag."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    ).encode()
