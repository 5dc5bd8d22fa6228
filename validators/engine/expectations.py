"""Run single expectations of a suite through Great Expectations, each on its own.

One that cannot be run (an unknown type, a column that is not there, a regular expression that is none, a crash inside)
is an outcome of status ``error`` with its reason, and no other outcome is lost. A row rule keeps every row that does
not meet it, by number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.frames import frame_of
from validators.engine.suites import columns_of, is_row_rule, severity_of

Status = Literal["passed", "failed", "error"]

_RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
#: Expectations about the columns themselves: one that is not there is their answer, not an obstacle.
_ABOUT_THE_TABLE = ("expect_table_", "expect_column_to_exist")
#: What a row condition may call on a column; it is code, and this is all of it that a condition needs.
_CONDITION_CALLS = frozenset(
    {"abs", "between", "contains", "endswith", "isin", "isna", "isnull", "len", "lower", "notna", "notnull",
     "startswith", "upper"}
)  # fmt: skip


class ExpectationError(Exception):
    """An expectation that cannot be run; the message is a sentence."""


@dataclass(frozen=True)
class Outcome:
    """What came of one expectation; ``rows`` are the numbers of all rows that do not meet a row rule."""

    expectation: Mapping[str, Any]
    status: Status
    observed: Any = None
    unexpected_count: int | None = None
    element_count: int | None = None
    unexpected_percent: float | None = None
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    error: str = ""

    @property
    def severity(self) -> str:
        return severity_of(self.expectation)


class Evaluator:
    """Runs expectations on one table; frames and batches are made once, when the first expectation needs them."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._source = _new_source()
        self._batches: dict[str, Any] = {}

    def evaluate(self, expectation: Mapping[str, Any]) -> Outcome:
        """Run one expectation (``type``, ``kwargs``, ``severity``, ``meta``, ``id``)."""
        try:
            result = self._result(expectation)
        except ExpectationError as error:
            return Outcome(expectation, "error", error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever breaks inside, the other expectations keep their results
            return Outcome(expectation, "error", error=f"Great Expectations could not run it: {_one_line(error)}")
        problem = _problem(result.exception_info)
        if problem:
            return Outcome(expectation, "error", error=f"Great Expectations could not run it: {problem}")
        return _outcome(expectation, result)

    def _result(self, expectation: Mapping[str, Any]) -> Any:
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
        from great_expectations.expectations.metadata_types import FailureSeverity

        kind, kwargs = expectation["type"], dict(expectation["kwargs"])
        for sentence in self._obstacles(kind, kwargs):
            raise ExpectationError(sentence)
        try:
            configured = ExpectationConfiguration(
                type=kind, kwargs=kwargs, id=expectation.get("id"), severity=FailureSeverity(severity_of(expectation))
            ).to_domain_obj()
        except Exception as error:
            raise ExpectationError(f"Its arguments are not those of `{kind}`: {_one_line(error)}") from error
        return self._batch(kind).validate(configured, result_format=dict(_RESULT_FORMAT))

    def _obstacles(self, kind: str, kwargs: Mapping[str, Any]) -> Iterator[str]:
        """Say what can be told in our own words before Great Expectations is asked."""
        from great_expectations.exceptions.exceptions import ExpectationNotFoundError
        from great_expectations.expectations.registry import get_expectation_impl

        try:
            get_expectation_impl(kind)
        except ExpectationNotFoundError:
            yield f"There is no expectation `{kind}` in Great Expectations."
        if not kind.startswith(_ABOUT_THE_TABLE):
            for name in columns_of(kwargs):
                if name not in self.table.column_names:
                    yield f"The column {name!r} is not in the data set."
        patterns = kwargs.get("regex_list", [kwargs["regex"]] if "regex" in kwargs else [])
        for pattern in patterns if isinstance(patterns, list) else []:
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                yield f"The regular expression {pattern!r} is not valid: {error}."
        yield from self._obstacles_in_condition(kwargs.get("row_condition"))

    def _obstacles_in_condition(self, condition: Any) -> Iterator[str]:
        """Refuse what a condition must not be before pandas evaluates it: a text is code there."""
        if isinstance(condition, str):
            yield from _forbidden_in_text(condition)
        elif isinstance(condition, Mapping):
            name = (condition.get("column") or {}).get("name")
            if name is not None and name not in self.table.column_names:
                yield f"The column {name!r} of the row condition is not in the data set."
            yield from _forbidden_in_text(str(condition.get("pass_through_filter", "")))
            for part in condition.get("conditions", []):
                yield from self._obstacles_in_condition(part)

    def _batch(self, kind: str) -> Any:
        is_pair = kind.startswith("expect_column_pair_")
        if kind.startswith(_ABOUT_THE_TABLE) or (kind.startswith("expect_column_") and not is_pair):
            return self._batch_named("columns", lambda: frame_of(self.table))
        return self._batch_named("comparable", lambda: frame_of(self.table, comparable=True))

    def _batch_named(self, name: str, make: Any) -> Any:
        if name not in self._batches:
            frame: pd.DataFrame = make()
            definition = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
            self._batches[name] = definition.get_batch({"dataframe": frame})
        return self._batches[name]


def _new_source() -> Any:
    """Return a pandas source of a context that lives in memory only: no files, no network, no progress bars."""
    import great_expectations
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_pandas("data")


def _outcome(expectation: Mapping[str, Any], result: Any) -> Outcome:
    found = result.result
    rows = np.unique(np.asarray(found.get("unexpected_index_list") or [], dtype=np.int64))
    count = found.get("unexpected_count")
    if is_row_rule(expectation["type"]) and count is not None and len(rows) != count:
        detail = f"Great Expectations counts {count} rows that do not meet it and names {len(rows)}."
        return Outcome(expectation, "error", error=detail)
    percent = found.get("unexpected_percent")
    return Outcome(
        expectation,
        "passed" if result.success else "failed",
        observed=plain(found.get("observed_value")),
        unexpected_count=None if count is None else int(count),
        element_count=None if found.get("element_count") is None else int(found["element_count"]),
        unexpected_percent=None if percent is None or not math.isfinite(percent) else float(percent),
        rows=rows,
    )


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: NumPy's and pandas' own types are converted, what JSON lacks is null."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray | pd.Series):
        return [plain(entry) for entry in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _problem(exception_info: Any) -> str:
    """Return what was raised inside, from either of the two forms that Great Expectations keeps it in."""
    if not isinstance(exception_info, Mapping):
        return ""
    entries = [exception_info] if "raised_exception" in exception_info else list(exception_info.values())
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return _one_line(entry.get("exception_message") or "it gives no reason")
    return ""


def _one_line(error: Any) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def _forbidden_in_text(condition: str) -> Iterator[str]:
    if "@" in condition or "__" in condition:
        yield f"The row condition {condition!r} has `@` or `__`; it is made of columns, values and comparisons."
    for name in re.findall(r"([A-Za-z_]\w*)\s*\(", condition):
        if name not in (*_CONDITION_CALLS, "and", "or", "not", "in"):
            yield f"The row condition {condition!r} calls {name!r}; it may call {', '.join(sorted(_CONDITION_CALLS))}."
