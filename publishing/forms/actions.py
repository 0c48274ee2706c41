"""What people type when they change what gateways serve."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

TEXT = {"class": "form-control", "autocomplete": "off"}
EXACT = TEXT | {"spellcheck": "false", "autocapitalize": "none"}
MAX_NOTE = 500


class StartForm(forms.Form):
    """`after`: the last deployment that the page showed, so that a second click makes no second one."""

    after = forms.IntegerField(required=False, min_value=0, widget=forms.HiddenInput)


class PublishForm(StartForm):
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=MAX_NOTE,
        help_text=_("Shown in the timeline, for example “Production release v2.0”."),
        widget=forms.TextInput(attrs=TEXT),
    )


class RollBackForm(StartForm):
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=MAX_NOTE,
        help_text=_("Shown in the timeline: why you go back."),
        widget=forms.TextInput(attrs=TEXT),
    )


class WithdrawForm(StartForm):
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=MAX_NOTE,
        help_text=_("Shown in the timeline and kept in the audit trail."),
        widget=forms.TextInput(attrs=TEXT),
    )


class WaiveForm(forms.Form):
    """Typing the agent's name is the proof that somebody read it. The service compares."""

    name = forms.CharField(max_length=100, widget=forms.TextInput(attrs=EXACT))

    def __init__(self, *args: Any, agent: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Type %(name)s to confirm") % {"name": agent}
