"""Strict fields of bodies: a value of another type is the caller's mistake, not ours to guess from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers


class Text(serializers.CharField):
    """A number or a boolean is no text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """true or false; "no" is not false."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Id(serializers.UUIDField):
    """Written as text; 5 is no id."""

    def to_internal_value(self, data: Any) -> UUID:
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)
