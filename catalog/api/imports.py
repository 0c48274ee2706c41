"""/api/v1/provider/api-services/imports: OpenAPI documents on their way to become services."""

from __future__ import annotations

from typing import Any

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import access
from accounts.models import Role
from catalog.api.serializers import ApiServiceSerializer, NestedBackend
from catalog.api.views import ProviderViewSet
from catalog.models import ApiImport, ApiService, ImportStatus
from catalog.openapi import problems
from catalog.openapi.changes import Changes
from catalog.services import imports
from core.api import validated
from core.rest import StorableJSONParser
from core.schema import example

# --- Shapes ----------------------------------------------------------------------------------------


class ImportProblemSerializer(serializers.Serializer):
    code = serializers.CharField()
    message = serializers.CharField()


class ImportSerializer(serializers.ModelSerializer):
    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    service_id = serializers.UUIDField(read_only=True, allow_null=True)
    name = serializers.CharField(source="preview.name", default="", read_only=True)
    format = serializers.CharField(source="preview.format", default="", read_only=True)
    problem = serializers.SerializerMethodField(help_text="Why the document could not be read.")

    class Meta:
        model = ApiImport
        fields = [
            "id", "provider_tenant_id", "service_id", "source", "origin", "status", "problem", "name",
            "format", "created_at", "applied_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(ImportProblemSerializer(allow_null=True))
    def get_problem(self, row: ApiImport) -> dict[str, str] | None:
        if not row.problem:
            return None
        code = row.problem["code"]
        return {"code": code, "message": problems.words(code, row.problem["details"])}


class OperationSerializer(serializers.Serializer):
    method = serializers.CharField()
    name = serializers.CharField(help_text="The operationId.")
    summary = serializers.CharField()
    deprecated = serializers.BooleanField()


class ProposedRouteSerializer(serializers.Serializer):
    match = serializers.CharField()
    path = serializers.CharField()
    methods = serializers.ListField(child=serializers.CharField())
    operations = OperationSerializer(many=True)


class ProposedBackendSerializer(serializers.Serializer):
    host = serializers.CharField()
    port = serializers.IntegerField()
    tls = serializers.BooleanField()


class ImportNoteSerializer(serializers.Serializer):
    where = serializers.CharField()
    code = serializers.CharField()
    skipped = serializers.BooleanField(help_text="Nothing became of this part.")
    reason = serializers.SerializerMethodField()

    def get_reason(self, note: dict[str, Any]) -> str:
        return problems.reason(note["code"], note["details"])


class ImportPreviewSerializer(serializers.Serializer):
    """What the document says in the terms of a service."""

    name = serializers.CharField()
    version = serializers.CharField()
    description = serializers.CharField()
    base_path = serializers.CharField()
    backends = ProposedBackendSerializer(many=True)
    routes = ProposedRouteSerializer(many=True)
    operation_count = serializers.IntegerField()
    notes = ImportNoteSerializer(many=True)
    note_count = serializers.IntegerField()


class ImportChangeSerializer(serializers.Serializer):
    kind = serializers.ChoiceField(["added", "changed", "removed", "kept"])
    match = serializers.CharField()
    path = serializers.CharField()
    methods = serializers.ListField(child=serializers.CharField(), help_text="Methods that stay.")
    added_methods = serializers.ListField(source="more", child=serializers.CharField())
    removed_methods = serializers.ListField(source="less", child=serializers.CharField())


class ImportChangesSerializer(serializers.Serializer):
    """What applying would do to the service's routes as they are now; kept ones are only counted."""

    fingerprint = serializers.CharField(help_text="Give it to apply, to get 409 if this changed.")
    counts = serializers.DictField(child=serializers.IntegerField())
    rows = serializers.SerializerMethodField()

    @extend_schema_field(ImportChangeSerializer(many=True))
    def get_rows(self, found: Changes) -> Any:
        return ImportChangeSerializer(
            [row for row in found.rows if row.kind != "kept"], many=True
        ).data


class ImportDetailSerializer(ImportSerializer):
    preview = serializers.SerializerMethodField(help_text="Null until the document is read.")
    changes = serializers.SerializerMethodField(help_text="Null unless the import is ready.")

    class Meta(ImportSerializer.Meta):
        fields = [*ImportSerializer.Meta.fields, "preview", "changes"]
        read_only_fields = fields

    @extend_schema_field(ImportPreviewSerializer(allow_null=True))
    def get_preview(self, row: ApiImport) -> Any:
        return ImportPreviewSerializer(row.preview).data if row.preview else None

    @extend_schema_field(ImportChangesSerializer(allow_null=True))
    def get_changes(self, row: ApiImport) -> Any:
        if row.status != ImportStatus.READY:
            return None
        return ImportChangesSerializer(imports.changes_of(row)).data


class ImportBody(serializers.Serializer):
    """One of `document`, `file` and `url`."""

    document = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="JSON or YAML, 5 MB at most.",
    )
    file = serializers.FileField(required=False, help_text="The same as an upload (multipart).")
    url = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=2000,
        help_text="A public http(s) link; a worker fetches it, and `status` is pending meanwhile.",
    )
    service_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="Of the service whose routes are to be renewed."
    )


