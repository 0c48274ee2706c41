"""/search?q=: a page, and what the dialog shows while somebody types."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from core import search
from core.htmx import wants_partial


@login_required
@require_safe
def results(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "")
    template = "core/search.html" + ("#search-results" if wants_partial(request) else "")
    groups = search.find(request, text)
    total = sum(len(group.hits) for group in groups)
    return render(request, template, {"groups": groups, "total": total, "asked": text.strip()})
