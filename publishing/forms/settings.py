"""Where and how a product is published, as people choose it. The rules are in publishing.rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from publishing.models import AuthMode, Environment, Visibility
from publishing.states import DraftStep

EXACT = {
    "class": "form-control",
    "autocomplete": "off",
    "spellcheck": "false",
    "autocapitalize": "none",
}
RADIO = {"class": "form-check-input"}
OAUTH2 = ("issuer", "audience", "scopes")


class StepForm(forms.Form):
    """One step of the wizard. `typed` is what to keep, right or wrong."""

    def typed(self) -> dict[str, Any]:
        raise NotImplementedError

    def answers(self) -> dict[str, Any]:
        return self.typed()


class ClusterForm(StepForm):
    cluster_id = forms.CharField(
        label=_("Cluster"), error_messages={"required": _("Choose a cluster.")}
    )

    def typed(self) -> dict[str, Any]:
        return {"cluster_id": self.data.get("cluster_id", "")}


class GatewayForm(StepForm):
    gateway_id = forms.CharField(
        label=_("Gateway"), error_messages={"required": _("Choose a gateway.")}
    )

    def typed(self) -> dict[str, Any]:
        return {"gateway_id": self.data.get("gateway_id", "")}


class SettingsForm(StepForm):
    environment = forms.ChoiceField(
        label=_("Environment"),
        choices=[
            (Environment.DEV, _("Development")),
            (Environment.STAGE, _("Staging")),
            (Environment.PROD, _("Production")),
        ],
        error_messages={"required": _("Choose an environment.")},
        widget=forms.RadioSelect(attrs=RADIO),
    )
    auth_mode = forms.ChoiceField(
        label=_("Authentication"),
        choices=AuthMode.choices,
        error_messages={"required": _("Choose how callers prove who they are.")},
        widget=forms.RadioSelect(attrs=RADIO),
    )
    issuer = forms.CharField(
        label=_("Issuer URL"),
        required=False,
        widget=forms.TextInput(attrs=EXACT | {"inputmode": "url"}),
    )
    audience = forms.CharField(
        label=_("Audience"), required=False, widget=forms.TextInput(attrs=EXACT)
    )
    scopes = forms.CharField(
        label=_("Scopes"),
        required=False,
        help_text=_("Separated by spaces."),
        widget=forms.TextInput(attrs=EXACT),
    )
    hostname_base = forms.CharField(
        label=_("Hostname"),
        help_text=_("The name callers use, without a port: api.example.com."),
        widget=forms.TextInput(attrs=EXACT | {"inputmode": "url", "maxlength": 255}),
    )
    visibility = forms.ChoiceField(
        label=_("Visibility"),
        choices=Visibility.choices,
        initial=Visibility.PUBLIC,
        widget=forms.RadioSelect(attrs=RADIO),
    )
    approval_required = forms.BooleanField(
        label=_("I approve each subscription request"),
        required=False,
        widget=forms.CheckboxInput(attrs={"class": "form-check-input", "role": "switch"}),
    )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SettingsForm:
        """Of a draft or of a publish: both name things as the API does."""
        config = values.get("auth_config") or {}
        scopes = config.get("scopes", "")
        flat = {key: value for key, value in values.items() if key != "auth_config"}
        return cls(
            initial=flat
            | {key: config.get(key, "") for key in OAUTH2}
            | {"scopes": " ".join(scopes) if isinstance(scopes, list) else scopes}
        )

    def typed(self) -> dict[str, Any]:
        text = {
            key: self.data.get(key, "")
            for key in ("environment", "auth_mode", "hostname_base", "visibility")
        }
        return text | {
            "auth_config": {key: self.data.get(key, "") for key in OAUTH2},
            "approval_required": "approval_required" in self.data,
        }

    def settings(self) -> Any:
        """For publishing.services: only OAuth 2.0 has a configuration."""
        values = {key: value for key, value in self.cleaned_data.items() if key not in OAUTH2}
        config = {key: self.cleaned_data[key] for key in OAUTH2}
        return values | {
            "auth_config": config if values["auth_mode"] == AuthMode.OAUTH2 else {},
        }


FORMS: dict[str, type[StepForm]] = {
    DraftStep.CLUSTER: ClusterForm,
    DraftStep.GATEWAY: GatewayForm,
    DraftStep.SETTINGS: SettingsForm,
}
