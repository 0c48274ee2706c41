"""The list of API services and the page of one."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from catalog.models import ApiService
from core.htmx import page

PAGE_SIZE = 25


@login_required
@require_safe
def services(request: HttpRequest) -> HttpResponse:
    organization = request.organization
    rows = ApiService.objects.visible_to(request.user)
    mine = rows.filter(organization=organization) if organization else rows.none()
    context = {"page": Paginator(mine, PAGE_SIZE).get_page(request.GET.get("page"))}
    return page(request, "catalog/services/list.html", "service-rows", context)


@login_required
@require_safe
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    service = get_object_or_404(ApiService.objects.visible_to(request.user), pk=pk)
    return page(request, "catalog/services/detail.html", "service-live", {"service": service})
