"""Publishes: the list, and the tabs of one."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from clusters.models import Cluster
from core.filters import listing
from core.htmx import page, shared_page
from core.pages import page_of
from publishing import stories
from publishing.filters import DeploymentFilter, ProductPublishFilter
from publishing.forms.actions import PublishForm, RollBackForm, WithdrawForm
from publishing.models import Deployment, Environment, ProductPublish, PublishDraft
from publishing.services import revisions as compared
from publishing.states import Kind, Progress, Status
from publishing.views.shared import own, told

DRAFTS = 10
MAX_DIGITS = 9


@login_required
@require_safe
@shared_page(
    "publishing/list.html",
    "publish-rows",
    roles=False,
    own=lambda request: {"drafts": _drafts(request)},
)
def publishes(request: HttpRequest) -> dict[str, Any]:
    rows = own(request, stories.rows()).order_by("-created_at", "pk")
    chosen = ProductPublishFilter(request.GET, rows)
    groups = own(request, ProductPublish.objects.order_by()).values_list(
        "status", "cluster", "cluster__name"
    )
    counts: Counter[str] = Counter()
    clusters = {}
    for status, cluster, name, count in groups.annotate(Count("pk")):
        counts[status] += count
        clusters[cluster] = name
    return listing(request, chosen) | {
        "segments": [("", _("All"), sum(counts.values()))]
        + [(value, label, counts[value]) for value, label in Status.choices],
        "clusters": sorted(clusters.items(), key=lambda each: each[1]),
        "environments": Environment.values,
    }


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    return page(request, "publishing/detail.html", "publish-live", detail_context(request, pk))


@login_required
@require_safe
def changes(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is defined now beside what is live: a page, and the part of the detail that tells so."""
    publish = told(request, pk)
    pending, wanted = compared.pending(publish), publish.wanted_revision
    context = stories.head(publish) | {
        "pending": pending,
        "waiting": pending is not None and (wanted is None or pending.digest != wanted.digest),
    }
    return page(request, "publishing/changes.html", "changes", context)


@login_required
@require_safe
def revisions(request: HttpRequest, pk: UUID) -> HttpResponse:
    publish = told(request, pk)
    rows = publish.revisions.select_related("created_by").defer("document")
    context = stories.head(publish) | {
        "page": page_of(request, rows),
        "tab": "revisions",
    }
    return page(request, "publishing/revisions.html", "revision-rows", context)


@login_required
@require_safe
def revision(request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
    """One revision beside another (`?with=`), or beside what is live."""
    context = revision_context(request, pk, number) | {"form": RollBackForm()}
    return page(request, "publishing/revision.html", "comparison", context)


@login_required
@require_safe
@shared_page("publishing/deployments.html", "deployment-rows", roles=False)
def deployments(request: HttpRequest) -> dict[str, Any]:
    rows = own(request, stories.listed()).order_by("-created_at", "-number", "pk")
    context = listing(request, DeploymentFilter(request.GET, rows)) | {
        "statuses": Progress.choices,
        "kinds": Kind.choices,
        "environments": Environment.values,
        "clusters": _clusters(own(request, ProductPublish.objects.all())),
    }
    if asked := context["asked"].get("product_publish_id"):
        named = own(request, ProductPublish.objects.select_related("product", "cluster"))
        context["only"] = named.filter(pk=asked).first()
    return context


@login_required
@require_safe
def deployment(request: HttpRequest, pk: UUID) -> HttpResponse:
    return page(
        request, "publishing/deployment.html", "deployment-live", deployment_context(request, pk)
    )


def detail_context(request: HttpRequest, pk: UUID) -> dict[str, Any]:
    return stories.overview(told(request, pk)) | {
        "tab": "overview",
        "publish_form": PublishForm(),
        "withdraw_form": WithdrawForm(),
    }


def deployment_context(request: HttpRequest, pk: UUID) -> dict[str, Any]:
    rows = stories.with_verdicts(Deployment.objects.visible_to(request.user))
    row = get_object_or_404(rows, pk=pk)
    publish = told(request, row.publish_id)
    events = publish.events.filter(deployment=row).select_related("actor", "agent")
    return stories.head(publish) | {
        "deployment": row,
        "events": events.select_related("deployment__revision").defer(
            "deployment__revision__document"
        ),
    }


def revision_context(request: HttpRequest, pk: UUID, number: int) -> dict[str, Any]:
    publish = told(request, pk)
    other = request.GET.get("with", "")
    if other and not (other.isascii() and other.isdigit() and len(other) <= MAX_DIGITS):
        raise Http404
    against = int(other) if other else None
    try:
        preview = compared.compare_revisions(publish, number=number, other=against)
    except ObjectDoesNotExist:
        raise Http404 from None
    return stories.head(publish) | {
        "tab": "revisions",
        "number": number,
        "other": against,
        "preview": preview,
        "numbers": preview.after.others,
        "affected": compared.affected(publish),
    }


def _drafts(request: HttpRequest) -> QuerySet[PublishDraft]:
    return own(request, stories.unfinished())[:DRAFTS]


def _clusters(publishes: Any) -> Any:
    rows = Cluster.objects.filter(pk__in=publishes.order_by().values("cluster"))
    return rows.order_by("name").values_list("pk", "name")
