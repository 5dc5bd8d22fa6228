"""The OpenAPI description: what every operation can answer besides what it was written for."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from governance.problems import CONTENT_TYPE


class ProblemErrorSerializer(serializers.Serializer[Any]):
    """One thing that is wrong, and where."""

    place = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """A problem document (RFC 9457); ``reasons`` is there when a gate said no."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ProblemErrorSerializer(many=True)  # type: ignore[assignment]  # shadows the base's own property
    reasons = serializers.ListField(child=serializers.CharField(), required=False)


class ProblemSchema(AutoSchema):
    """Adds the problem document that every operation answers a refusal with."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        responses["4XX"] = self._get_response_for_code(  # type: ignore[no-untyped-call]
            ProblemSerializer, "4XX", media_types=[CONTENT_TYPE]
        )
        return responses


def any_value_may_be_null(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Say "anything" for JSON that may be null: "anything or null, and not both" is what no null meets."""
    for schema in result.get("components", {}).get("schemas", {}).values():
        for field in schema.get("properties", {}).values():
            if {} in field.get("oneOf", []):
                del field["oneOf"]
    return result
