"""/api/v1/provider/{product-publishes/preview,publish-drafts,products/:id/publish-draft}: the wizard's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Kind
from catalog.models import Product
from core.api import validated
from core.errors import InvalidInput
from core.fields import Flag, Id, Text
from core.schema import example
from publishing.api import bodies
from publishing.api import serializers as shapes
from publishing.api.answers import CONFLICT, TAGS, shown
from publishing.filters import DraftFilter
from publishing.models import PublishDraft
from publishing.services import drafts
from publishing.states import DraftStep


class DraftAnswers(serializers.Serializer):
    """Answers of one step; those of other steps are left alone."""

    step = serializers.ChoiceField([step for step in DraftStep.values if step != DraftStep.REVIEW])
    version = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        help_text="The version that was read; another one by now is a 409. Left out: overwrite.",
    )
    advance = Flag(
        default=True, help_text="Judge the step's answers and go on; false keeps them as they are."
    )
    cluster_id = Id(required=False)
    gateway_id = Id(required=False)
    environment = Text(required=False, allow_blank=True)
    hostname_base = Text(required=False, allow_blank=True)
    auth_mode = Text(required=False, allow_blank=True)
    auth_config = serializers.JSONField(required=False)
    visibility = Text(required=False, allow_blank=True)
    approval_required = Flag(required=False)


@example(version=4)
class DraftVersion(serializers.Serializer):
    version = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class DraftSerializer(serializers.Serializer):
    product_id = serializers.UUIDField()
    product_name = serializers.CharField()
    version = serializers.IntegerField(help_text="0: there is no draft yet.")
    step = serializers.ChoiceField(DraftStep.choices, help_text="Where it was left.")
    reached = serializers.ChoiceField(
        DraftStep.choices, help_text="The last step that can be opened."
    )
    answers = serializers.DictField()
    updated_at = serializers.DateTimeField(allow_null=True)


class RefusedSerializer(shapes.RefusalSerializer):
    """Why publishing it at once would be refused."""


class PublishPreviewSerializer(serializers.Serializer):
    """What a publish would serve, before there is one."""

    host = serializers.CharField()
    listeners = serializers.ListField(child=serializers.DictField())
    routes = serializers.ListField(child=serializers.DictField())
    upstreams = serializers.ListField(child=serializers.DictField())
    comparison = shapes.ComparisonSerializer(help_text="With nothing: it is not served yet.")
    refusal = RefusedSerializer(allow_null=True)


@extend_schema(tags=TAGS)
class PreviewViewSet(viewsets.GenericViewSet):
    """Nothing is saved."""

    queryset = PublishDraft.objects.none()
    serializer_class = PublishPreviewSerializer

    @extend_schema(
        summary="Preview a publish",
        description="Validates as creating does; tells the exact routes, what would change on the "
        "gateways, and why publishing at once would be refused: a conflict names the other publish "
        "if you may see it.",
        request=bodies.NewPublish,
        responses={200: PublishPreviewSerializer, 409: CONFLICT},
    )
    def preview(self, request: Request) -> Response:
        if request.organization is None:
            raise Http404
        access.organization_for(request.user, request.organization.pk, kind=Kind.PROVIDER)
        body = validated(bodies.NewPublish, request)
        found = drafts.preview(actor=request.user, **body)
        bundle = found.bundle
        data = {key: bundle.get(key, []) for key in ("listeners", "routes", "upstreams")}
        data |= {
            "host": bundle["host"],
            "comparison": found.comparison,
            "refusal": found.refusal,
        }
        return Response(PublishPreviewSerializer(data).data)


@extend_schema(tags=TAGS)
@extend_schema_view(
    list=extend_schema(
        summary="List your drafts of publishes",
        description="Only your own: a draft is one person's unfinished wizard.",
        responses=DraftSerializer(many=True),
    )
)
class DraftListViewSet(mixins.ListModelMixin, viewsets.GenericViewSet):
    queryset = PublishDraft.objects.none()
    serializer_class = DraftSerializer
    filterset_class = DraftFilter
    ordering_fields = ["updated_at"]

    def get_queryset(self) -> QuerySet[PublishDraft]:
        return PublishDraft.objects.visible_to(self.request.user).select_related("product")

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([_shown(row.product, row) for row in page])


@extend_schema(tags=TAGS)
class DraftViewSet(viewsets.GenericViewSet):
    """Your unfinished publish of a product."""

    queryset = PublishDraft.objects.none()
    serializer_class = DraftSerializer

    @extend_schema(summary="Read your draft", responses=DraftSerializer)
    def retrieve(self, request: Request, product_pk: UUID) -> Response:
        product = self._product(product_pk)
        return Response(_shown(product, drafts.of(request.user, product_pk)))

    @extend_schema(
        summary="Answer a step of your draft",
        request=DraftAnswers,
        responses={200: DraftSerializer, 409: CONFLICT},
        examples=[
            OpenApiExample(
                "The first step",
                {"step": "cluster", "cluster_id": "8f14e45f-ceea-467f-a0e6-cbb8b5a2b1c4"},
                request_only=True,
            )
        ],
    )
    def update(self, request: Request, product_pk: UUID) -> Response:
        product = self._writable(product_pk)
        body = validated(DraftAnswers, request)
        step, version = body.pop("step"), body.pop("version", None)
        foreign = sorted(set(body) - {"advance"} - set(drafts.ANSWERS[step]))
        if foreign:
            raise InvalidInput(_("This belongs to another step."), field=foreign[0])
        saved = drafts.save(
            actor=request.user,
            product_id=product_pk,
            step=step,
            advance=body.pop("advance"),
            version=version,
            answers=body,
        )
        return Response(_shown(product, saved.draft))

    @extend_schema(summary="Discard your draft", responses={204: None, 409: CONFLICT})
    def destroy(self, request: Request, product_pk: UUID) -> Response:
        self._writable(product_pk)
        drafts.discard(actor=request.user, product_id=product_pk)
        return Response(status=204)

    @extend_schema(
        summary="Create the publish of your draft",
        description="The draft becomes a DRAFT publish, and is gone.",
        request=DraftVersion,
        responses={201: shapes.ProductPublishDetailSerializer, 409: CONFLICT},
    )
    def create_publish(self, request: Request, product_pk: UUID) -> Response:
        self._writable(product_pk)
        body = validated(DraftVersion, request)
        made = drafts.create(actor=request.user, product_id=product_pk, **body)
        return Response(shown(request.user, made.pk), status=201)

    def _product(self, pk: UUID) -> Product:
        return get_object_or_404(Product.objects.visible_to(self.request.user), pk=pk)

    def _writable(self, pk: UUID) -> Product:
        product = self._product(pk)
        access.require(self.request.user, product.organization_id)
        return product


def _shown(product: Product, draft: PublishDraft | None) -> dict[str, Any]:
    return DraftSerializer(
        {
            "product_id": product.pk,
            "product_name": str(product),
            "version": draft.version if draft else 0,
            "step": draft.step if draft else DraftStep.CLUSTER,
            "reached": drafts.reached(draft),
            "answers": draft.data if draft else {},
            "updated_at": draft.updated_at if draft else None,
        }
    ).data
