"""Clusters in the admin. Writes go through the services, so they are checked and audited as anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.models import Kind
from clusters import rules
from clusters.forms import WordsField
from clusters.models import (
    Agent,
    Cluster,
    ClusterState,
    Region,
    RegistrationToken,
    Status,
    live_agents,
)
from clusters.services import agents as agent_service
from clusters.services import clusters as service
from clusters.services import tokens as token_service
from core.admin import ReadOnlyAdmin, TenantAdmin, ThroughServices
from core.errors import DomainError, InvalidInput


class StatusFilter(admin.SimpleListFilter):
    title = _("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(Status.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(status=self.value()) if self.value() else queryset


class LiveFilter(admin.SimpleListFilter):
    title = _("live")
    parameter_name = "live"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Yes")), ("no", _("No"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        if self.value() == "yes":
            return queryset.filter(live_agents())
        return queryset.exclude(live_agents()) if self.value() == "no" else queryset


class ClusterAdminForm(forms.ModelForm):
    allowed_ports = WordsField(required=False, help_text=_("80, 443, 8000-8999. Empty: any."))
    allowed_networks = WordsField(required=False, help_text=_("CIDR blocks."))

    class Meta:
        model = Cluster
        fields = [
            "organization",
            "name",
            "region",
            "description",
            "cloud_provider",
            "labels",
            "allowed_ports",
            "allowed_networks",
            "trusted_hops",
            "open_to_all",
            "open_to",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["allowed_ports"] = rules.port_ranges(self.instance.allowed_ports)

    def clean(self) -> dict[str, Any]:
        settings = super().clean() or {}
        try:
            rules.clean({"name": "", "region": ""} | settings)  # type: ignore[typeddict-item]
        except InvalidInput as error:
            if error.field not in self.errors:
                self.add_error(error.field, error.message)
        return settings

    def settings(self) -> Any:
        data = self.cleaned_data
        values = {name: data[name] for name in data if name != "organization"}
        return values | {"open_to": [row.pk for row in data["open_to"]]}

    def _get_validation_exclusions(self) -> set[str]:
        """The ports are pairs only after the service has read them."""
        return super()._get_validation_exclusions() | {"allowed_ports"}


@admin.register(Cluster)
class ClusterAdmin(ThroughServices):
    """Status is derived: shown and filtered, never edited. Maintenance starts on the cluster's own page."""

    form = ClusterAdminForm
    list_display = ["name", "organization", "region", "status", "agents", "last_heartbeat"]
    list_filter = [StatusFilter, "region", "cloud_provider", "open_to_all", "organization"]
    list_select_related = ["organization"]
    search_fields = ["=id", "name", "description", "region", "organization__name"]
    date_hierarchy = "created_at"
    autocomplete_fields = ["open_to"]
    readonly_fields = [
        "id",
        "status",
        "agents",
        "last_heartbeat",
        "maintenance_since",
        "maintenance_until",
        "maintenance_reason",
        "first_active_at",
        "created_by",
        "created_at",
        "updated_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).with_status()

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, "organization"] if obj else self.readonly_fields

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None and db_field.name == "organization":
            field.queryset = field.queryset.filter(kind=Kind.OPERATOR)
        return field

    def save_model(self, request: HttpRequest, obj: Cluster, form: Any, change: bool) -> None:
        settings = form.settings()
        if change:
            service.update(actor=request.user, cluster_id=obj.pk, **settings)
        else:
            made = service.create(
                actor=request.user, organization_id=obj.organization_id, **settings
            )
            obj.pk = made.pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The service did."""

    def delete_model(self, request: HttpRequest, obj: Cluster) -> None:
        service.delete(actor=request.user, cluster_id=obj.pk)

    @admin.display(description=_("status"), ordering="status")
    def status(self, cluster: Any) -> Any:
        return Status(cluster.status).label

    @admin.display(description=_("live agents"), ordering="active_agent_count")
    def agents(self, cluster: Any) -> str:
        return f"{cluster.active_agent_count} / {cluster.agent_count}"

    @admin.display(description=_("last heartbeat"), ordering="last_heartbeat")
    def last_heartbeat(self, cluster: Any) -> Any:
        return cluster.last_heartbeat


@admin.register(Region)
class RegionAdmin(TenantAdmin):
    """A list to choose from and nothing more: clusters keep the name that they were given."""

    list_display = ["name", "organization", "created_at"]
    list_filter = ["organization"]
    list_select_related = ["organization"]
    search_fields = ["=id", "name"]


@admin.register(ClusterState)
class ClusterStateAdmin(ReadOnlyAdmin):
    list_display = ["cluster", "desired_generation", "access_version", "lineage"]
    list_select_related = ["cluster"]
    search_fields = ["cluster__name", "=cluster__id"]


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    """Agents write themselves; the only thing to do to one is to revoke it."""

    list_display = [
        "name",
        "cluster",
        "live",
        "version",
        "gateway_classes",
        "last_heartbeat_at",
        "applied_generation",
        "revoked_at",
    ]
    list_filter = [LiveFilter, ("revoked_at", admin.EmptyFieldListFilter), "version"]
    list_select_related = ["cluster"]
    search_fields = ["=id", "name", "cluster__name"]
    date_hierarchy = "created_at"
    exclude = ["public_key", "rest_token_digest"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    @admin.action(description=_("Revoke the selected agents"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        for agent in queryset:
            agent_service.revoke_agent(actor=request.user, agent_id=agent.pk)

    @admin.display(description=_("live"), boolean=True)
    def live(self, agent: Agent) -> bool:
        return agent.is_live


@admin.register(RegistrationToken)
class RegistrationTokenAdmin(ReadOnlyAdmin):
    list_display = ["prefix", "cluster", "can_join", "uses", "expires_at", "created_by"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "expires_at"]
    list_select_related = ["cluster", "created_by"]
    search_fields = ["=id", "prefix", "cluster__name"]
    date_hierarchy = "created_at"
    exclude = ["digest"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    @admin.action(description=_("Revoke the selected tokens"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        for token in queryset:
            with refusals(request):
                token_service.revoke_token(actor=request.user, token_id=token.pk)

    @admin.display(description=_("usable"), boolean=True)
    def can_join(self, token: RegistrationToken) -> bool:
        return token.usable

    @admin.display(description=_("used"))
    def uses(self, token: RegistrationToken) -> str:
        return f"{token.use_count} / {token.max_uses}"


@contextmanager
def refusals(request: HttpRequest) -> Iterator[None]:
    """Shows a service's refusal as a message and carries on."""
    try:
        yield
    except DomainError as error:
        messages.error(request, error.message)