@example(
    name="Pets",
    base_path="/pets",
    backends=[{"host": "pets.internal", "port": 8080}],
    remove_missing=True,
)
class ApplyBody(serializers.Serializer):
    """What is left out is taken from the document, or stays as it is on a service that exists."""

    name = serializers.CharField(max_length=120, required=False)
    version = serializers.CharField(max_length=40, required=False)
    base_path = serializers.CharField(max_length=200, required=False)
    backends = NestedBackend(many=True, required=False)
    remove_missing = serializers.BooleanField(
        default=True, help_text="Remove routes of the service that the document does not have."
    )
    fingerprint = serializers.CharField(max_length=64, required=False, allow_blank=True)


# --- Views -------------------------------------------------------------------------------------------


class ImportFilter(django_filters.FilterSet):
    service_id = django_filters.UUIDFilter(field_name="service")
    search = django_filters.CharFilter(
        field_name="origin", lookup_expr="icontains", max_length=100, help_text="In the origin."
    )

    class Meta:
        model = ApiImport
        fields = ["status", "source"]


EXAMPLES = [
    OpenApiExample("A link", {"url": "https://api.example.com/openapi.yaml"}, request_only=True),
    OpenApiExample(
        "A document, for a service that exists",
        {
            "document": '{"openapi": "3.1.0", "info": {"title": "Pets", "version": "1.0"}, "paths": {}}',
            "service_id": "00000000-0000-4000-8000-000000000000",
        },
        request_only=True,
    ),
    OpenApiExample(
        "A file", {"file": "openapi.yaml"}, media_type="multipart/form-data", request_only=True
    ),
]


class ImportViewSet(ProviderViewSet):
    model = ApiImport
    queryset = ApiImport.objects.none()
    serializer_class = ImportDetailSerializer
    filterset_class = ImportFilter
    roles = {"destroy": Role.MEMBER}
    ordering_fields = ("created_at", "applied_at")
    parser_classes = (StorableJSONParser, MultiPartParser)

    def get_queryset(self):
        rows = super().get_queryset().select_related("service")
        return rows.defer("document")

    def writing_to(self, role: Role = Role.MEMBER) -> Any:
        """An import has an owner of its own: its service may not exist yet."""
        row = self.get_object()
        access.require(self.request.user, row.organization_id, role)
        return row.pk

    @extend_schema(responses=ImportSerializer(many=True))
    def list(self, request: Request) -> Response:
        """Newest first. The previews are with each import itself."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(ImportSerializer(rows, many=True).data)

    @extend_schema(
        request={"application/json": ImportBody, "multipart/form-data": ImportBody},
        responses={201: ImportDetailSerializer, 202: ImportDetailSerializer},
        examples=EXAMPLES,
    )
    def create(self, request: Request) -> Response:
        """Read OpenAPI 3.0, 3.1 or Swagger 2.0. Nothing changes before it is applied.

        201 with the preview; 202 while a worker fetches a link. 400 says what is wrong with the document.
        409 `too_many_imports` while too many wait to be applied.
        """
        organization_id = self.creating_in()
        body = validated(ImportBody, request)
        upload = body.pop("file", None)
        if upload is not None:
            body |= {"document": upload.read(), "file_name": upload.name}
        row = imports.start(actor=request.user, organization_id=organization_id, **body)
        return self.answer(row, status=202 if row.status == ImportStatus.PENDING else 201)

    @extend_schema(
        summary="Apply an import",
        request={"application/json": ApplyBody},
        responses=ApiServiceSerializer,
    )
    @action(detail=True, methods=["post"])
    def apply(self, request: Request, pk: str) -> Response:
        """Make the service, or renew the routes of the one it is for. 409 `changes_differ` if they moved."""
        import_id = self.writing_to()
        body = validated(ApplyBody, request)
        service = imports.apply(actor=request.user, import_id=import_id, **body)
        rows = ApiService.objects.prefetch_related(*ApiServiceSerializer.PARTS)
        return Response(ApiServiceSerializer(rows.get(pk=service.pk)).data)

    @extend_schema(
        summary="Fetch an import's link again",
        request=None,
        responses={202: ImportDetailSerializer},
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Fetch the link once more, after it failed. 409 `import_not_failed` if it did not."""
        row = imports.retry(actor=request.user, import_id=self.writing_to())
        return self.answer(row, status=202)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Forget an import. 409 `import_applied` once it is applied."""
        imports.discard(actor=request.user, import_id=self.writing_to())
        return Response(status=204)
