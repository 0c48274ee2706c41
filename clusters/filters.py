"""How lists of clusters are narrowed, for pages and API alike."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from clusters.models import Cluster, Status


class ClusterFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Status.choices)
    region = django_filters.CharFilter(max_length=100)
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name, description, region and labels."
    )

    class Meta:
        model = Cluster
        fields = ["status", "region", "search"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(name__icontains=value)
            | Q(description__icontains=value)
            | Q(region__icontains=value)
            | Q(labels__icontains=value)
        )
