"""What people type on a publish's page."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _


class PublishForm(forms.Form):
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=500,
        help_text=_("Shown in the timeline, for example “Production release v2.0”."),
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )


class WithdrawForm(forms.Form):
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=500,
        help_text=_("Shown in the timeline and kept in the audit trail."),
        widget=forms.TextInput(attrs={"class": "form-control", "autocomplete": "off"}),
    )
