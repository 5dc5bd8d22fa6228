"""What keeps an expectation from being run, told in our own words before anything is run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from validators.engine.suites import columns_of

#: Expectations about the columns themselves: one that is not there is their answer, not an obstacle.
ABOUT_THE_TABLE = ("expect_table_", "expect_column_to_exist")
#: What a row condition may call on a column; it is code, and this is all of it that a condition needs.
_CONDITION_CALLS = frozenset(
    {"abs", "between", "contains", "endswith", "isin", "isna", "isnull", "len", "lower", "notna", "notnull",
     "startswith", "upper"}
)  # fmt: skip


def obstacles(expectation: Mapping[str, Any], names: Collection[str]) -> Iterator[str]:
    """Say, a sentence each, what is wrong with an expectation on a table with columns of these names."""
    kind, kwargs = expectation["type"], expectation["kwargs"]
    if not kind.startswith(ABOUT_THE_TABLE):
        for name in columns_of(kwargs):
            if name not in names:
                yield f"The column {name!r} is not in the data set."
    patterns = kwargs.get("regex_list", [kwargs["regex"]] if "regex" in kwargs else [])
    for pattern in patterns if isinstance(patterns, list) else []:
        try:
            python_regex(pattern)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            yield f"The regular expression {pattern!r} is not valid: {error}."
    yield from _in_condition(kwargs.get("row_condition"), names)


def python_regex(pattern: str) -> re.Pattern[str]:
    """Compile a regular expression as it is today, whatever a later Python will make of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern)


def columns_of_condition(condition: Any, names: Collection[str]) -> set[str]:
    """Return the columns that a row condition may read: those it names, and those whose names stand in a text."""
    if isinstance(condition, str):
        return {name for name in names if name in condition}
    if not isinstance(condition, Mapping):
        return set()
    column = condition.get("column")
    found = {column["name"]} if isinstance(column, Mapping) and isinstance(column.get("name"), str) else set()
    found |= columns_of_condition(str(condition.get("pass_through_filter", "")), names)
    parts = condition.get("conditions")
    for part in parts if isinstance(parts, list) else []:
        found |= columns_of_condition(part, names)
    return found


def _in_condition(condition: Any, names: Collection[str]) -> Iterator[str]:
    """Refuse what a condition must not be before pandas evaluates it: a text is code there."""
    if isinstance(condition, str):
        yield from _forbidden_in_text(condition)
    elif isinstance(condition, Mapping):
        column = condition.get("column")
        name = column.get("name") if isinstance(column, Mapping) else None
        if name is not None and name not in names:
            yield f"The column {name!r} of the row condition is not in the data set."
        yield from _forbidden_in_text(str(condition.get("pass_through_filter", "")))
        parts = condition.get("conditions", [])
        for part in parts if isinstance(parts, list) else []:
            yield from _in_condition(part, names)


def _forbidden_in_text(condition: str) -> Iterator[str]:
    if "@" in condition or "__" in condition:
        yield f"The row condition {condition!r} has `@` or `__`; it is made of columns, values and comparisons."
    for name in re.findall(r"([A-Za-z_]\w*)\s*\(", condition):
        if name not in (*_CONDITION_CALLS, "and", "or", "not", "in"):
            yield f"The row condition {condition!r} calls {name!r}; it may call {', '.join(sorted(_CONDITION_CALLS))}."
