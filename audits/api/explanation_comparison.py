"""What the API says of two explanations of the same rows."""

from __future__ import annotations

from rest_framework import serializers

from audits.explained.exports import FORMATS
from audits.services.comparisons import Comparison, FeatureChange, RowChange
from governance.api.base import StrictSerializer


class ExplanationComparisonQuery(StrictSerializer):
    """Which two, the earlier one first, and which of their outputs; the last one that both explain is the default."""

    first = serializers.IntegerField(min_value=1, max_value=2**62)
    second = serializers.IntegerField(min_value=1, max_value=2**62)
    output = serializers.CharField(required=False)


class ExplanationComparisonExportQuery(ExplanationComparisonQuery):
    """Which two, and as which file."""

    format = serializers.ChoiceField(choices=list(FORMATS), default="html")
    chart = serializers.CharField(required=False, help_text="A chart for `png`, `svg` and `vega`; else the first.")


class FeatureChangeSerializer(serializers.Serializer[FeatureChange]):
    """One feature: mean size before and after, and the paired change with its 95 % interval over rows and errors."""

    feature = serializers.CharField()
    before = serializers.FloatField()
    after = serializers.FloatField()
    change = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    changed_share = serializers.FloatField(help_text="Share of the rows whose value moved by more than the error.")
    is_beyond_error = serializers.BooleanField()


class RowChangeSerializer(serializers.Serializer[RowChange]):
    """One row: its score before and after, and the feature whose value moved most."""

    row = serializers.IntegerField()
    id = serializers.CharField()
    score_before = serializers.FloatField()
    score_after = serializers.FloatField()
    moved = serializers.FloatField()
    feature = serializers.CharField()
    change = serializers.FloatField()
    error = serializers.FloatField()
    is_beyond_error = serializers.BooleanField()


class ExplanationComparisonSerializer(serializers.Serializer[Comparison]):
    """What changed between two versions on the same rows, against the same background; largest changes first."""

    first = serializers.IntegerField(source="first.pk")
    second = serializers.IntegerField(source="second.pk")
    output = serializers.CharField()
    outputs = serializers.ListField(child=serializers.CharField())
    rows = serializers.IntegerField(source="row_count")
    rows_of_other_outputs = serializers.IntegerField(source="other_output_count")
    changed_share = serializers.FloatField(help_text="Share of all values that moved by more than the error of both.")
    features = FeatureChangeSerializer(many=True)
    largest_rows = RowChangeSerializer(many=True, source="rows")
