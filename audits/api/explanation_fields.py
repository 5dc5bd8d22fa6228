"""The fields of a request for an explanation that JSON writes in more than one way."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from governance.api.base import StrictSerializer

OUTPUT_CHOICES = ("all", "predicted")
#: Rows of one explanation, and of one background.
MAX_ROWS = 100_000
MAX_BACKGROUND_ROWS = 10_000

_NUMBERS = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0}}


class CountOrRowsField(serializers.Field[Any, Any, Any, Any]):
    """How many rows, drawn by the seed, or which: a number or a list of row numbers."""

    most: int

    def to_internal_value(self, data: Any) -> int | list[int]:
        if _is_number(data) and 1 <= data <= self.most:
            return int(data)
        if _is_list_of_numbers(data) and len(data) <= self.most:
            return list(data)
        raise serializers.ValidationError(f"A number from 1 to {self.most:,}, or a list of row numbers from 0.")

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1, "maximum": MAX_ROWS}, _NUMBERS]})
class RowsField(CountOrRowsField):
    """Rows to explain."""

    most = MAX_ROWS


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1, "maximum": MAX_BACKGROUND_ROWS}, _NUMBERS]})
class BackgroundRowsField(CountOrRowsField):
    """Rows to compare with."""

    most = MAX_BACKGROUND_ROWS


@extend_schema_field({"oneOf": [{"type": "string", "enum": list(OUTPUT_CHOICES)}, _NUMBERS]})
class OutputsField(serializers.Field[Any, Any, Any, Any]):
    """Which outputs: all, the predicted class of each row, or a list of output numbers."""

    def to_internal_value(self, data: Any) -> str | list[int]:
        if isinstance(data, str) and data in OUTPUT_CHOICES:
            return data
        if _is_list_of_numbers(data):
            return list(data)
        raise serializers.ValidationError(f"One of {', '.join(OUTPUT_CHOICES)}, or a list of output numbers from 0.")

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]})
class ScalarField(serializers.Field[Any, Any, Any, Any]):
    """One value of a column."""

    def to_internal_value(self, data: Any) -> str | float | bool:
        if isinstance(data, str | int | float):
            return data
        raise serializers.ValidationError("A text, a number, true or false.")

    def to_representation(self, value: Any) -> Any:
        return value


class SliceBody(StrictSerializer):
    """The rows that have a value in a column."""

    column = serializers.CharField()
    value = ScalarField()


class AnchorBody(StrictSerializer):
    """What a comment is about: a row of the data set by its number, or a chart by its id."""

    row = serializers.IntegerField(required=False, min_value=0, max_value=2**62)
    chart = serializers.CharField(required=False, max_length=100)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(entry) for entry in value)
