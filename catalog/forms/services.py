"""What providers type about a service and its parts. The rules are in catalog.rules and catalog.policies."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from catalog.models import METHODS, ApiService, Backend, Match, Route

INPUT = {"autocomplete": "off"}
EXACT = INPUT | {"spellcheck": "false", "autocapitalize": "none"}
CHECK = {"class": "form-check-input"}


class ServiceForm(forms.Form):
    name = forms.CharField(label=_("Name"), widget=forms.TextInput(attrs=INPUT))
    version = forms.CharField(
        label=_("Version"),
        initial="1.0",
        help_text=_("Name and version together are unique."),
        widget=forms.TextInput(attrs=INPUT),
    )
    base_path = forms.CharField(
        label=_("Base path"),
        initial="/",
        help_text=_("What all routes of the service begin with, such as /payments/v2."),
        widget=forms.TextInput(attrs=EXACT),
    )
    description = forms.CharField(
        label=_("Description"),
        required=False,
        help_text=_("For your colleagues. Consumers read the product's description."),
        widget=forms.Textarea(attrs={"rows": 4}),
    )

    @classmethod
    def of(cls, service: ApiService) -> ServiceForm:
        return cls(initial={name: getattr(service, name) for name in cls.base_fields})


class RouteForm(forms.Form):
    path = forms.CharField(
        label=_("Path"),
        help_text=_("Below the base path. {id} stands for one part: /users/{id}/orders."),
        widget=forms.TextInput(attrs=EXACT | {"placeholder": "/users/{id}"}),
    )
    match = forms.ChoiceField(
        label=_("Matches"),
        choices=[
            (Match.PREFIX, _("This path and everything below it")),
            (Match.EXACT, _("This path alone")),
        ],
        initial=Match.PREFIX,
        widget=forms.Select,
    )
    methods = forms.MultipleChoiceField(
        label=_("Methods"),
        choices=[(name, name) for name in METHODS],
        initial=["GET"],
        widget=forms.CheckboxSelectMultiple(attrs=CHECK),
    )
    rewrite = forms.CharField(
        label=_("Rewrite to"),
        required=False,
        help_text=_("What the backend sees instead of the path. It may use the path's parameters."),
        widget=forms.TextInput(attrs=EXACT),
    )
    timeout_ms = forms.IntegerField(
        label=_("Timeout (ms)"), initial=15_000, widget=forms.NumberInput(attrs={"min": 1})
    )
    retries = forms.IntegerField(
        label=_("Retries"), initial=0, widget=forms.NumberInput(attrs={"min": 0, "max": 5})
    )
    retry_unsafe = forms.BooleanField(
        label=_("Retry POST and PATCH, too"),
        required=False,
        help_text=_("Only if the backend may see the same call twice."),
    )

    @classmethod
    def of(cls, route: Route) -> RouteForm:
        return cls(initial={name: getattr(route, name) for name in cls.base_fields})


class BackendForm(forms.Form):
    host = forms.CharField(
        label=_("Host"),
        help_text=_("A DNS name or an address that the cluster's agents can reach."),
        widget=forms.TextInput(attrs=EXACT | {"placeholder": "orders.internal.example.com"}),
    )
    port = forms.IntegerField(
        label=_("Port"), widget=forms.NumberInput(attrs={"min": 1, "max": 65535})
    )
    tls = forms.BooleanField(
        label=_("TLS"),
        required=False,
        help_text=_("The backend's certificate is checked against the system's authorities."),
    )
    weight = forms.IntegerField(
        label=_("Weight"),
        initial=1,
        help_text=_("Its share of the calls, relative to the service's other backends."),
        widget=forms.NumberInput(attrs={"min": 1, "max": 1000}),
    )
    health_check_path = forms.CharField(
        label=_("Health check"),
        required=False,
        help_text=_("A path that answers 200 while the backend is well. Empty: none is made."),
        widget=forms.TextInput(attrs=EXACT | {"placeholder": "/healthz"}),
    )

    @classmethod
    def of(cls, backend: Backend) -> BackendForm:
        return cls(initial={name: getattr(backend, name) for name in cls.base_fields})


class ImportForm(forms.Form):
    """One of three ways to give a document."""

    file = forms.FileField(
        label=_("File"),
        required=False,
        widget=forms.FileInput(
            attrs={"accept": ".json,.yaml,.yml,application/json,application/yaml"}
        ),
        help_text=_("JSON or YAML, 5 MB at most."),
    )
    url = forms.CharField(
        label=_("Link"),
        required=False,
        help_text=_("A public address. It is fetched in the background."),
        widget=forms.URLInput(
            attrs=EXACT | {"placeholder": "https://api.example.com/openapi.yaml"}
        ),
    )
    document = forms.CharField(
        label=_("Text"),
        required=False,
        strip=False,
        widget=forms.Textarea(attrs=EXACT | {"rows": 12, "class": "ig-mono"}),
    )

    def source(self) -> dict[str, Any]:
        """For catalog.services.imports.start: the file wins over what is pasted."""
        upload = self.cleaned_data["file"]
        if upload:
            return {"document": upload.read(), "file_name": upload.name}
        return {"document": self.cleaned_data["document"].strip(), "url": self.cleaned_data["url"]}


class ApplyForm(forms.Form):
    """What an import leaves to be said: about a new service, or about one that exists."""

    name = forms.CharField(label=_("Name"), widget=forms.TextInput(attrs=INPUT))
    version = forms.CharField(label=_("Version"), widget=forms.TextInput(attrs=INPUT))
    base_path = forms.CharField(label=_("Base path"), widget=forms.TextInput(attrs=EXACT))
    host = forms.CharField(
        label=_("Backend host"), required=False, widget=forms.TextInput(attrs=EXACT)
    )
    port = forms.IntegerField(
        label=_("Backend port"),
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "max": 65535}),
    )
    tls = forms.BooleanField(label=_("TLS to the backend"), required=False)
    remove_missing = forms.BooleanField(
        label=_("Remove the routes that the document does not have"), required=False
    )
    fingerprint = forms.CharField(required=False)  # of the changes that the page shows

    def __init__(self, *args: Any, renews: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.renews = renews
        unused = (
            ("name", "base_path", "host", "port", "tls")
            if renews
            else ("remove_missing", "fingerprint")
        )
        for name in unused:
            del self.fields[name]

    def settings(self) -> dict[str, Any]:
        """For catalog.services.imports.apply."""
        said = dict(self.cleaned_data)
        if self.renews:
            return said
        host, port, tls = said.pop("host"), said.pop("port"), said.pop("tls")
        port = port or (443 if tls else 80)
        return said | {"backends": [{"host": host, "port": port, "tls": tls}] if host else []}
