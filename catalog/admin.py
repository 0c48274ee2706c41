"""The catalog in the admin. Writes go through the services, so they are checked and audited as anywhere."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import Count, QuerySet
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Kind
from catalog.models import (
    ApiService,
    Backend,
    Certificate,
    Gateway,
    Listener,
    Policy,
    Product,
    Route,
)
from catalog.services import apis, certificates, gateways, products
from core.admin import ThroughServices


class Parts(admin.TabularInline):
    """Rows of the page's row. Whoever may see that may see these."""

    extra = 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_staff

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_superuser


class RouteInline(Parts):
    model = Route


class BackendInline(Parts):
    model = Backend


class PolicyInline(Parts):
    model = Policy


class ListenerInline(Parts):
    model = Listener
    autocomplete_fields = ["certificate"]


class Definition(ThroughServices):
    """What belongs to a provider. The owner is chosen once."""

    readonly_fields = ["id", "created_at", "updated_at"]
    autocomplete_fields = ["organization"]
    list_select_related = ["organization"]
    list_filter = [("organization", admin.RelatedOnlyFieldListFilter)]
    date_hierarchy = "created_at"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, "organization"] if obj else self.readonly_fields

    def formfield_for_foreignkey(self, field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if field.name == "organization":
            kwargs["limit_choices_to"] = {"kind": Kind.PROVIDER}
        return super().formfield_for_foreignkey(field, request, **kwargs)


@admin.register(ApiService)
class ApiServiceAdmin(Definition):
    list_display = ["name", "version", "organization", "base_path", "routes", "updated_at"]
    search_fields = ["=id", "name", "description", "base_path", "routes__path", "backends__host"]
    inlines = [RouteInline, BackendInline, PolicyInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(route_count=Count("routes", distinct=True))

    @admin.display(description=_("routes"), ordering="route_count")
    def routes(self, service: Any) -> int:
        return service.route_count

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        values = {name: form.cleaned_data[name] for name in ("name", "version", "description")}
        values["base_path"] = form.cleaned_data["base_path"]
        if change:
            apis.update(actor=request.user, service_id=obj.pk, **values)
        else:
            owner = obj.organization_id
            obj.pk = apis.create(actor=request.user, organization_id=owner, **values).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        given = {formset.prefix: _rows(formset) for formset in formsets}
        apis.update(actor=request.user, service_id=form.instance.pk, **given)

    def delete_model(self, request: HttpRequest, obj: ApiService) -> None:
        apis.delete(actor=request.user, service_id=obj.pk)


@admin.register(Product)
class ProductAdmin(Definition):
    list_display = ["name", "version", "organization", "categories", "updated_at"]
    search_fields = ["=id", "name", "description", "services__name"]
    filter_horizontal = ["services"]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        names = ("name", "version", "description", "categories", "docs_url")
        values = {name: form.cleaned_data[name] for name in names}
        values["service_ids"] = [row.pk for row in form.cleaned_data["services"]]
        if change:
            products.update(actor=request.user, product_id=obj.pk, **values)
        else:
            owner = obj.organization_id
            obj.pk = products.create(actor=request.user, organization_id=owner, **values).pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """All of it is saved by then."""

    def delete_model(self, request: HttpRequest, obj: Product) -> None:
        products.delete(actor=request.user, product_id=obj.pk)


@admin.register(Gateway)
class GatewayAdmin(Definition):
    list_display = ["name", "organization", "gateway_class", "ports", "updated_at"]
    list_filter = ["gateway_class", *Definition.list_filter]
    search_fields = ["=id", "name", "description", "=listeners__port"]
    inlines = [ListenerInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).prefetch_related("listeners")

    @admin.display(description=_("ports"))
    def ports(self, gateway: Gateway) -> str:
        return ", ".join(map(str, gateway.listeners.all()))

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        """With its listeners, which come in save_related: a gateway without any is refused."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        names = ("name", "gateway_class", "description")
        values = {name: form.cleaned_data[name] for name in names}
        values["listeners"] = _rows(formsets[0])
        if change:
            gateways.update(actor=request.user, gateway_id=form.instance.pk, **values)
        else:
            owner = form.instance.organization_id
            made = gateways.create(actor=request.user, organization_id=owner, **values)
            form.instance.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: Gateway) -> None:
        gateways.delete(actor=request.user, gateway_id=obj.pk)


@admin.register(Certificate)
class CertificateAdmin(Definition):
    """All but the key. Providers upload and replace them."""

    list_display = ["name", "organization", "hosts", "not_after", "version", "updated_at"]
    search_fields = ["=id", "name", "hosts", "=fingerprint"]
    date_hierarchy = "not_after"
    fields = [
        *("name", "organization", "version", "fingerprint", "subject", "issuer", "hosts"),
        *("key_type", "not_before", "not_after", "chain", "id", "created_at", "updated_at"),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field for field in self.fields if field != "name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer("sealed_key")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        name = form.cleaned_data["name"]
        certificates.rename(actor=request.user, certificate_id=obj.pk, name=name)

    def delete_model(self, request: HttpRequest, obj: Certificate) -> None:
        certificates.delete(actor=request.user, certificate_id=obj.pk)


def _rows(formset: BaseInlineFormSet) -> list[dict[str, Any]]:
    """What should be there in the end, each with the id of the row that was edited."""
    formset.save(commit=False)  # notes what changed, for the admin's history
    kept = [form for form in formset.forms if form not in formset.deleted_forms]
    return [
        {**form.cleaned_data, "id": form.instance.pk if form.initial else None}
        for form in kept
        if form.cleaned_data
    ]
