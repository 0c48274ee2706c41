"""What operators type. The rules are in clusters.rules; forms only read text into values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from accounts.models import Kind, Organization
from clusters import rules
from clusters.models import MAX_HOPS, Cluster
from clusters.services.tokens import DEFAULT_TTL
from core.durations import words

INPUT = {"autocomplete": "off"}
EXACT = INPUT | {"spellcheck": "false", "autocapitalize": "none"}
CHECK = {"class": "form-check-input"}
HOUR = 3600
# What is typed is looked at before it is sent.
CHECKED = {
    "hx-get": reverse_lazy("clusters:check_name"),
    "hx-trigger": "input changed delay:300ms",
    "hx-target": "#name-check",
    "hx-swap": "outerHTML",
    "hx-include": "#edited-cluster",
    "hx-sync": "this:replace",
}
OTHER = "+"  # no region: names are not checked, and yet nobody calls one so
AS_IT_IS = -1  # of maintenance: the end that is set already
Pairs = list[tuple[str, str]]


class LabelsWidget(forms.Widget):
    """Rows of key and value: inputs named `<name>_key` and `<name>_value`, drawn by the page."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Pairs:
        keys, values = data.getlist(f"{name}_key"), data.getlist(f"{name}_value")
        return list(zip(keys, values, strict=False))

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return f"{name}_key" not in data


class LabelsField(forms.Field):
    widget = LabelsWidget

    def to_python(self, value: Mapping[str, str] | Pairs | None) -> dict[str, str]:
        labels: dict[str, str] = {}
        rows = value.items() if isinstance(value, Mapping) else value or []
        for key, content in ((key.strip(), text.strip()) for key, text in rows):
            if not key and not content:
                continue
            if key in labels:
                raise forms.ValidationError(
                    _("The label %(key)s is there twice."), params={"key": key}
                )
            labels[key] = content
        return labels


