"""/api/v1/public/…: what is on offer, for everybody."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, Prefetch
from rest_framework import permissions, viewsets

from catalog.models import Product
from core.api import SharedListMixin
from publishing.models import ProductPublish, Visibility
from publishing.states import Status
from subscriptions import filters
from subscriptions.api import serializers

# What is shown of a publish beside its plans.
PUBLISH = [name for name in serializers.PublicPublishSerializer.Meta.fields if name != "plans"]


class PublicProductViewSet(SharedListMixin, viewsets.ReadOnlyModelViewSet):
    """Products with a live, public publish, and the plans of those."""

    queryset = Product.objects.none()
    serializer_class = serializers.PublicProductSerializer
    permission_classes = (permissions.AllowAny,)
    filterset_class = filters.PublicProductFilter
    ordering_fields = ("name", "version")

    def get_queryset(self):
        on_offer = ProductPublish.objects.filter(
            status=Status.PUBLISHED, visibility=Visibility.PUBLIC
        )
        # As plain lists: a manager for each publish would take longer than the query.
        publishes = (
            on_offer.order_by("environment", "pk")
            .only("product", *PUBLISH)
            .prefetch_related(Prefetch("plans", to_attr="offered_plans"))
        )
        return (
            Product.objects.filter(Exists(on_offer.filter(product=OuterRef("pk"))))
            .select_related("organization")
            .prefetch_related(Prefetch("publishes", publishes, to_attr="on_offer"))
        )
