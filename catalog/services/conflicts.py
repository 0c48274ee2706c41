"""The database decides who came first; this says it in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import IntegrityError, transaction

from core.errors import DomainError


@contextmanager
def refused_by(constraint: str, refusal: DomainError) -> Iterator[None]:
    """Raise `refusal` when the database refuses the writes inside because of `constraint`."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        if getattr(diagnosis, "constraint_name", None) != constraint:
            raise
        raise refusal from None
