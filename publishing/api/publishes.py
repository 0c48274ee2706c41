"""/api/v1/provider/{product-publishes,products/:id/publishes}"""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_view,
)
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Kind, Role
from catalog.models import Product
from core import versions
from core.api import SharedListMixin, VisibleMixin, ok, validated
from core.errors import InvalidInput
from publishing.api import bodies
from publishing.api import serializers as shapes
from publishing.api.answers import (
    CONFLICT,
    TAGS,
    answer,
    deployments_for,
    publishes_for,
    shown,
    started,
)
from publishing.compile import definition_of
from publishing.filters import ProductPublishFilter
from publishing.models import ProductPublish
from publishing.services import publishes as service
from publishing.services import recovery, revisions

ORDERINGS = ["created_at", "updated_at", "published_at", "environment", "status"]
MAX_DIGITS = 9  # of a revision's number


@extend_schema(tags=TAGS)
@extend_schema_view(
    list=extend_schema(
        summary="List publishes", responses=shapes.ProductPublishSerializer(many=True)
    )
)
class ProductPublishViewSet(VisibleMixin, SharedListMixin, viewsets.GenericViewSet):
    """Products on clusters. Creating dispatches nothing; publishing is an act of its own."""

    model = ProductPublish
    queryset = ProductPublish.objects.none()
    serializer_class = shapes.ProductPublishSerializer
    filterset_class = ProductPublishFilter
    ordering_fields = ORDERINGS
    roles = {"destroy": Role.ADMIN}
    versioned_actions = ("update", "destroy")
    versioned_reads = ("retrieve", "create")

    def get_queryset(self):
        return publishes_for(self.request.user)

    @extend_schema(
        summary="Prepare a publish",
        request=bodies.NewPublish,
        responses={201: shapes.ProductPublishDetailSerializer, 409: CONFLICT},
    )
    def create(self, request: Request) -> Response:
        if request.organization is None:
            raise Http404
        provider = access.organization_for(
            request.user, request.organization.pk, kind=Kind.PROVIDER
        )
        body = validated(bodies.NewPublish, request)
        row = service.create(actor=request.user, organization_id=provider.pk, **body)
        return answer(request.user, row.pk, status=201)

    @extend_schema(summary="Read a publish", responses=shapes.ProductPublishDetailSerializer)
    def retrieve(self, request: Request, pk: UUID) -> Response:
        return answer(request.user, pk)

    @extend_schema(
        summary="Change the settings of a publish",
        description="In DRAFT or WITHDRAWN, with no deployment under way. What is left out goes "
        "back to its default; the product stays.",
        request=bodies.PublishSettings,
        responses={200: shapes.ProductPublishDetailSerializer, 409: CONFLICT},
    )
    def update(self, request: Request, pk: UUID) -> Response:
        row = self._writable(pk)
        given = request.data.get("product_id") if isinstance(request.data, dict) else None
        if given is not None and str(given).lower() != str(row.product_id):
            raise InvalidInput(
                _("A publish stays with its product. Create another one."), field="product_id"
            )
        body = validated(bodies.PublishSettings, request)
        service.update(actor=request.user, publish_id=pk, seen=versions.asked(request), **body)
        return answer(request.user, pk)

    @extend_schema(
        summary="Delete a publish",
        description="Admins only; in DRAFT or WITHDRAWN, without an open subscription.",
        responses={204: None, 409: CONFLICT},
    )
    def destroy(self, request: Request, pk: UUID) -> Response:
        service.delete(actor=request.user, publish_id=pk, seen=versions.asked(request))
        return Response(status=204)

    @extend_schema(
        summary="Publish",
        description="Sends the product, as it is defined now, to the cluster's gateways.",
        request=bodies.PublishNote,
        responses={202: shapes.StartedSerializer, 409: CONFLICT},
    )
    def publish(self, request: Request, pk: UUID) -> Response:
        self._writable(pk)
        body = validated(bodies.PublishNote, request)
        deployment = service.publish(actor=request.user, publish_id=pk, **body)
        return started(request.user, deployment, _("The cluster's agents are told to publish it."))

    @extend_schema(
        summary="Withdraw",
        description="Takes it off the gateways; subscriptions and keys stay as they are.",
        request=bodies.WithdrawReason,
        responses={202: shapes.StartedSerializer, 409: CONFLICT},
    )
    def withdraw(self, request: Request, pk: UUID) -> Response:
        self._writable(pk)
        body = validated(bodies.WithdrawReason, request)
        deployment = service.withdraw(actor=request.user, publish_id=pk, **body)
        return started(request.user, deployment, _("The cluster's agents are told to drop it."))

    @extend_schema(
        summary="Roll back",
        description="Sends an earlier revision as a publish: the same checks, verdicts and proof. "
        "Its routes come back; plans, subscriptions and keys stay as they are.",
        request=bodies.RollBack,
        responses={202: shapes.StartedSerializer, 409: CONFLICT},
    )
    def rollback(self, request: Request, pk: UUID) -> Response:
        self._writable(pk)
        body = validated(bodies.RollBack, request)
        deployment = recovery.roll_back(actor=request.user, publish_id=pk, **body)
        return started(request.user, deployment, _("The cluster's agents are told to go back."))

    @extend_schema(
        summary="Restore",
        description="Has the agents compare their gateways with what is live, and repair what "
        "differs, now rather than within a minute.",
        request=None,
        responses={202: shapes.ProductPublishDetailSerializer, 409: CONFLICT},
    )
    def restore(self, request: Request, pk: UUID) -> Response:
        recovery.restore(actor=request.user, publish_id=pk)
        return ok(
            shown(request.user, pk),
            status=202,
            message=_("The cluster's agents are told to repair what differs."),
        )

    @extend_schema(
        summary="List a publish's deployments",
        description="Newest first, with every agent's verdict and proof.",
        responses=shapes.DeploymentSerializer(many=True),
    )
    def deployments(self, request: Request, pk: UUID) -> Response:
        rows = deployments_for(request.user).filter(publish=self._seen(pk))
        return self._paged(rows, shapes.DeploymentSerializer)

    @extend_schema(
        summary="List a publish's revisions",
        responses=shapes.RevisionSerializer(many=True),
    )
    def revisions(self, request: Request, pk: UUID) -> Response:
        rows = self._seen(pk).revisions.select_related("publish").defer("document")
        return self._paged(rows, shapes.RevisionSerializer)

    @extend_schema(
        summary="Compare two revisions",
        description="What going to revision `number` changes: from revision `with`, or from what is "
        "live when that is left out.",
        parameters=[OpenApiParameter("with", int, description="Number of a revision.")],
        responses=shapes.PreviewSerializer,
    )
    def compare(self, request: Request, pk: UUID, number: int) -> Response:
        row = self._seen(pk)
        preview = revisions.compare_revisions(row, number=number, other=_number(request, "with"))
        return Response(
            shapes.PreviewSerializer(
                {
                    "before": preview.before,
                    "after": preview.after,
                    "comparison": preview.comparison,
                    "affected": revisions.affected(row),
                }
            ).data
        )

    @extend_schema(
        summary="Read what is not published yet",
        description="The product as it is defined now beside what is live: what publishing would "
        "change, whom that concerns, and why it would be refused.",
        responses=shapes.ChangesSerializer,
    )
    def changes(self, request: Request, pk: UUID) -> Response:
        rows = ProductPublish.objects.visible_to(request.user)
        row = get_object_or_404(rows.select_related("live_revision", "organization"), pk=pk)
        definition = definition_of(row)
        found = revisions.pending(row, definition=definition)
        refusal = (
            revisions.refusal(row, actor=request.user, definition=definition) if found else None
        )
        return Response(
            shapes.ChangesSerializer(
                {
                    "pending": found is not None,
                    "compared_with": row.live_revision,
                    "digest": found.digest if found else None,
                    "comparison": found.comparison if found else None,
                    "affected": revisions.affected(row),
                    "refusal": refusal,
                }
            ).data
        )

    @extend_schema(
        summary="Read a publish's timeline",
        responses=shapes.EventSerializer(many=True),
    )
    def events(self, request: Request, pk: UUID) -> Response:
        rows = self._seen(pk).events.select_related("actor", "agent")
        return self._paged(rows, shapes.EventSerializer)

    def _seen(self, pk: UUID) -> ProductPublish:
        """A stranger gets the 404 before any word about the body."""
        return get_object_or_404(ProductPublish.objects.visible_to(self.request.user), pk=pk)

    def _writable(self, pk: UUID) -> ProductPublish:
        """And a viewer the 403."""
        row = self._seen(pk)
        access.require(self.request.user, row.organization_id, Role.MEMBER)
        return row

    def _paged(self, rows: QuerySet, serializer: type) -> Response:
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(serializer(page, many=True).data)


