"""A sentence for each expectation, as a reader of a report would say it: "mean_radius lies between 5 and 30".

The standard library is enough here, so that the control half can use it for suites that have not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Kwargs = Mapping[str, Any]

_SHOWN_VALUES = 8


def sentence_of(kind: str, kwargs: Kwargs) -> str:
    """Say what an expectation expects, with its ``mostly`` and ``row_condition``."""
    write = _SENTENCES.get(kind)
    try:
        text = write(kwargs) if write else _other(kind, kwargs)
    except (KeyError, TypeError, IndexError, AttributeError):
        # Whether the arguments are right is told by the run; here they only cannot be put into words.
        text = _other(kind, kwargs)
    mostly = kwargs.get("mostly")
    if isinstance(mostly, int | float) and not isinstance(mostly, bool) and mostly < 1:
        text += f", for at least {mostly * 100:g} % of the values"
    condition = kwargs.get("row_condition")
    if condition:
        text += f", in the rows where {_condition(condition)}"
    return text


def _condition(condition: Any) -> str:
    """Put a row condition into words: a text as it is, or one of Great Expectations' condition objects."""
    if isinstance(condition, str):
        return condition
    try:
        if condition["type"] in ("and", "or"):
            parts = [_condition(part) for part in condition["conditions"]]
            return f" {condition['type']} ".join(f"({part})" if " or " in part else part for part in parts)
        if condition["type"] == "nullity":
            return f"{condition['column']['name']} is {'' if condition['is_null'] else 'not '}missing"
        if condition["type"] == "pass_through":
            return str(condition["pass_through_filter"])
        return f"{condition['column']['name']} {condition['operator'].lower()} {_value(condition['parameter'])}"
    except (KeyError, TypeError, AttributeError):
        return "its condition holds"


def _other(kind: str, kwargs: Kwargs) -> str:
    words = kind.removeprefix("expect_").replace("_", " ")
    arguments = ", ".join(
        f"{name} {_value(value)}"
        for name, value in kwargs.items()
        if name not in ("mostly", "row_condition", "condition_parser", "batch_id")
    )
    return f"{words} ({arguments})" if arguments else words


def _value(value: Any) -> str:
    if isinstance(value, list | tuple | set):
        shown = ", ".join(_value(entry) for entry in list(value)[:_SHOWN_VALUES])
        return shown + (f" and {len(value) - _SHOWN_VALUES} more" if len(value) > _SHOWN_VALUES else "")
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e15 else repr(value)
    return str(value)


def _bounds(kwargs: Kwargs, verb: str = "lies", low: str = "min_value", high: str = "max_value") -> str:
    lowest, highest = kwargs.get(low), kwargs.get(high)
    below, above = (
        ("below" if kwargs.get("strict_max") else "at most"),
        ("above" if kwargs.get("strict_min") else "at least"),
    )
    if lowest is None and highest is None:
        return f"{verb} anywhere"
    if lowest is None:
        return f"{verb.replace('lies', 'is')} {below} {_value(highest)}"
    if highest is None:
        return f"{verb.replace('lies', 'is')} {above} {_value(lowest)}"
    if kwargs.get("strict_min") or kwargs.get("strict_max"):
        return f"{verb.replace('lies', 'is')} {above} {_value(lowest)} and {below} {_value(highest)}"
    return f"{verb} between {_value(lowest)} and {_value(highest)}"


def _column(text: str) -> Callable[[Kwargs], str]:
    return lambda kwargs: f"{kwargs['column']} {text}"


def _statistic(word: str) -> Callable[[Kwargs], str]:
    return lambda kwargs: f"the {word} of {kwargs['column']} {_bounds(kwargs)}"


def _in_set(text: str, key: str = "value_set") -> Callable[[Kwargs], str]:
    return lambda kwargs: f"{kwargs['column']} {text} {_value(kwargs[key])}"


def _columns(text: str) -> Callable[[Kwargs], str]:
    return lambda kwargs: f"{_value(kwargs['column_list'])} {text}"


def _greater(kwargs: Kwargs) -> str:
    return f"{kwargs['column_A']} is {'at least' if kwargs.get('or_equal') else 'greater than'} {kwargs['column_B']}"


def _z_scores(kwargs: Kwargs) -> str:
    sides = "on both sides" if kwargs.get("double_sided", True) else "above"
    return f"the z-score of {kwargs['column']} is less than {_value(kwargs['threshold'])} {sides}"


def _quantiles(kwargs: Kwargs) -> str:
    ranges = kwargs["quantile_ranges"]
    parts = [
        f"{_value(share)}: {_bounds({'min_value': low, 'max_value': high}, verb='lies')}"
        for share, (low, high) in zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    ]
    return f"the quantiles of {kwargs['column']} lie where they should ({'; '.join(parts)})"


