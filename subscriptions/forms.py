"""What providers type about plans and requests. The rules are the services'; forms only read values."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from subscriptions.models import Plan
from subscriptions.services.subscriptions import MAX_REASON

INPUT = {"autocomplete": "off"}
APPROVAL = {"": None, "yes": True, "no": False}


class ReasonForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        max_length=MAX_REASON,
        help_text=_("The consumer reads it."),
        widget=forms.TextInput(attrs=INPUT),
    )


class PlanForm(forms.Form):
    name = forms.CharField(label=_("Name"), widget=forms.TextInput(attrs=INPUT))
    price = forms.DecimalField(
        label=_("Price per month"),
        initial=0,
        help_text=_("0 is free. The portal shows it; it collects no money."),
        widget=forms.TextInput(attrs=INPUT | {"inputmode": "decimal"}),
    )
    currency = forms.CharField(
        label=_("Currency"),
        initial="USD",
        widget=forms.TextInput(
            attrs=INPUT | {"maxlength": 3, "autocapitalize": "characters", "spellcheck": "false"}
        ),
    )
    quota_per_day = forms.IntegerField(
        label=_("Calls per day"),
        required=False,
        help_text=_("Empty means unlimited. Consumers see it; no gateway enforces it yet."),
        widget=forms.TextInput(attrs=INPUT | {"inputmode": "numeric"}),
    )
    rate_per_minute = forms.IntegerField(
        label=_("Calls per minute"),
        required=False,
        help_text=_("Empty means unlimited. Gateways learn a new limit at once."),
        widget=forms.TextInput(attrs=INPUT | {"inputmode": "numeric"}),
    )
    approval = forms.ChoiceField(
        label=_("Who approves a subscription?"),
        choices=[
            ("", _("As the publish says")),
            ("yes", _("We approve each one")),
            ("no", _("Nobody: it is active at once")),
        ],
        required=False,
        widget=forms.Select,
    )

    @classmethod
    def of(cls, plan: Plan) -> PlanForm:
        names = ("name", "price", "currency", "quota_per_day", "rate_per_minute")
        said = {value: word for word, value in APPROVAL.items()}[plan.approval_required]
        return cls(initial={name: getattr(plan, name) for name in names} | {"approval": said})

    def settings(self) -> Any:
        """For subscriptions.services.plans."""
        values = dict(self.cleaned_data)
        approval = APPROVAL[values.pop("approval")]
        return values | {"approval_required": approval}
