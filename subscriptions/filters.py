"""How lists are narrowed, for pages and API alike."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from catalog.models import Product
from core.filters import Flag
from subscriptions.models import Application, Credential, Plan, Subscription
from subscriptions.states import Status


class PlanFilter(django_filters.FilterSet):
    class Meta:
        model = Plan
        fields = ["name", "currency"]


class ApplicationFilter(django_filters.FilterSet):
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name and description."
    )

    class Meta:
        model = Application
        fields = ["name"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(Q(name__icontains=value) | Q(description__icontains=value))


class SubscriptionFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Status.choices)
    application_id = django_filters.UUIDFilter()
    plan_id = django_filters.UUIDFilter()
    product_publish_id = django_filters.UUIDFilter(field_name="publish_id")
    product_id = django_filters.UUIDFilter(field_name="publish__product_id")
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In consumer, application, product and plan."
    )

    class Meta:
        model = Subscription
        fields: list[str] = []

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(application__name__icontains=value)
            | Q(application__organization__name__icontains=value)
            | Q(publish__product__name__icontains=value)
            | Q(plan__name__icontains=value)
        )


class CredentialFilter(django_filters.FilterSet):
    subscription_id = django_filters.UUIDFilter()
    application_id = django_filters.UUIDFilter(field_name="subscription__application_id")
    revoked = Flag(field_name="revoked_at", lookup_expr="isnull", exclude=True)
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name, prefix and application."
    )

    class Meta:
        model = Credential
        fields = ["name", "prefix"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(name__icontains=value)
            | Q(prefix__icontains=value)
            | Q(subscription__application__name__icontains=value)
        )


class PublicProductFilter(django_filters.FilterSet):
    category = django_filters.CharFilter(method="in_category", max_length=40)
    search = django_filters.CharFilter(
        method="matching", max_length=100, help_text="In name, description and provider."
    )

    class Meta:
        model = Product
        fields = ["name", "version"]

    def matching(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(
            Q(name__icontains=value)
            | Q(description__icontains=value)
            | Q(organization__name__icontains=value)
        )

    def in_category(self, rows: QuerySet, name: str, value: str) -> QuerySet:
        return rows.filter(categories__contains=[value])
