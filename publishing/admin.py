"""Everything to look at, nothing to change: a publish is changed through its services alone."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from core.admin import History, ReadOnlyAdmin
from publishing.models import (
    AgentPublish,
    Deployment,
    DeploymentVerdict,
    HostClaim,
    ProductPublish,
    PublishDraft,
    PublishEvent,
    PublishRevision,
    RouteClaim,
)


class Rows(ReadOnlyAdmin):
    """With every column, also those that no form would show."""

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.model._meta.concrete_fields]

    get_readonly_fields = get_fields


class DeploymentInline(History):
    model = Deployment
    fields = readonly_fields = [
        "number",
        "kind",
        "revision",
        "status",
        "detail",
        "requested_by",
        "created_at",
    ]
    ordering = ["-number"]


class RevisionInline(History):
    model = PublishRevision
    fields = readonly_fields = ["number", "digest", "created_by", "created_at"]


class EventInline(History):
    model = PublishEvent
    fields = readonly_fields = ["kind", "agent", "actor", "note", "created_at"]


class AgentPublishInline(History):
    model = AgentPublish
    fields = readonly_fields = ["agent", "revision", "error", "warning", "observed_at"]


class VerdictInline(History):
    model = DeploymentVerdict
    fields = readonly_fields = ["agent", "outcome", "error", "timings", "updated_at"]


@admin.register(ProductPublish)
class ProductPublishAdmin(Rows):
    list_display = [
        "product",
        "environment",
        "cluster",
        "hostname_base",
        "auth_mode",
        "status",
        "published_at",
        "organization",
    ]
    list_filter = ["status", "environment", "auth_mode", "visibility", "organization"]
    list_select_related = ["product", "cluster", "organization"]
    search_fields = ["id", "product__name", "cluster__name", "hostname_base", "organization__name"]
    date_hierarchy = "created_at"
    inlines = [DeploymentInline, RevisionInline, AgentPublishInline, EventInline]


@admin.register(Deployment)
class DeploymentAdmin(Rows):
    list_display = ["publish", "number", "kind", "revision", "status", "requested_by", "created_at"]
    list_filter = ["status", "kind"]
    list_select_related = ["publish__product", "revision", "requested_by"]
    search_fields = ["id", "publish__id", "publish__product__name", "note", "detail"]
    date_hierarchy = "created_at"
    inlines = [VerdictInline]


@admin.register(DeploymentVerdict)
class DeploymentVerdictAdmin(Rows):
    list_display = ["deployment", "agent", "outcome", "updated_at"]
    list_filter = ["outcome"]
    list_select_related = ["deployment", "agent"]
    search_fields = ["deployment__id", "agent__name", "error"]


@admin.register(PublishRevision)
class PublishRevisionAdmin(Rows):
    list_display = ["publish", "number", "digest", "created_by", "created_at"]
    list_select_related = ["publish__product", "created_by"]
    search_fields = ["digest", "publish__id", "publish__product__name"]
    date_hierarchy = "created_at"


@admin.register(AgentPublish)
class AgentPublishAdmin(Rows):
    list_display = [
        "agent",
        "publish",
        "revision",
        "error",
        "warning",
        "drifted_at",
        "observed_at",
    ]
    list_select_related = ["agent", "publish__product"]
    search_fields = ["agent__name", "publish__id", "publish__product__name", "revision", "error"]


@admin.register(PublishEvent)
class PublishEventAdmin(Rows):
    list_display = ["created_at", "publish", "kind", "agent", "actor", "note"]
    list_filter = ["kind"]
    list_select_related = ["publish__product", "agent", "actor"]
    search_fields = ["publish__id", "publish__product__name", "actor__email", "agent__name", "note"]
    date_hierarchy = "created_at"


@admin.register(HostClaim)
class HostClaimAdmin(Rows):
    list_display = ["host", "cluster", "organization"]
    list_select_related = ["cluster", "organization"]
    search_fields = ["host", "cluster__name", "organization__name"]


@admin.register(RouteClaim)
class RouteClaimAdmin(Rows):
    list_display = ["host", "port", "protocol", "match", "path", "method", "cluster", "publish"]
    list_filter = ["protocol", "method"]
    list_select_related = ["cluster", "publish__product"]
    search_fields = ["host", "path", "cluster__name", "publish__id"]


@admin.register(PublishDraft)
class PublishDraftAdmin(Rows):
    list_display = ["product", "user", "step", "updated_at"]
    list_select_related = ["product", "user"]
    search_fields = ["product__name", "user__email"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PublishDraft]:
        """Everybody's: `visible_to` gives people their own alone."""
        rows = PublishDraft.objects.all()
        return rows if request.user.is_superuser else rows.none()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A wizard's memory is nobody's history."""
        return request.user.is_superuser
