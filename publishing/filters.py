"""How lists of publishes are narrowed."""

from __future__ import annotations

import django_filters

from publishing.models import Environment, ProductPublish
from publishing.states import Status


class ProductPublishFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Status.choices)
    environment = django_filters.ChoiceFilter(choices=Environment.choices)
    cluster_id = django_filters.UUIDFilter()
    product_id = django_filters.UUIDFilter()

    class Meta:
        model = ProductPublish
        fields = ["status", "environment", "cluster_id", "product_id"]
