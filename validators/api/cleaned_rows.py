"""How parts of the rows that left and of the cells that changed are asked for and answered."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import StrictSerializer
from validators.cleaned_rows import MOST_ROWS, Lines


class RemovedRowSerializer(serializers.Serializer[Any]):
    """A row that left: its number in the version that was cleaned, why it left, and its cells as texts."""

    row = serializers.IntegerField()
    action = serializers.CharField()
    expectation = serializers.CharField()
    reason = serializers.CharField()
    steps = serializers.ListField(child=serializers.IntegerField())
    values = serializers.DictField(child=serializers.CharField(allow_null=True))


class ChangedCellSerializer(serializers.Serializer[Any]):
    """A cell that changed: where, from what to what, and why."""

    row = serializers.IntegerField()
    column = serializers.CharField()
    before = serializers.CharField(allow_null=True)
    after = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    expectation = serializers.CharField()
    step = serializers.IntegerField()


class RemovedRowsSerializer(serializers.Serializer[Any]):
    """A part of the rows that left, and the addresses of the parts beside it."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = RemovedRowSerializer(many=True)


class ChangedCellsSerializer(serializers.Serializer[Any]):
    """A part of the cells that changed, and the addresses of the parts beside it."""

    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = ChangedCellSerializer(many=True)


class PartQuery(StrictSerializer):
    """Which lines: those of one step (and of one column, of changed cells), from one on, at most so many."""

    step = serializers.IntegerField(min_value=0, required=False)
    column = serializers.CharField(required=False)
    offset = serializers.IntegerField(min_value=0, max_value=2**62, default=0)
    limit = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, default=100)


def part_asked(request: Request) -> dict[str, Any]:
    """Return which part the query of an address asks for."""
    query = PartQuery(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def answer(request: Request, lines: Lines, query: dict[str, Any]) -> Response:
    """Answer with a part of the lines, and with the addresses of the parts beside it."""

    def address(offset: int) -> str:
        return request.build_absolute_uri(f"?{urlencode({**query, 'offset': offset})}")

    offset, limit = query["offset"], query["limit"]
    return Response(
        {
            "next": address(offset + limit) if lines.has_more else None,
            "previous": address(max(0, offset - limit)) if offset else None,
            "results": lines.lines,
        }
    )
