from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Prefetch
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Kind, Role
from clusters import fleet, stories
from clusters.api import serializers as shapes
from clusters.filters import (
    AgentFilter,
    ClusterFilter,
    OfferedClusterFilter,
    RegionFilter,
    TokenFilter,
)
from clusters.models import Agent, Cluster, ClusterQuerySet, Region, RegistrationToken
from clusters.services import agents as agent_service
from clusters.services import clusters as service
from clusters.services import regions as region_service
from clusters.services import tokens as token_service
from clusters.services.manifests import kubernetes_manifest
from core import versions
from core.api import SharedListMixin, VisibleMixin, ok, shared, validated
from core.errors import InvalidInput
from core.queries import prepared

ORDERINGS = [
    "name",
    "region",
    "status",
    "created_at",
    "updated_at",
    "last_heartbeat",
    "agent_count",
    "active_agent_count",
]

NO_OPERATOR = OpenApiResponse(description="You do not work in an operator organization.")
IN_USE = OpenApiResponse(description="`cluster_in_use`: names the agents and publishes in the way.")


@extend_schema(tags=["Clusters (operator)"])
@extend_schema_view(
    list=extend_schema(summary="List clusters", responses=shapes.ClusterSerializer(many=True))
)
class ClusterViewSet(VisibleMixin, SharedListMixin, viewsets.GenericViewSet):
    """An operator's clusters. `X-Organization` says where a new one is created."""

    model = Cluster
    queryset = Cluster.objects.none()
    serializer_class = shapes.ClusterSerializer
    filterset_class = ClusterFilter
    ordering_fields = ORDERINGS
    roles = {"destroy": Role.ADMIN}
    versioned_actions = ("update", "destroy", "maintenance")
    versioned_reads = ("retrieve",)

    def get_queryset(self):
        return _answered().visible_to(self.request.user)

    @extend_schema(
        summary="Register a cluster",
        request=shapes.ClusterInput,
        responses={201: shapes.ClusterDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        body = validated(shapes.ClusterInput, request)
        if request.organization is None:
            raise PermissionDenied(_("You are in no organization that could own a cluster."))
        with api_names():
            cluster = service.create(
                actor=request.user, organization_id=request.organization.pk, **body
            )
        return ok(
            self._shown(cluster.pk),
            status=201,
            message=_("Registered. Create a registration token to join its first agent."),
        )

    @extend_schema(summary="Read a cluster", responses=shapes.ClusterDetailSerializer)
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return self._answer(pk)

    @extend_schema(
        summary="Replace a cluster's description",
        description="PUT replaces: what is left out goes back to its default.",
        request=shapes.ClusterInput,
        responses=shapes.ClusterDetailSerializer,
    )
    def update(self, request: Request, pk: UUID) -> Response:
        self._seen(pk)
        body = validated(shapes.ClusterInput, request)
        with api_names():
            service.update(
                actor=request.user, cluster_id=pk, version=versions.asked(request), **body
            )
        return self._answer(pk)

    @extend_schema(summary="Delete a cluster", responses={204: None, 409: IN_USE})
    def destroy(self, request: Request, pk: UUID) -> Response:
        service.delete(actor=request.user, cluster_id=pk, version=versions.asked(request))
        return Response(status=204)

    @extend_schema(
        summary="Start or end maintenance",
        request=shapes.MaintenanceInput,
        responses=shapes.ClusterDetailSerializer,
    )
    def maintenance(self, request: Request, pk: UUID) -> Response:
        self._seen(pk)
        body = validated(shapes.MaintenanceInput, request)
        service.set_maintenance(
            actor=request.user, cluster_id=pk, version=versions.asked(request), **body
        )
        return self._answer(pk)

    @extend_schema(
        summary="Read a cluster's audit trail",
        description="Of the cluster, its agents and its tokens; the newest first.",
        responses=shapes.ClusterEventSerializer(many=True),
    )
    def events(self, request: Request, pk: UUID) -> Response:
        cluster = get_object_or_404(Cluster.objects.visible_to(request.user), pk=pk)
        page = self.paginate_queryset(self.filter_queryset(stories.trail(cluster)))
        rows = shapes.ClusterEventSerializer(page, many=True)
        return self.get_paginated_response(rows.data)

    def _answer(self, pk: UUID) -> Response:
        # Read first: a change in between makes the ETag too old, never too new.
        moment = get_object_or_404(Cluster.objects.visible_to(self.request.user), pk=pk).updated_at
        return Response(self._shown(pk), headers=versions.headers(moment))

    def _seen(self, pk: UUID) -> None:
        """A stranger gets the 404 before any word about the body."""
        get_object_or_404(Cluster.objects.visible_to(self.request.user), pk=pk)

    def _shown(self, pk: UUID) -> dict[str, Any]:
        joined = Prefetch("agents", Agent.objects.filter(revoked_at=None), to_attr="joined")
        cluster = get_object_or_404(self.get_queryset().prefetch_related(joined), pk=pk)
        return shapes.ClusterDetailSerializer(cluster).data


@extend_schema(tags=["Clusters (operator)"])
@extend_schema_view(
    list=extend_schema(
        summary="List regions",
        description="What is offered when a cluster is registered: the names that everybody gets, "
        "and the operator's own. A cluster registered with another name adds it.",
    )
)
class RegionViewSet(SharedListMixin, viewsets.GenericViewSet):
    queryset = Region.objects.none()
    serializer_class = shapes.RegionSerializer
    filterset_class = RegionFilter
    ordering_fields = ["name", "created_at"]

    def get_queryset(self):
        organization = getattr(self.request, "organization", None)
        if organization is None or organization.kind != Kind.OPERATOR:
            return Region.objects.filter(organization=None)
        return Region.objects.offered_to(organization)

    @extend_schema(
        summary="Add a region",
        request=shapes.RegionInput,
        responses={201: shapes.RegionSerializer},
    )
    def create(self, request: Request) -> Response:
        body = validated(shapes.RegionInput, request)
        if request.organization is None:
            raise PermissionDenied(_("You are in no organization that could own a region."))
        region = region_service.create(
            actor=request.user, organization_id=request.organization.pk, **body
        )
        return Response(self.get_serializer(region).data, status=201)


@extend_schema(tags=["Clusters (operator)"])
class TokenViewSet(viewsets.GenericViewSet):
    """The registration tokens of one cluster."""

    queryset = RegistrationToken.objects.none()
    serializer_class = shapes.TokenSerializer
    filterset_class = TokenFilter
    ordering_fields = ["created_at", "expires_at"]
    roles = {"create": Role.ADMIN, "destroy": Role.ADMIN}

    @extend_schema(summary="List registration tokens", responses=shapes.TokenSerializer(many=True))
    def list(self, request: Request, cluster_pk: UUID) -> Response:
        rows = self.filter_queryset(self._cluster(cluster_pk).registration_tokens.all())
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Create a registration token",
        description="The secret, and what to paste on a host or to apply in Kubernetes, are in this "
        "answer and nowhere else.",
        request=shapes.TokenInput,
        responses={201: shapes.NewTokenSerializer},
    )
    def create(self, request: Request, cluster_pk: UUID) -> Response:
        self._cluster(cluster_pk)
        body = validated(shapes.TokenInput, request)
        token, secret = token_service.create_token(
            actor=request.user, cluster_id=cluster_pk, **body
        )
        command = token_service.join_command(cluster_id=cluster_pk, secret=secret)
        once = {
            "secret": secret,
            "join_command": command,
            "kubernetes_manifest": kubernetes_manifest(secret=secret),
        }
        return Response(shapes.NewTokenSerializer(token, context=once).data, status=201)

    @extend_schema(summary="Revoke a registration token", responses={204: None})
    def destroy(self, request: Request, cluster_pk: UUID, pk: UUID) -> Response:
        """No agent joins with it any more. 409 `token_spent` if none could."""
        get_object_or_404(self._cluster(cluster_pk).registration_tokens, pk=pk)
        token_service.revoke_token(actor=request.user, token_id=pk)
        return Response(status=204)

    def _cluster(self, pk: UUID) -> Cluster:
        return get_object_or_404(Cluster.objects.visible_to(self.request.user), pk=pk)


@extend_schema(tags=["Clusters (operator)"])
class Overview(viewsets.ViewSet):
    @extend_schema(
        summary="Read the overview", responses={200: shapes.FleetSerializer, 403: NO_OPERATOR}
    )
    @shared
    def retrieve(self, request: Request) -> Response:
        """Clusters by status, agents by version, deployments of the last 24 hours, what needs a look."""
        organization = request.organization
        if organization is None or organization.kind != Kind.OPERATOR:
            raise PermissionDenied(_("Only operator organizations have clusters."))
        return Response(shapes.FleetSerializer(fleet.of(organization, tell=_answered)).data)


@prepared
def _answered() -> ClusterQuerySet:
    """With all that one answer shows."""
    openings = Cluster.open_to.through.objects.filter(cluster=OuterRef("pk"))
    opened_to = ArraySubquery(openings.order_by("organization__name").values("organization"))
    told = Cluster.objects.with_status().with_progress().with_capabilities()
    return told.annotate(opened_to=opened_to)


@extend_schema(tags=["Clusters (operator)"])
@extend_schema_view(
    list=extend_schema(summary="List agents", responses=shapes.AgentRowSerializer(many=True))
)
class AgentViewSet(
    VisibleMixin, SharedListMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet
):
    model = Agent
    queryset = Agent.objects.none()
    filterset_class = AgentFilter
    ordering_fields = ["name", "version", "created_at", "last_heartbeat_at"]
    roles = {"revoke": Role.ADMIN}

    def get_queryset(self):
        return stories.agent_rows().visible_to(self.request.user)

    def get_serializer_class(self):
        return shapes.AgentRowSerializer if self.action == "list" else shapes.AgentSerializer

    @extend_schema(summary="Revoke an agent", request=None, responses={200: shapes.AgentSerializer})
    def revoke(self, request: Request, pk: UUID) -> Response:
        """Cut off for good; its gateways keep what they serve. Twice is once."""
        agent = agent_service.revoke_agent(actor=request.user, agent_id=pk)
        return Response(self.get_serializer(agent).data)


@extend_schema(tags=["Clusters (provider)"])
@extend_schema_view(list=extend_schema(summary="List the clusters that you may publish to"))
class OfferedClusterViewSet(SharedListMixin, viewsets.GenericViewSet):
    queryset = Cluster.objects.none()
    serializer_class = shapes.ProviderClusterSerializer
    filterset_class = OfferedClusterFilter
    ordering_fields = ["name", "region", "status"]

    def get_queryset(self):
        rows = _offered().offered_to(self.request.user)
        organization = getattr(self.request, "organization", None)
        if organization is not None and organization.kind == Kind.PROVIDER:
            rows = rows.open_for(organization)
        return rows


@prepared
def _offered() -> ClusterQuerySet:
    return Cluster.objects.with_bare_status().with_capabilities()


@contextmanager
def api_names() -> Iterator[None]:
    """The specs call labels `metadata`; so must the error that is about them."""
    try:
        yield
    except InvalidInput as error:
        if error.field != "labels":
            raise
        raise InvalidInput(error.message, field="metadata", code=error.code) from None
