"""Which expectation is compiled by what, as a table; what is not here goes through Great Expectations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from validators.engine.compiled import (
    aggregates,
    lengths,
    multicolumn,
    order,
    pairs,
    patterns,
    sets,
    tables,
    texts,
    uniqueness,
    values,
)
from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import Table
from validators.engine.compiled.rules import Declined, Rule


@dataclass(frozen=True)
class Compiler:
    """What compiles a kind, and in words what it compiles; the rest of the kind goes through Great Expectations."""

    compile: Callable[[Arguments], Rule]
    notes: str


_NUMBERS = "columns of numbers"
_NUMBERS_OR_MOMENTS = "columns of numbers, dates or moments"
_TEXTS = "columns of texts"
_ANY = "any column but arrays"
_NO_CONDITION = f"{_NUMBERS}, without `row_condition`"
_FINITE = f"{_NUMBERS}; not where a value is infinite or beyond 1e15, nor where all are the same"
_FAMILY = "columns of numbers, of texts, of booleans or of moments, not mixed"
_SAME_TYPE = "a set of the type of the column: integers, numbers, texts or booleans"

#: Kinds that compare columns with each other; ``frames.frame_of`` makes floats of integers for them.
_SIDE_BY_SIDE = ("expect_column_pair_", "expect_compound_", "expect_multicolumn_", "expect_select_")

COMPILERS: Mapping[str, Compiler] = {
    "expect_column_distinct_values_to_be_in_set": Compiler(sets.distinct_in_set, _SAME_TYPE),
    "expect_column_distinct_values_to_contain_set": Compiler(sets.distinct_contain_set, _SAME_TYPE),
    "expect_column_distinct_values_to_equal_set": Compiler(sets.distinct_equal_set, _SAME_TYPE),
    "expect_column_max_to_be_between": Compiler(aggregates.maximum, _NUMBERS_OR_MOMENTS),
    "expect_column_mean_to_be_between": Compiler(aggregates.mean, _FINITE),
    "expect_column_median_to_be_between": Compiler(aggregates.median, _FINITE),
    "expect_column_min_to_be_between": Compiler(aggregates.minimum, _NUMBERS_OR_MOMENTS),
    "expect_column_most_common_value_to_be_in_set": Compiler(sets.most_common, f"{_SAME_TYPE}; no `row_condition`"),
    "expect_column_pair_values_a_to_be_greater_than_b": Compiler(pairs.greater, "two columns of numbers or of moments"),
    "expect_column_pair_values_to_be_equal": Compiler(pairs.equal, _FAMILY),
    "expect_column_pair_values_to_be_in_set": Compiler(
        pairs.in_set, "up to 1,000 pairs of the types of the columns, without `row_condition`"
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": Compiler(aggregates.non_null_proportion, "any column"),
    "expect_column_proportion_of_unique_values_to_be_between": Compiler(aggregates.unique_proportion, _ANY),
    "expect_column_quantile_values_to_be_between": Compiler(aggregates.quantiles, _NO_CONDITION),
    "expect_column_stdev_to_be_between": Compiler(aggregates.standard_deviation, _FINITE),
    "expect_column_sum_to_be_between": Compiler(aggregates.total, _FINITE),
    "expect_column_to_exist": Compiler(tables.column_exists, "always"),
    "expect_column_unique_value_count_to_be_between": Compiler(aggregates.distinct_count, _ANY),
    "expect_column_value_lengths_to_be_between": Compiler(lengths.between, _TEXTS),
    "expect_column_value_lengths_to_equal": Compiler(lengths.equal, _TEXTS),
    "expect_column_value_z_scores_to_be_less_than": Compiler(values.z_score, _NO_CONDITION),
    "expect_column_values_to_be_between": Compiler(
        values.between, "columns of numbers; of dates and moments by texts of a date, or of a date and a time"
    ),
    "expect_column_values_to_be_dateutil_parseable": Compiler(texts.dateutil_parseable, _TEXTS),
    "expect_column_values_to_be_decreasing": Compiler(order.decreasing, "columns of numbers or of moments"),
    "expect_column_values_to_be_in_set": Compiler(sets.in_set, _SAME_TYPE),
    "expect_column_values_to_be_increasing": Compiler(order.increasing, "columns of numbers or of moments"),
    "expect_column_values_to_be_json_parseable": Compiler(texts.json_parseable, _TEXTS),
    "expect_column_values_to_be_null": Compiler(values.null, "any column"),
    "expect_column_values_to_be_unique": Compiler(uniqueness.unique, _ANY),
    "expect_column_values_to_match_regex": Compiler(patterns.match, _TEXTS),
    "expect_column_values_to_match_regex_list": Compiler(patterns.match_list, _TEXTS),
    "expect_column_values_to_match_strftime_format": Compiler(texts.strftime_format, _TEXTS),
    "expect_column_values_to_not_be_in_set": Compiler(sets.not_in_set, _SAME_TYPE),
    "expect_column_values_to_not_be_null": Compiler(values.not_null, "any column"),
    "expect_column_values_to_not_be_outliers": Compiler(values.not_outlier, _NO_CONDITION),
    "expect_column_values_to_not_match_regex": Compiler(patterns.not_match, _TEXTS),
    "expect_column_values_to_not_match_regex_list": Compiler(patterns.not_match_list, _TEXTS),
    "expect_compound_columns_to_be_unique": Compiler(uniqueness.compound_unique, _ANY),
    "expect_multicolumn_sum_to_equal": Compiler(multicolumn.sum_equals, "up to seven columns of numbers"),
    "expect_multicolumn_values_to_be_equal": Compiler(multicolumn.all_equal, _FAMILY),
    "expect_select_column_values_to_be_unique_within_record": Compiler(multicolumn.all_different, _FAMILY),
    "expect_table_column_count_to_be_between": Compiler(tables.column_count_between, "always"),
    "expect_table_column_count_to_equal": Compiler(tables.column_count_equals, "always"),
    "expect_table_columns_to_match_ordered_list": Compiler(tables.columns_in_order, "always"),
    "expect_table_columns_to_match_set": Compiler(tables.columns_as_set, "always"),
    "expect_table_row_count_to_be_between": Compiler(tables.row_count_between, "always"),
    "expect_table_row_count_to_equal": Compiler(tables.row_count_equals, "always"),
}


def compile_expectation(expectation: Mapping[str, Any], table: Table) -> Rule | None:
    """Return the rule of an expectation on a table, or None where it goes through Great Expectations."""
    compiler = COMPILERS.get(expectation["type"])
    if compiler is None:
        return None
    try:
        return compiler.compile(Arguments(expectation["kwargs"], table, expectation["type"].startswith(_SIDE_BY_SIDE)))
    except Declined:
        return None


def reference_table() -> str:
    """Return the table of all kinds as Markdown, which ``docs/reference/expectations.md`` holds."""
    lines = ["| kind | compiled for |", "|---|---|"]
    lines += [f"| `{kind}` | {compiler.notes} |" for kind, compiler in sorted(COMPILERS.items())]
    return "\n".join(lines) + "\n"
