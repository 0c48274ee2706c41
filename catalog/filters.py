"""How lists are narrowed, for pages and API alike."""

from __future__ import annotations

import uuid

import django_filters
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils import timezone

from catalog.models import (
    EXPIRES_SOON,
    ApiService,
    Backend,
    Certificate,
    Gateway,
    Listener,
    Policy,
    Product,
    Route,
    Validity,
)
from clusters.models import Cluster
from core.filters import Flag


class ApiServiceFilter(django_filters.FilterSet):
    product_id = django_filters.UUIDFilter(field_name="products")
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name, version, description and base path."
    )

    class Meta:
        model = ApiService
        fields = ["name", "version", "base_path"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(name__icontains=value)
            | Q(version__icontains=value)
            | Q(description__icontains=value)
            | Q(base_path__icontains=value)
        )


class RouteFilter(django_filters.FilterSet):
    class Meta:
        model = Route
        fields = ["path", "match"]


class BackendFilter(django_filters.FilterSet):
    tls = Flag()

    class Meta:
        model = Backend
        fields = ["host", "port"]


class PolicyFilter(django_filters.FilterSet):
    class Meta:
        model = Policy
        fields = ["kind"]


class ProductFilter(django_filters.FilterSet):
    category = django_filters.CharFilter(method="in_category", max_length=40)
    service_id = django_filters.UUIDFilter(field_name="services")
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name, version, description and categories."
    )

    class Meta:
        model = Product
        fields = ["name", "version"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(name__icontains=value)
            | Q(version__icontains=value)
            | Q(description__icontains=value)
            | Q(categories__icontains=value)
        )

    def in_category(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(categories__contains=[value])


class GatewayFilter(django_filters.FilterSet):
    cluster_id = django_filters.CharFilter(
        method="for_cluster",
        help_text="Only gateways that an agent of this cluster can drive; all while it has none.",
    )
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name and description, or a port."
    )

    class Meta:
        model = Gateway
        fields = ["name", "gateway_class"]

    def for_cluster(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        """A cluster that is not offered to the asker does not exist."""
        try:
            cluster = Cluster.objects.offered_to(self.request.user).get(pk=uuid.UUID(value))
        except (ValueError, Cluster.DoesNotExist):
            raise Http404 from None
        return rows.drivable_on(cluster)

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        found = Q(name__icontains=value) | Q(description__icontains=value)
        if value.isascii() and value.isdecimal() and len(value) <= 5:
            found |= Q(pk__in=Listener.objects.filter(port=int(value)).values("gateway"))
        return rows.filter(found)


class CertificateFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(method="of_status", choices=Validity.choices)
    host = django_filters.CharFilter(
        method="for_host", max_length=253, help_text="Covers this host."
    )
    search = django_filters.CharFilter(field_name="name", lookup_expr="icontains", max_length=100)

    class Meta:
        model = Certificate
        fields = ["name"]

    def of_status(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        now = timezone.now()
        soon = now + EXPIRES_SOON
        return {
            Validity.EXPIRED: rows.filter(not_after__lte=now),
            Validity.EXPIRING: rows.filter(not_after__gt=now, not_after__lt=soon),
            Validity.VALID: rows.filter(not_after__gte=soon),
        }[Validity(value)]

    def for_host(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        host = value.lower()
        return rows.filter(hosts__overlap=[host, f"*.{host.partition('.')[2]}"])
