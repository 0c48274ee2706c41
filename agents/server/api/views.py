"""What an agent reads. Bare documents without the envelope: they are files to keep, not answers to show."""

from __future__ import annotations

import json
import threading
from typing import Any, cast
from uuid import UUID

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
        tag = publishing.manifest_tag(agent=self.agent)
        unchanged = _with_tag(HttpResponse(), tag)
        answer = get_conditional_response(
            _plain(request), etag=unchanged["ETag"], response=unchanged
        )
        if answer is not None and answer is not unchanged:
            return answer
        body = DOCUMENTS.get(tag)
        if body is None:
            tag, document = publishing.tagged_manifest(agent=self.agent)
            body = _json(document)
            DOCUMENTS.put(tag, body)
        return _with_tag(HttpResponse(body, content_type="application/json"), tag)


class Bundle(AgentView):
    """One compiled publish by its SHA-256, if it is wanted or live in the agent's cluster."""

    def get(self, request: Request, digest: str) -> HttpResponse:
        document = publishing.bundle(agent=self.agent, digest=digest)
        return HttpResponse(document, content_type="application/json")


class Secret(AgentView):
    """What a wanted or live bundle of the agent's cluster refers to. Nobody between keeps it."""

    def get(self, request: Request, pk: UUID) -> HttpResponse:
        document = publishing.secret(agent=self.agent, secret_id=pk)
        answer = HttpResponse(_json(document), content_type="application/json")
        answer["Cache-Control"] = "no-store"
        return answer


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


class Documents:
    """The last manifests by their tags: after one wake a thousand agents ask for the same one.

    A tag names a state and not a moment, so what is kept here can never be outdated.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._left = limit, limit
        self._bodies: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def get(self, tag: str) -> bytes | None:
        return self._bodies.get(tag)

    def put(self, tag: str, body: bytes) -> None:
        with self._lock:
            if len(body) > self._left:
                self._bodies, self._left = {}, self._limit
            if len(body) <= self._left and tag not in self._bodies:
                self._bodies[tag] = body
                self._left -= len(body)


DOCUMENTS = Documents(limit=8 * 1024 * 1024)


def _plain(request: Request) -> HttpRequest:
    inner: HttpRequest = request._request
    return inner


def _with_tag(response: HttpResponse, tag: str) -> HttpResponse:
    response["ETag"] = f'"{tag}"'
    return response


def _json(document: dict[str, Any]) -> bytes:
    """The same content is the same bytes, so that it has the same ETag."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    ).encode()
