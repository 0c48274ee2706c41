"""Subscriptions in the admin: to look at, and to act on through the services. Digests are shown nowhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from core.admin import History, ReadOnlyAdmin
from core.errors import DomainError
from subscriptions.models import AccessEntry, Application, Credential, Plan, Subscription
from subscriptions.services import credentials, subscriptions
from subscriptions.states import OPEN


class Acting(ReadOnlyAdmin):
    """Rows change only by actions, and only a superuser may act."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def each(self, request: HttpRequest, rows: QuerySet, act: Callable[[Any], Any]) -> None:
        """A refusal is shown and does not stop the others."""
        for row in rows:
            try:
                act(row)
            except DomainError as error:
                messages.error(request, f"{row}: {error.message}")


class SubscriptionInline(History):
    model = Subscription
    fk_name = "application"
    fields = readonly_fields = ["publish", "plan", "status", "created_at"]


class CredentialInline(History):
    model = Credential
    fields = readonly_fields = ["name", "prefix", "created_at", "revoked_at", "revoked_version"]


@admin.register(Plan)
class PlanAdmin(ReadOnlyAdmin):
    list_display = [
        "name",
        "publish",
        "price",
        "currency",
        "quota_per_day",
        "rate_per_minute",
        "subscribers",
    ]
    list_filter = ["currency", "approval_required", "publish__environment", "publish__status"]
    list_select_related = ["publish__product"]
    search_fields = ["=id", "name", "publish__product__name", "publish__hostname_base"]
    date_hierarchy = "created_at"

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        opened = Q(subscriptions__status__in=OPEN)
        rows = super().get_queryset(request)
        return rows.annotate(open_count=Count("subscriptions", filter=opened))

    @admin.display(description=_("open subscriptions"), ordering="open_count")
    def subscribers(self, plan: Any) -> int:
        return plan.open_count


@admin.register(Application)
class ApplicationAdmin(ReadOnlyAdmin):
    list_display = ["name", "organization", "created_at"]
    list_filter = [("organization", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["organization"]
    search_fields = ["=id", "name", "description", "organization__name"]
    date_hierarchy = "created_at"
    inlines = [SubscriptionInline]


@admin.register(Subscription)
class SubscriptionAdmin(Acting):
    list_display = ["application", "publish", "plan", "status", "created_at", "decided_by"]
    list_filter = ["status", "publish__environment", "created_at"]
    list_select_related = ["application", "publish__product", "plan", "decided_by"]
    search_fields = [
        "=id",
        "application__name",
        "application__organization__name",
        "publish__product__name",
        "plan__name",
    ]
    date_hierarchy = "created_at"
    inlines = [CredentialInline]
    actions = ["approve", "resume", "cancel"]

    @admin.action(description=_("Approve the selected subscriptions"), permissions=["act"])
    def approve(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._decide(request, queryset, subscriptions.approve)

    @admin.action(description=_("Resume the selected subscriptions"), permissions=["act"])
    def resume(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._decide(request, queryset, subscriptions.resume)

    @admin.action(description=_("Cancel the selected subscriptions"), permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet) -> None:
        self._decide(request, queryset, subscriptions.cancel)

    def _decide(
        self, request: HttpRequest, rows: QuerySet, service: Callable[..., Subscription]
    ) -> None:
        self.each(request, rows, lambda row: service(actor=request.user, subscription_id=row.pk))


@admin.register(Credential)
class CredentialAdmin(Acting):
    list_display = ["name", "prefix", "subscription", "works", "created_at", "revoked_at"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "created_at"]
    list_select_related = ["subscription__application", "subscription__publish__product"]
    search_fields = [
        "=id",
        "name",
        "prefix",
        "subscription__application__name",
        "subscription__application__organization__name",
    ]
    date_hierarchy = "created_at"
    exclude = ["digest"]
    actions = ["revoke"]

    @admin.display(description=_("not revoked"), boolean=True)
    def works(self, credential: Credential) -> bool:
        return credential.revoked_at is None

    @admin.action(description=_("Revoke the selected keys"), permissions=["act"])
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        def act(row: Credential) -> Credential:
            return credentials.revoke(actor=request.user, credential_id=row.pk)

        self.each(request, queryset, act)


@admin.register(AccessEntry)
class AccessEntryAdmin(ReadOnlyAdmin):
    """What gateways are told."""

    list_display = [
        "id",
        "kind",
        "cluster",
        "version",
        "suspended",
        "rate_per_minute",
        "deleted_at",
    ]
    list_filter = ["kind", "suspended", ("deleted_at", admin.EmptyFieldListFilter), "cluster"]
    list_select_related = ["cluster"]
    search_fields = ["=id", "=publish_id", "=plan_id", "=subscription_id", "cluster__name"]
    ordering = ["cluster", "-version", "id"]
    exclude = ["digest"]
