"""Accounts in the admin. Writes go through the services, so they are checked and audited as anywhere."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from accounts import services
from accounts.models import ApiToken, AuditEvent, Membership, Organization, SignIn, User
from core.admin import ReadOnlyAdmin, TenantAdmin, ThroughServices

# Rights come from memberships; Django's groups decide nothing here.
admin.site.unregister(Group)
admin.site.site_title = admin.site.site_header = "imp-gateway"


class OneSpelling:
    """Accounts keep the email address in lower case."""

    def clean_email(self) -> str:
        return self.cleaned_data["email"].strip().lower()


class PersonCreationForm(OneSpelling, AdminUserCreationForm):
    class Meta(AdminUserCreationForm.Meta):
        model = User
        fields = ["email"]


class PersonChangeForm(OneSpelling, UserChangeForm):
    class Meta(UserChangeForm.Meta):
        model = User


@admin.register(User)
class UserAdmin(TenantAdmin, BaseUserAdmin):
    form, add_form = PersonChangeForm, PersonCreationForm
    ordering = ["email"]
    list_display = ["email", "name", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "locale"]
    search_fields = ["=id", "email", "name", "memberships__organization__name"]
    readonly_fields = ["id", "last_login", "date_joined"]
    filter_horizontal = []
    fieldsets = [
        (None, {"fields": ["id", "email", "password", "name", "locale"]}),
        (_("Rights"), {"fields": ["is_active", "is_staff", "is_superuser"]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "name", "locale", "usable_password", "password1", "password2"]})
    ]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        services.save_user(actor=request.user, user=obj)

    @transaction.atomic
    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - so named by Django, which passes it by name
        form_url: str = "",
    ) -> HttpResponse:
        """Django's form writes the password itself; what follows from a new one is the service's."""
        before = self.get_object(request, unquote(id))
        response = super().user_change_password(request, id, form_url)
        if before and before.password != User.objects.get(pk=before.pk).password:
            services.password_changed(actor=request.user, user_id=before.pk)
        return response

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """People are switched off, not deleted: the audit trail and their work name them."""
        return False


class MembershipInline(admin.TabularInline):
    model = Membership
    extra = 0
    fields = readonly_fields = ["user", "role", "created_at"]
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_staff


@admin.register(Organization)
class OrganizationAdmin(TenantAdmin):
    list_display = ["name", "kind", "created_at"]
    list_filter = ["kind"]
    search_fields = ["=id", "name"]
    readonly_fields = ["id", "created_at"]
    inlines = [MembershipInline]
    date_hierarchy = "created_at"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [*self.readonly_fields, "kind"] if obj else self.readonly_fields

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        if change:
            services.rename_organization(
                actor=request.user, organization_id=obj.pk, name=form.cleaned_data["name"]
            )
        else:
            made = services.create_organization(
                actor=request.user, kind=obj.kind, name=form.cleaned_data["name"]
            )
            obj.pk = made.pk

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipForm(forms.ModelForm):
    class Meta:
        model = Membership
        fields = ["user", "organization", "role"]


@admin.register(Membership)
class MembershipAdmin(ThroughServices):
    form = MembershipForm
    list_display = ["user", "organization", "role", "created_at"]
    list_filter = ["role", "organization__kind"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__email", "user__name", "organization__name"]
    autocomplete_fields = ["user", "organization"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["user", "organization"] if obj else []

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if change:
            services.change_role(actor=request.user, membership_id=obj.pk, role=obj.role)
            return
        made = services.add_member(
            actor=request.user,
            organization_id=obj.organization_id,
            email=obj.user.email,
            role=obj.role,
        )
        obj.pk = made.pk

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        services.remove_member(actor=request.user, membership_id=obj.pk)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ["name", "prefix", "user", "organization", "last_used_at", "usable"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "organization__kind", "expires_at"]
    list_select_related = ["user", "organization"]
    search_fields = ["=id", "name", "prefix", "user__email", "organization__name"]
    date_hierarchy = "created_at"
    exclude = ["digest"]
    actions = ["revoke"]

    @admin.display(description=_("usable"), boolean=True)
    def usable(self, token: ApiToken) -> bool:
        return token.is_usable

    @admin.action(description=_("Revoke the selected tokens"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet) -> None:
        for token in queryset:
            services.revoke_api_token(actor=request.user, token_id=token.pk)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    list_display = ["user", "organization", "created_at", "refreshed_at", "revoked_because"]
    list_filter = ["revoked_because"]
    list_select_related = ["user", "organization"]
    search_fields = ["user__email", "organization__name"]
    date_hierarchy = "created_at"


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "actor_label", "action", "object_label", "object_type", "ip"]
    list_filter = ["action", "object_type"]
    search_fields = ["=object_id", "=actor_id", "=request_id", "actor_label", "object_label"]
    date_hierarchy = "created_at"