def _number(request: Request, name: str) -> int | None:
    """Of a revision, from the query; None when it is left out."""
    given = request.query_params.get(name)
    if given is None:
        return None
    if not given.isascii() or not given.isdigit() or len(given) > MAX_DIGITS:
        raise InvalidInput(_("Enter the number of a revision."), field=name)
    return int(given)


@extend_schema(tags=TAGS)
class ProductsPublishesViewSet(SharedListMixin, viewsets.GenericViewSet):
    """The publishes of one product."""

    queryset = ProductPublish.objects.none()
    serializer_class = shapes.ProductPublishSerializer
    filterset_class = ProductPublishFilter
    ordering_fields = ORDERINGS

    def get_queryset(self):
        return publishes_for(self.request.user).filter(product=self.kwargs["product_pk"])

    @extend_schema(
        summary="List a product's publishes",
        responses=shapes.ProductPublishSerializer(many=True),
    )
    def list(self, request: Request, product_pk: UUID) -> Response:
        self._product(product_pk)
        return super().list(request)

    @extend_schema(
        summary="Prepare a publish of a product",
        request=bodies.PublishSettings,
        responses={201: shapes.ProductPublishDetailSerializer, 409: CONFLICT},
    )
    def create(self, request: Request, product_pk: UUID) -> Response:
        product = self._product(product_pk)
        access.require(request.user, product.organization_id, Role.MEMBER)
        body = validated(bodies.PublishSettings, request)
        row = service.create(
            actor=request.user,
            organization_id=product.organization_id,
            product_id=product.pk,
            **body,
        )
        return answer(request.user, row.pk, status=201)

    def _product(self, pk: UUID) -> Product:
        return get_object_or_404(Product.objects.visible_to(self.request.user), pk=pk)
