"""What providers type about gateways and certificates. Forms only read text into values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from catalog.certificates import MAX_CHAIN, MAX_KEY
from catalog.models import GATEWAY_CLASSES, Certificate, Gateway, Protocol

INPUT = {"autocomplete": "off"}
EXACT = INPUT | {"spellcheck": "false", "autocapitalize": "none"}
CHECK = {"class": "form-check-input"}
COLUMNS = ("port", "protocol", "hostname", "certificate_id")
Row = dict[str, str]


class ListenersWidget(forms.Widget):
    """Rows of inputs named `listener_<column>`, drawn by the page."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Row]:
        columns = (data.getlist(f"listener_{column}") for column in COLUMNS)
        return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=False)]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return "listener_port" not in data


class ListenersField(forms.Field):
    widget = ListenersWidget

    def to_python(self, value: list[Row] | None) -> list[dict[str, Any]]:
        """For the rules: a port that is no number stays text, and they say so."""
        return [
            row
            | {
                "port": int(row["port"]) if row["port"].strip().isdecimal() else row["port"],
                # A certificate that was chosen before the protocol was set back to HTTP.
                "certificate_id": row["certificate_id"]
                if row["protocol"] == Protocol.HTTPS
                else None,
            }
            for row in value or []
        ]


class GatewayForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        help_text=_("For your organization, for example edge or internal."),
        widget=forms.TextInput(attrs=INPUT),
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.TextInput(attrs=INPUT)
    )
    gateway_class = forms.ChoiceField(
        label=_("Class"),
        choices=GATEWAY_CLASSES,
        initial=GATEWAY_CLASSES[0][0],
        widget=forms.RadioSelect(attrs=CHECK),
    )
    listeners = ListenersField(label=_("Listeners"), required=False)

    @classmethod
    def of(cls, gateway: Gateway) -> GatewayForm:
        names = ("name", "description", "gateway_class")
        rows = [
            {column: str(getattr(row, column) or "") for column in COLUMNS}
            for row in gateway.listeners.all()
        ]
        return cls(initial={name: getattr(gateway, name) for name in names} | {"listeners": rows})

    @classmethod
    def typed(cls, data: QueryDict) -> GatewayForm:
        """What was typed so far, not judged yet; one listener more or less, if a button says so."""
        initial = {
            name: field.widget.value_from_datadict(data, {}, name)
            for name, field in cls.base_fields.items()
        }
        gone = data.get("remove_listener", "")
        if gone.isdecimal() and int(gone) < len(initial["listeners"]):
            del initial["listeners"][int(gone)]
        if "add_listener" in data:
            initial["listeners"].append(dict.fromkeys(COLUMNS, ""))
        return cls(initial=initial)

    def refuse(self, field: str, message: str) -> None:
        """A refusal about "listeners.1.port" is shown in that row."""
        place, _dot, column = field.removeprefix("listeners.").partition(".")
        if place.isdecimal() and column:
            self.row_errors[int(place)] = [*self.row_errors.get(int(place), []), message]
            self.add_error("listeners", message)
        else:
            self.add_error(field if field in self.fields else None, message)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.row_errors: dict[int, list[str]] = {}

    def rows(self) -> list[dict[str, Any]]:
        """As typed, or as they are; one to begin with."""
        value = self["listeners"].value() or [dict.fromkeys(COLUMNS, "")]
        return [row | {"errors": self.row_errors.get(at, [])} for at, row in enumerate(value)]


class PemField(forms.CharField):
    """Needed, but it may come as a file: the form looks for both."""

    def validate(self, value: Any) -> None:
        """Nothing to say about the text alone."""


class CertificateForm(forms.Form):
    """Pasted or as files. What was pasted as a key is never sent back to the page."""

    use_required_attribute = False

    name = forms.CharField(label=_("Name"), widget=forms.TextInput(attrs=INPUT))
    certificate = PemField(
        label=_("Certificate"),
        help_text=_("PEM: the server's certificate first, then those that issued it."),
        widget=forms.Textarea(
            attrs=EXACT | {"rows": 6, "placeholder": "-----BEGIN CERTIFICATE-----"}
        ),
    )
    certificate_file = forms.FileField(label=_("or its file"), required=False)
    private_key = PemField(
        label=_("Private key"),
        help_text=_("PEM, not encrypted. It is sealed in the database and never shown again."),
        widget=forms.Textarea(
            attrs=EXACT | {"rows": 4, "placeholder": "-----BEGIN PRIVATE KEY-----"}
        ),
    )
    private_key_file = forms.FileField(label=_("or its file"), required=False)

    def __init__(self, *args: Any, replaces: Certificate | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if replaces is not None:
            del self.fields["name"]
            self.fields["private_key"].required = False
            self.fields["private_key"].help_text = _(
                "Leave it empty if the new certificate belongs to the key that is stored."
            )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for name, limit in (("certificate", MAX_CHAIN), ("private_key", MAX_KEY)):
            if upload := data.pop(f"{name}_file", None):
                data[name] = upload.read(limit + 1).decode("latin-1")
        if not data.get("certificate"):
            self.add_error("certificate", _("Paste the certificate or choose its file."))
        if self.fields["private_key"].required and not data.get("private_key"):
            self.add_error("private_key", _("Paste the private key or choose its file."))
        return data

    def forget_key(self) -> None:
        """Before the form is shown again."""
        self.data = self.data.copy()
        self.data.pop("private_key", None)


class RenameForm(forms.Form):
    name = forms.CharField(label=_("Name"), widget=forms.TextInput(attrs=INPUT))
