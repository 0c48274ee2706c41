"""Base classes of the Django admin: superusers write, other staff read what they may see anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from core.errors import DomainError


class TenantAdmin(admin.ModelAdmin):
    """Rows through `visible_to`. Only a superuser, who is an admin everywhere, may write."""

    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        rows = super().get_queryset(request)
        visible = getattr(rows, "visible_to", None)
        if visible is not None:
            return visible(request.user)
        return rows if request.user.is_superuser else rows.none()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_staff

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser


class ThroughServices(TenantAdmin):
    """A refusal of a service is shown as a message, and nothing of the request is kept."""

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        view = super().changeform_view
        return self._said(request, object_id, view, object_id, *args, **kwargs)

    def delete_view(self, request: HttpRequest, object_id: str, *args: Any) -> HttpResponse:
        return self._said(request, object_id, super().delete_view, object_id, *args)

    def changelist_view(self, request: HttpRequest, *args: Any) -> HttpResponse:
        return self._said(request, None, super().changelist_view, *args)

    def _said(
        self,
        request: HttpRequest,
        object_id: str | None,
        view: Callable[..., HttpResponse],
        *args: Any,
        **kwargs: Any,
    ) -> HttpResponse:
        try:
            with transaction.atomic():
                return view(request, *args, **kwargs)
        except DomainError as error:
            messages.error(request, error.message)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        if object_id is None:
            return HttpResponseRedirect(reverse(f"{name}_changelist"))
        return HttpResponseRedirect(reverse(f"{name}_change", args=[quote(object_id)]))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        for row in queryset:
            self.delete_model(request, row)


class ReadOnlyAdmin(TenantAdmin):
    """History, and rows that only services may write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class History(admin.TabularInline):
    """Rows that belong to the page's row, newest first, to read."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_staff

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