class RegionWidget(forms.Widget):
    """A list named `<name>`, and a text named `<name>_other` for what is not in it."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        chosen = data.get(name, OTHER)
        return data.get(f"{name}_other", "") if chosen == OTHER else chosen

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data and f"{name}_other" not in data


class WordsField(forms.CharField):
    """Text split at commas and white space."""

    def to_python(self, value: Any) -> list[str]:
        joined = re.sub(r"\s*-\s*", "-", super().to_python(value))
        return [word for word in re.split(r"[,\s]+", joined) if word]

    def run_validators(self, value: list[str]) -> None:
        super().run_validators(" ".join(value))

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value


class ClusterForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        help_text=_(
            "1 to 63 lower-case letters, digits and hyphens, as in Kubernetes; "
            "it starts and ends with a letter or digit. Providers see it when they publish."
        ),
        widget=forms.TextInput(
            attrs=EXACT
            | CHECKED
            | {"maxlength": 80, "pattern": "[a-z0-9]([a-z0-9\\-]{0,61}[a-z0-9])?"}
        ),
    )
    region = forms.CharField(
        label=_("Region"),
        help_text=_("Where it runs. A new one is on the list from then on."),
        widget=RegionWidget,
    )
    description = forms.CharField(
        label=_("Description"), required=False, widget=forms.TextInput(attrs=INPUT)
    )
    cloud_provider = forms.CharField(
        label=_("Cloud"),
        required=False,
        help_text=_("For people only: AWS EKS, GCP GKE, bare metal."),
        widget=forms.TextInput(attrs=INPUT),
    )
    labels = LabelsField(label=_("Labels"), required=False)
    open_to_all = forms.TypedChoiceField(
        label=_("Who may publish here?"),
        choices=[("True", _("Every provider")), ("False", _("Only the providers I name"))],
        coerce=lambda value: value == "True",
        initial="True",
        widget=forms.RadioSelect(attrs=CHECK),
    )
    open_to = forms.ModelMultipleChoiceField(
        Organization.objects.filter(kind=Kind.PROVIDER),
        label=_("Named providers"),
        required=False,
        widget=forms.CheckboxSelectMultiple(attrs=CHECK),
        help_text=_("They count only if you chose to name them."),
    )
    allowed_ports = WordsField(
        label=_("Ports that gateways may open"),
        required=False,
        help_text=_("Numbers and ranges: 80, 443, 8000-8999. Empty allows every port."),
        widget=forms.TextInput(attrs=EXACT),
    )
    allowed_networks = WordsField(
        label=_("Internal networks that backends may use"),
        required=False,
        help_text=_(
            "CIDR blocks, for example 127.0.0.0/8. Loopback, link-local and metadata addresses "
            "are refused unless they are in one of these."
        ),
        widget=forms.TextInput(attrs=EXACT),
    )

    trusted_hops = forms.IntegerField(
        label=_("Proxies before the gateways"),
        required=False,
        min_value=0,
        max_value=MAX_HOPS,
        initial=0,
        widget=forms.NumberInput(attrs=INPUT),
        help_text=_(
            "How many load balancers or proxies pass calls on to the gateways. IP rules then go by the "
            "address that those saw. With 0, callers connect to the gateways themselves."
        ),
    )

    @classmethod
    def of(cls, cluster: Cluster) -> ClusterForm:
        return cls(
            initial={
                "name": cluster.name,
                "region": cluster.region,
                "description": cluster.description,
                "cloud_provider": cluster.cloud_provider,
                "labels": cluster.labels,
                "open_to_all": str(cluster.open_to_all),
                "open_to": list(cluster.open_to.values_list("pk", flat=True)),
                "allowed_ports": rules.port_ranges(cluster.allowed_ports),
                "allowed_networks": cluster.allowed_networks,
                "trusted_hops": cluster.trusted_hops,
            }
        )

    @classmethod
    def typed(cls, data: QueryDict) -> ClusterForm:
        """What was typed so far, not judged yet; one label row more or less, if a button says so."""
        initial = {
            name: field.widget.value_from_datadict(data, {}, name)
            for name, field in cls.base_fields.items()
        }
        gone = data.get("remove_label", "")
        if gone.isdecimal() and int(gone) < len(initial["labels"]):
            del initial["labels"][int(gone)]
        if "add_label" in data:
            initial["labels"].append(("", ""))
        return cls(initial=initial)

    def label_rows(self) -> Pairs:
        """As typed, or as they are; one empty row to begin with."""
        value = self["labels"].value()
        pairs = list(value.items()) if isinstance(value, Mapping) else list(value or [])
        return pairs or [("", "")]

    def settings(self) -> Any:
        """For clusters.services.clusters.create and update."""
        data = self.cleaned_data
        return data | {
            "open_to": [row.pk for row in data["open_to"]],
            "trusted_hops": data["trusted_hops"] or 0,
        }


class MaintenanceForm(forms.Form):
    """Durations instead of a date: nobody has to think of the server's time zone."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=rules.MAX_REASON,
        help_text=_("Providers read it when their publish is refused."),
        widget=forms.TextInput(attrs=INPUT),
    )
    lasts = forms.TypedChoiceField(
        label=_("Ends"),
        choices=[
            (0, _("When I end it")),
            (HOUR // 2, _("By itself in 30 minutes")),
            (HOUR, _("By itself in 1 hour")),
            (2 * HOUR, _("By itself in 2 hours")),
            (4 * HOUR, _("By itself in 4 hours")),
            (8 * HOUR, _("By itself in 8 hours")),
            (24 * HOUR, _("By itself in 24 hours")),
            (72 * HOUR, _("By itself in 3 days")),
        ],
        coerce=int,
        error_messages={"invalid_choice": _("This end is past or changed. Choose another one.")},
        widget=forms.Select,
    )

    def __init__(self, *args: Any, cluster: Cluster, **kwargs: Any) -> None:
        super().__init__(*args, initial={"reason": cluster.maintenance_reason}, **kwargs)
        self.until = cluster.maintenance_until if cluster.maintained else None
        if self.until:
            rest = words(self.until - timezone.now(), "left", get_language() or "en")
            kept = (AS_IT_IS, _("As planned: by itself in %(rest)s") % {"rest": rest})
            self.fields["lasts"].choices = [kept, *self.fields["lasts"].choices]

    def terms(self) -> dict[str, Any]:
        return {"reason": self.cleaned_data["reason"], "until": self._end()}

    def _end(self) -> datetime | None:
        seconds = self.cleaned_data["lasts"]
        if seconds == AS_IT_IS:
            return self.until
        return timezone.now() + timedelta(seconds=seconds) if seconds else None


class TokenForm(forms.Form):
    ttl_seconds = forms.TypedChoiceField(
        label=_("Valid for"),
        choices=[
            (HOUR, _("1 hour")),
            (8 * HOUR, _("8 hours")),
            (24 * HOUR, _("1 day")),
            (7 * 24 * HOUR, _("7 days")),
        ],
        coerce=int,
        initial=DEFAULT_TTL,
        widget=forms.Select,
    )
    max_uses = forms.IntegerField(
        label=_("Agents that may join with it"),
        initial=1,
        min_value=1,
        max_value=1000,
        widget=forms.NumberInput,
    )


class DeleteForm(forms.Form):
    """Typing the name is the proof that somebody read it."""

    name = forms.CharField(widget=forms.TextInput(attrs=EXACT))

    def __init__(self, *args: Any, cluster: Cluster, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cluster = cluster
        self.fields["name"].label = _("Type %(name)s to confirm") % {"name": cluster.name}

    def clean_name(self) -> str:
        typed = self.cleaned_data["name"].strip()
        if typed != self.cluster.name:
            raise forms.ValidationError(
                _("This is not the cluster's name. Type %(name)s."),
                params={"name": self.cluster.name},
            )
        return typed
