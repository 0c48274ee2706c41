"""Pages and their partials; domain errors in forms."""

from __future__ import annotations

from typing import Any

from django.forms import BaseForm

from core.errors import DomainError, InvalidInput


def wants_partial(request: Any) -> bool:
    """htmx asks for one panel. Boosted links and restored history want the whole page."""
    htmx = request.htmx
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def add_error(form: BaseForm, error: DomainError) -> None:
    """Show a service's refusal beside the field it is about, else above the form."""
    field = error.field if isinstance(error, InvalidInput) and error.field in form.fields else None
    form.add_error(field, error.message)
