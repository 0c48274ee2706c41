"""How lists of publishes and deployments are narrowed. Unknown values are told, never ignored."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from publishing.models import (
    Deployment,
    Environment,
    ProductPublish,
    PublishDraft,
    PublishEvent,
    PublishRevision,
)
from publishing.states import Happening, Kind, Progress, Status

MAX_SEARCH = 100


class ProductPublishFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Status.choices)
    environment = django_filters.ChoiceFilter(choices=Environment.choices)
    cluster_id = django_filters.UUIDFilter()
    product_id = django_filters.UUIDFilter()
    search = django_filters.CharFilter(
        method="matching", max_length=MAX_SEARCH, label="Part of the product, hostname or cluster."
    )

    class Meta:
        model = ProductPublish
        fields = ["status", "environment", "cluster_id", "product_id"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(product__name__icontains=value)
            | Q(hostname_base__icontains=value)
            | Q(cluster__name__icontains=value)
        )


class RevisionFilter(django_filters.FilterSet):
    class Meta:
        model = PublishRevision
        fields = ["number", "digest"]


class EventFilter(django_filters.FilterSet):
    kind = django_filters.ChoiceFilter(choices=Happening.choices)
    deployment_id = django_filters.UUIDFilter()

    class Meta:
        model = PublishEvent
        fields = ["kind"]


class DraftFilter(django_filters.FilterSet):
    product_id = django_filters.UUIDFilter()

    class Meta:
        model = PublishDraft
        fields = ["step"]


class DeploymentFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Progress.choices)
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    environment = django_filters.ChoiceFilter(
        field_name="publish__environment", choices=Environment.choices
    )
    cluster_id = django_filters.UUIDFilter(field_name="publish__cluster_id")
    product_id = django_filters.UUIDFilter(field_name="publish__product_id")
    product_publish_id = django_filters.UUIDFilter(field_name="publish_id")

    class Meta:
        model = Deployment
        fields = ["status", "kind"]
