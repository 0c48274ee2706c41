"""Where and how a publish is made: open in DRAFT and WITHDRAWN, closed with the reason else."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from catalog.models import Gateway
from clusters.models import Cluster
from core import versions
from publishing import services as service
from publishing import stories, wizard
from publishing.forms.settings import SettingsForm
from publishing.models import ProductPublish
from publishing.states import EDITABLE
from publishing.views.shared import attempt, told

SELECT = {"class": "form-select"}


class PlaceForm(SettingsForm):
    """The settings with where they hold."""

    cluster_id = forms.TypedChoiceField(
        label=gettext_lazy("Cluster"), coerce=UUID, widget=forms.Select(attrs=SELECT)
    )
    gateway_id = forms.TypedChoiceField(
        label=gettext_lazy("Gateway"), coerce=UUID, widget=forms.Select(attrs=SELECT)
    )

    def offer(self, user: Any, publish: ProductPublish) -> PlaceForm:
        """Choices: what is open to the organization, and what is there already."""
        provider = publish.organization
        clusters = dict(
            Cluster.objects.offered_to(user).open_for(provider).values_list("pk", "name")
        )
        clusters.setdefault(publish.cluster_id, publish.cluster.name)
        gateways = Gateway.objects.filter(organization=provider).values_list("pk", "name")
        by_name = sorted(clusters.items(), key=lambda each: each[1])
        self.fields["cluster_id"].choices = [(str(pk), name) for pk, name in by_name]
        self.fields["gateway_id"].choices = [(str(pk), name) for pk, name in gateways]
        return self


@login_required
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest, pk: UUID) -> HttpResponse:
    publish = told(request, pk)
    if request.method == "POST" and not stories.may_work(publish):
        raise PermissionDenied
    form: Any = (
        PlaceForm(request.POST) if request.method == "POST" else PlaceForm.of(_values(publish))
    )
    form.offer(request.user, publish)
    seen = versions.seen(request)
    if form.is_valid() and attempt(
        form,
        lambda: service.update(actor=request.user, publish_id=pk, seen=seen, **form.settings()),
    ):
        messages.success(request, _("The settings are saved. The next publish uses them."))
        return redirect("publishing:detail", pk)
    if seen:
        publish = told(request, pk)
    context = stories.head(publish) | {
        "tab": "settings",
        "form": form,
        "open": publish.status in EDITABLE,
        **wizard.settings_choices(),
    }
    context |= versions.conflict(
        request, form, publish, lambda: versions.differing(form, PlaceForm.of(_values(publish)))
    )
    return render(request, "publishing/settings.html", context, status=422 if form.errors else 200)


def _values(publish: ProductPublish) -> dict[str, Any]:
    return {
        "cluster_id": str(publish.cluster_id),
        "gateway_id": str(publish.gateway_id),
        "environment": publish.environment,
        "hostname_base": publish.hostname_base,
        "auth_mode": publish.auth_mode,
        "auth_config": publish.auth_config,
        "visibility": publish.visibility,
        "approval_required": publish.approval_required,
    }
