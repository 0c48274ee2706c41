"""Rows on the wire, in lists of many.

Where the value of a field is, is found out once for a list and not for each of its rows. Unlike DRF's own
serializers these leave nothing out (a value that is not there is an error), and call no value that they meet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from operator import attrgetter
from typing import Any

from rest_framework import serializers
from rest_framework.fields import Field


class RowSerializer(serializers.ModelSerializer):
    # No docstring: it would be in the schema, of each that has none.

    def to_representation(self, row: Any) -> dict[str, Any]:
        return {
            name: None if (value := read(row)) is None else show(value)
            for name, read, show in self._columns
        }

    @cached_property
    def _columns(self) -> list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]:
        return [
            (field.field_name, _reader(field), field.to_representation)
            for field in self._readable_fields
        ]


def _reader(field: Field) -> Callable[[Any], Any]:
    if type(field).get_attribute is Field.get_attribute and field.source_attrs:
        return attrgetter(".".join(field.source_attrs))
    return field.get_attribute