_SENTENCES: dict[str, Callable[[Kwargs], str]] = {
    "expect_column_to_exist": lambda kwargs: f"there is a column {kwargs['column']}",
    "expect_column_values_to_not_be_null": _column("is never missing"),
    "expect_column_values_to_be_null": _column("is always missing"),
    "expect_column_values_to_be_unique": _column("never repeats a value"),
    "expect_column_values_to_be_between": lambda kwargs: f"{kwargs['column']} {_bounds(kwargs)}",
    "expect_column_values_to_be_in_set": _in_set("is one of"),
    "expect_column_values_to_not_be_in_set": _in_set("is none of"),
    "expect_column_values_to_be_of_type": lambda kwargs: f"{kwargs['column']} is of the type {kwargs['type_']}",
    "expect_column_values_to_be_in_type_list": _in_set("is of one of the types", "type_list"),
    "expect_column_values_to_match_regex": _in_set("matches", "regex"),
    "expect_column_values_to_not_match_regex": _in_set("does not match", "regex"),
    "expect_column_values_to_match_regex_list": _in_set("matches one of", "regex_list"),
    "expect_column_values_to_not_match_regex_list": _in_set("matches none of", "regex_list"),
    "expect_column_values_to_match_strftime_format": _in_set("is a time written like", "strftime_format"),
    "expect_column_values_to_be_dateutil_parseable": _column("is a date or time"),
    "expect_column_values_to_be_json_parseable": _column("is JSON"),
    "expect_column_values_to_match_json_schema": _column("is JSON that follows its schema"),
    "expect_column_values_to_be_increasing": lambda kwargs: (
        f"{kwargs['column']} {'rises' if kwargs.get('strictly') else 'never falls'} from row to row"
    ),
    "expect_column_values_to_be_decreasing": lambda kwargs: (
        f"{kwargs['column']} {'falls' if kwargs.get('strictly') else 'never rises'} from row to row"
    ),
    "expect_column_value_lengths_to_be_between": lambda kwargs: f"the length of {kwargs['column']} {_bounds(kwargs)}",
    "expect_column_value_lengths_to_equal": lambda kwargs: (
        f"the length of {kwargs['column']} is {_value(kwargs['value'])}"
    ),
    "expect_column_value_z_scores_to_be_less_than": _z_scores,
    "expect_column_min_to_be_between": _statistic("lowest value"),
    "expect_column_max_to_be_between": _statistic("highest value"),
    "expect_column_mean_to_be_between": _statistic("mean"),
    "expect_column_median_to_be_between": _statistic("median"),
    "expect_column_stdev_to_be_between": _statistic("standard deviation"),
    "expect_column_sum_to_be_between": _statistic("sum"),
    "expect_column_unique_value_count_to_be_between": _statistic("number of different values"),
    "expect_column_proportion_of_unique_values_to_be_between": _statistic("share of different values"),
    "expect_column_proportion_of_non_null_values_to_be_between": _statistic("share of values that are not missing"),
    "expect_column_quantile_values_to_be_between": _quantiles,
    "expect_column_distinct_values_to_be_in_set": _in_set("holds nothing but"),
    "expect_column_distinct_values_to_contain_set": _in_set("holds each of"),
    "expect_column_distinct_values_to_equal_set": _in_set("holds exactly"),
    "expect_column_most_common_value_to_be_in_set": lambda kwargs: (
        f"the most frequent value of {kwargs['column']} is one of {_value(kwargs['value_set'])}"
    ),
    "expect_column_kl_divergence_to_be_less_than": lambda kwargs: (
        f"the distribution of {kwargs['column']} differs from the expected one by less than "
        f"{_value(kwargs['threshold'])} (Kullback-Leibler)"
    ),
    "expect_column_pair_values_to_be_equal": lambda kwargs: f"{kwargs['column_A']} equals {kwargs['column_B']}",
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_in_set": lambda kwargs: (
        f"{kwargs['column_A']} and {kwargs['column_B']} are one of the pairs {_value(kwargs['value_pairs_set'])}"
    ),
    "expect_compound_columns_to_be_unique": _columns("together never repeat"),
    "expect_select_column_values_to_be_unique_within_record": _columns("differ within each row"),
    "expect_multicolumn_values_to_be_unique": _columns("differ within each row"),
    "expect_multicolumn_values_to_be_equal": _columns("are equal within each row"),
    "expect_multicolumn_sum_to_equal": lambda kwargs: (
        f"{_value(kwargs['column_list'])} add up to {_value(kwargs['sum_total'])} in each row"
    ),
    "expect_table_row_count_to_be_between": lambda kwargs: f"the number of rows {_bounds(kwargs)}",
    "expect_table_row_count_to_equal": lambda kwargs: f"the number of rows is {_value(kwargs['value'])}",
    "expect_table_column_count_to_be_between": lambda kwargs: f"the number of columns {_bounds(kwargs)}",
    "expect_table_column_count_to_equal": lambda kwargs: f"the number of columns is {_value(kwargs['value'])}",
    "expect_table_columns_to_match_ordered_list": lambda kwargs: (
        f"the columns are, in order, {_value(kwargs['column_list'])}"
    ),
    "expect_table_columns_to_match_set": lambda kwargs: f"the columns are {_value(kwargs['column_set'])}, in any order",
}
