"""Rows on the wire, in lists of many.

Where the value of a field is, is found out once for all rows and requests. Unlike DRF's own serializers these
leave nothing out (a value that is not there is an error), call no value that they meet, and know no request.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import models
from rest_framework import serializers
from rest_framework.fields import Field

Column = tuple[str, Callable[[Any], Any], Callable[[Any], Any]]


class Moment(serializers.DateTimeField):
    """In UTC, as all times are here: DRF would ask for the time zone of each row."""

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


class RowSerializer(serializers.ModelSerializer):
    # No docstring: it would be in the schema, of each that has none.

    serializer_field_mapping = serializers.ModelSerializer.serializer_field_mapping | {
        models.DateTimeField: Moment
    }

    def to_representation(self, row: Any) -> dict[str, Any]:
        return {
            name: None if (value := read(row)) is None else show(value)
            for name, read, show in _columns(type(self))
        }


@cache
def _columns(serializer: type[RowSerializer]) -> list[Column]:
    return [
        (name, _reader(field), field.to_representation)
        for name, field in serializer().fields.items()
        if not field.write_only
    ]


def _reader(field: Field) -> Callable[[Any], Any]:
    if type(field).get_attribute is Field.get_attribute and field.source_attrs:
        return attrgetter(".".join(field.source_attrs))
    return field.get_attribute
