"""One form per kind of policy: text in, the configuration of catalog.policies out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from catalog.forms.services import CHECK, EXACT
from catalog.models import METHODS, PolicyKind

UNITS = [(1024, "KiB"), (1024**2, "MiB"), (1, _("bytes"))]
AREA = EXACT | {"rows": 3, "class": "ig-mono"}


class LinesField(forms.CharField):
    """One value per line; blank lines count for nothing."""

    widget = forms.Textarea(attrs=AREA)

    def to_python(self, value: Any) -> list[str]:
        lines = (line.strip() for line in super().to_python(value).splitlines())
        return [line for line in lines if line]

    def run_validators(self, value: list[str]) -> None:
        super().run_validators("\n".join(value))

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class PairsField(LinesField):
    """`name: value` on each line."""

    def clean(self, value: Any) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for number, line in enumerate(super().clean(value), 1):
            name, colon, content = line.partition(":")
            if not colon:
                raise forms.ValidationError(
                    _("Line %(number)d: write “name: value”."), params={"number": number}
                )
            if name.strip().lower() in {known.lower() for known in pairs}:
                raise forms.ValidationError(
                    _("Line %(number)d: “%(name)s” is there twice."),
                    params={"number": number, "name": name.strip()},
                )
            pairs[name.strip()] = content.strip()
        return pairs

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return "\n".join(f"{name}: {content}" for name, content in value.items())
        return super().prepare_value(value)


class PolicyForm(forms.Form):
    @classmethod
    def of(cls, config: Mapping[str, Any]) -> PolicyForm:
        return cls(initial=dict(config))

    def config(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if value not in ({}, [])}


class HeadersForm(PolicyForm):
    request = PairsField(
        label=_("Set on requests"),
        required=False,
        help_text=_("One per line, as “name: value”. The backend sees them; callers cannot."),
    )
    remove_request = LinesField(
        label=_("Remove from requests"), required=False, help_text=_("One name per line.")
    )
    response = PairsField(
        label=_("Set on responses"), required=False, help_text=_("Callers see them.")
    )
    remove_response = LinesField(
        label=_("Remove from responses"), required=False, help_text=_("One name per line.")
    )


class CorsForm(PolicyForm):
    allow_origins = LinesField(
        label=_("Origins that may call"),
        help_text=_("One per line: https://shop.example.com, https://*.example.com, or * for all."),
    )
    allow_methods = forms.MultipleChoiceField(
        label=_("Methods"),
        required=False,
        choices=[(name, name) for name in METHODS],
        widget=forms.CheckboxSelectMultiple(attrs=CHECK),
        help_text=_("None chosen: those that the routes have."),
    )
    allow_headers = LinesField(
        label=_("Request headers that may be sent"),
        required=False,
        help_text=_("One name per line."),
    )
    expose_headers = LinesField(
        label=_("Response headers that may be read"),
        required=False,
        help_text=_("One name per line."),
    )
    max_age = forms.IntegerField(
        label=_("Browsers remember the answer for (seconds)"),
        initial=600,
        widget=forms.NumberInput(attrs={"min": 0, "max": 86_400}),
    )
    allow_credentials = forms.BooleanField(
        label=_("Browsers may send cookies and credentials"), required=False
    )


class IpForm(PolicyForm):
    allow = LinesField(
        label=_("Only these may call"),
        required=False,
        help_text=_("Addresses and networks, one per line. Empty allows everybody."),
    )
    deny = LinesField(
        label=_("These may not call"),
        required=False,
        help_text=_("They are refused even if they are in the list above."),
    )


class RequestSizeForm(PolicyForm):
    size = forms.IntegerField(
        label=_("Longest body of a request"), initial=1, widget=forms.NumberInput(attrs={"min": 1})
    )
    unit = forms.TypedChoiceField(
        label=_("Unit"), choices=UNITS, coerce=int, initial=1024**2, widget=forms.Select
    )

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> PolicyForm:
        size = config.get("max_bytes", 1024**2)
        unit = next(each for each in (1024**2, 1024, 1) if size % each == 0)
        return cls(initial={"size": size // unit, "unit": unit})

    def config(self) -> dict[str, Any]:
        return {"max_bytes": self.cleaned_data["size"] * self.cleaned_data["unit"]}


FORMS: dict[str, type[PolicyForm]] = {
    PolicyKind.HEADERS: HeadersForm,
    PolicyKind.CORS: CorsForm,
    PolicyKind.IP: IpForm,
    PolicyKind.REQUEST_SIZE: RequestSizeForm,
}
# A rule names the part of the configuration; where the form calls it something else, it is said here.
PLACES = {"max_bytes": "size"}
