"""/api/v1/provider/certificates. No answer ever holds a private key."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Role
from catalog.api.serializers import listed
from catalog.api.views import VersionedViewSet
from catalog.filters import CertificateFilter
from catalog.models import Certificate, Validity
from catalog.services import certificates
from core import versions
from core.api import validated
from core.schema import example
from core.serializers import RowSerializer

PEM = "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGH…\n-----END PRIVATE KEY-----\n"


class CertificateSerializer(RowSerializer):
    provider_tenant_id = serializers.UUIDField(source="organization_id", read_only=True)
    certificate = serializers.CharField(source="chain", read_only=True, help_text="PEM")
    fingerprint_sha256 = serializers.CharField(source="fingerprint", read_only=True)
    status = serializers.ChoiceField(Validity.choices, read_only=True)
    days_left = serializers.IntegerField(read_only=True, help_text="Negative once it has expired.")
    gateway_ids = serializers.SerializerMethodField(
        help_text="Gateways with a listener that uses it."
    )

    class Meta:
        model = Certificate
        fields = [
            "id",
            "provider_tenant_id",
            "name",
            "version",
            "certificate",
            "fingerprint_sha256",
            "subject",
            "issuer",
            "hosts",
            "key_type",
            "not_before",
            "not_after",
            "status",
            "days_left",
            "gateway_ids",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_gateway_ids(self, row: Any) -> list[str]:
        return sorted({str(listener.gateway_id) for listener in row.listed_listeners})


@example(name="example.com", certificate=PEM, private_key=KEY)
class CertificateBody(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    certificate = serializers.CharField(
        trim_whitespace=False, help_text="PEM: the server's certificate, then each one's issuer."
    )
    private_key = serializers.CharField(
        trim_whitespace=False, write_only=True, help_text="PEM, not encrypted. Never shown again."
    )


@example(certificate=PEM, private_key=KEY)
class ReplacementBody(serializers.Serializer):
    """Without `private_key` the stored one stays, which then must fit."""

    name = serializers.CharField(max_length=120, required=False)
    certificate = serializers.CharField(trim_whitespace=False)
    private_key = serializers.CharField(
        trim_whitespace=False, write_only=True, allow_blank=True, default=""
    )


@example(name="example.com, 2027")
class CertificateChangeBody(ReplacementBody):
    certificate = serializers.CharField(trim_whitespace=False, required=False)


class CertificateViewSet(VersionedViewSet):
    """TLS certificates of the providers that the user works for. Their private keys are never shown."""

    model = Certificate
    queryset = Certificate.objects.none()
    serializer_class = CertificateSerializer
    filterset_class = CertificateFilter
    ordering_fields = ("name", "not_after", "created_at", "updated_at")

    def get_queryset(self):
        return super().get_queryset().prefetch_related(*listed("listeners")).defer("sealed_key")

    @extend_schema(request=CertificateBody, responses={201: CertificateSerializer})
    def create(self, request: Request) -> Response:
        """Upload a certificate with its key. 400 names what is wrong: `certificate` or `private_key`."""
        organization_id = self.creating_in()
        body = validated(CertificateBody, request)
        row = certificates.upload(actor=request.user, organization_id=organization_id, **body)
        return self.answer(row, status=201)

    @extend_schema(request=ReplacementBody, responses=CertificateSerializer)
    def update(self, request: Request, pk: str) -> Response:
        """The next version, in place: gateways take it over without a new publish or a dropped connection.

        400 `certificate_mismatch` if a host that is served with it is not covered.
        """
        row, seen = self.writing_to(), versions.asked(request)
        body = validated(ReplacementBody, request)
        return self.answer(
            certificates.replace(actor=request.user, certificate_id=row, seen=seen, **body)
        )

    @extend_schema(request=CertificateChangeBody, responses=CertificateSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Only the name, or a new version as with PUT."""
        which = {"actor": request.user, "certificate_id": self.writing_to()}
        body = validated(CertificateChangeBody, request) | {"seen": versions.asked(request)}
        if body.get("certificate") or body["private_key"]:
            return self.answer(certificates.replace(**which, **{"certificate": ""} | body))
        name = body.get("name", self.get_object().name)
        return self.answer(certificates.rename(**which, name=name, seen=body["seen"]))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """409 `certificate_in_use` while a listener, or what a publish serves, needs it."""
        row, seen = self.writing_to(Role.ADMIN), versions.asked(request)
        certificates.delete(actor=request.user, certificate_id=row, seen=seen)
        return Response(status=204)
