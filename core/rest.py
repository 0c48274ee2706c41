"""The parts that DRF's settings name: they must load before DRF's views do, and so apart from core.api."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.utils.translation import gettext as _
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions
from rest_framework.filters import OrderingFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from core.envelope import envelope
from core.pages import Pages


class EnvelopeRenderer(JSONRenderer):
    def render(self, data, accepted_media_type=None, renderer_context=None):
        response = (renderer_context or {}).get("response")
        if response is not None and response.status_code == HTTPStatus.NO_CONTENT:
            return b""
        if response is not None and response.status_code >= HTTPStatus.BAD_REQUEST:
            body = envelope(error=data)
        else:
            body = envelope(data, message=getattr(response, "message", ""))
        if isinstance(data, Rendered):
            around = super().render(body | {"data": None}, accepted_media_type, renderer_context)
            return around.replace(b'"data":null', b'"data":' + data.encode(), 1)
        return super().render(body, accepted_media_type, renderer_context)


class Rendered(str):
    """Data that is JSON already."""

    __slots__ = ()


class StorableJSONParser(JSONParser):
    """JSON that Python can hold and PostgreSQL can store."""

    def parse(self, stream, media_type=None, parser_context=None):
        try:
            data = super().parse(stream, media_type, parser_context)
            for text in _texts(data):
                text.encode()
        except RecursionError:
            raise exceptions.ParseError(_("The JSON is nested too deeply.")) from None
        except UnicodeEncodeError:
            raise exceptions.ParseError(_("The JSON has half a surrogate pair.")) from None
        return data


def _texts(data: Any) -> Iterator[str]:
    """All text inside, keys included."""
    if isinstance(data, dict):
        yield from data
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            yield from _texts(item)
    elif isinstance(data, str):
        yield data


class Pagination(PageNumberPagination):
    """?page=2&page_size=100."""

    django_paginator_class = Pages
    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 200

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "items": data,
                "page": self.page.number,
                "page_size": self.page.paginator.per_page,
                "total": self.page.paginator.count,
                "pages": self.page.paginator.num_pages,
            }
        )

    def get_paginated_response_schema(self, schema: dict) -> dict:
        numbers = {name: {"type": "integer"} for name in ("page", "page_size", "total", "pages")}
        return {
            "type": "object",
            "required": ["items", *numbers],
            "properties": {"items": schema, **numbers},
        }


class StrictFilterBackend(DjangoFilterBackend):
    """Refuses a parameter that does not exist: a list that ignores a filter lies."""

    def filter_queryset(self, request, queryset, view):
        known = self._known(queryset, view)
        if unknown := [name for name in request.query_params if name not in known]:
            words = _("There is no such parameter. Choose from: %(known)s.") % {
                "known": ", ".join(sorted(known))
            }
            raise exceptions.ValidationError({name[:80]: [words] for name in unknown[:10]})
        return super().filter_queryset(request, queryset, view)

    def _known(self, queryset, view) -> set[str]:
        filters = self.get_filterset_class(view, queryset)
        paging, known = view.paginator, set(filters.base_filters if filters else ())
        if paging is not None:
            known |= {paging.page_query_param, paging.page_size_query_param}
        if getattr(view, "ordering_fields", None):
            known.add(StableOrderingFilter.ordering_param)
        return known


class StableOrderingFilter(OrderingFilter):
    """?ordering=-name. The primary key settles ties, so that no row is on two pages or on none."""

    ordering_param = "ordering"

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        fields = getattr(view, "ordering_fields", None) or ()
        usual = getattr(view, "ordering", None) or view.queryset.model._meta.ordering
        words = f"Fields, separated by commas; `-` for descending. Usually `{','.join(usual)}`."
        choices = [sign + name for name in fields for sign in ("", "-")]
        array = {"type": "array", "items": {"type": "string", "enum": choices}}
        said = {"name": self.ordering_param, "in": "query", "required": False, "description": words}
        return [said | {"schema": array, "style": "form", "explode": False}] if fields else []

    def remove_invalid_fields(self, queryset, fields, view, request):
        """Ignoring what does not exist would give a list in another order than asked for."""
        valid = super().remove_invalid_fields(queryset, fields, view, request)
        if unknown := [term for term in fields if term and term not in valid]:
            context = {"request": request}
            choices = self.get_valid_fields(queryset, view, context)
            allowed = [name for name, _label in choices]
            words = _("No list can be ordered by %(terms)s. Choose from: %(allowed)s.") % {
                "terms": ", ".join(unknown)[:200],
                "allowed": ", ".join(allowed),
            }
            raise exceptions.ValidationError({self.ordering_param: [words]})
        return valid

    def filter_queryset(self, request, queryset, view):
        ordered = super().filter_queryset(request, queryset, view)
        order = list(ordered.query.order_by) or list(ordered.model._meta.ordering)
        settled = any(str(term).lstrip("-") in {"pk", "id"} for term in order)
        # Said again even if settled: Django drops the model's own ordering where rows are grouped.
        return ordered.order_by(*order, *([] if settled else ["pk"]))
