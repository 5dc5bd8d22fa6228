"""Run single expectations through Great Expectations itself, each on its own and on the columns that it needs.

One that cannot be run (an unknown type, a regular expression that is none, a crash inside) is an outcome of status
``error`` with its reason. A row rule keeps every row that does not meet it, by number.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from validators.engine.frames import frame_of
from validators.engine.obstacles import ABOUT_THE_TABLE, columns_of_condition, obstacles
from validators.engine.outcomes import ExpectationError, FailingRows, Outcome, plain
from validators.engine.suites import columns_of, is_row_rule, severity_of
from validators.engine.time_limit import TimeLimitReached, time_limit
from workers.datasets.canonical import canonical_table

if TYPE_CHECKING:
    import pandas as pd

#: Seconds for one expectation; what takes longer backtracks, or does not come to an end.
SECONDS = 600.0
#: What is told beside the observed value by expectations that are not about single rows.
_DETAILS = ("details", "missing_count", "partial_missing_list")
_RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}


class GreatExpectations:
    """Runs expectations on one table; frames and batches are made once, when the first expectation needs them."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._source = _new_source()
        self._batches: dict[str, Any] = {}

    def evaluate(self, expectation: Mapping[str, Any]) -> Outcome:
        """Run one expectation (``type``, ``kwargs``, ``severity``, ``meta``, ``id``)."""
        try:
            with time_limit(SECONDS) as limit:
                result = self._result(expectation)
            if limit.is_reached:
                raise TimeLimitReached
        except TimeLimitReached:
            return Outcome(expectation, "error", error=f"It took longer than {SECONDS:g} seconds and was stopped.")
        except ExpectationError as error:
            return Outcome(expectation, "error", error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever breaks inside, the other expectations keep their results
            return Outcome(expectation, "error", error=f"Great Expectations could not run it: {_one_line(error)}")
        problem = _problem(result.exception_info)
        if problem:
            return Outcome(expectation, "error", error=f"Great Expectations could not run it: {problem}")
        return _outcome(expectation, result)

    def _result(self, expectation: Mapping[str, Any]) -> Any:
        from great_expectations.exceptions.exceptions import ExpectationNotFoundError
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
        from great_expectations.expectations.metadata_types import FailureSeverity
        from great_expectations.expectations.registry import get_expectation_impl

        kind, kwargs = expectation["type"], dict(expectation["kwargs"])
        try:
            get_expectation_impl(kind)
        except ExpectationNotFoundError:
            raise ExpectationError(f"There is no expectation `{kind}` in Great Expectations.") from None
        for sentence in obstacles(expectation, self.table.column_names):
            raise ExpectationError(sentence)
        try:
            configured = ExpectationConfiguration(
                type=kind, kwargs=kwargs, id=expectation.get("id"), severity=FailureSeverity(severity_of(expectation))
            ).to_domain_obj()
        except Exception as error:
            raise ExpectationError(f"Its arguments are not those of `{kind}`: {_one_line(error)}") from error
        return self._batch(kind).validate(configured, result_format=dict(_RESULT_FORMAT))

    def _batch(self, kind: str) -> Any:
        compares = kind.startswith(("expect_column_pair_", "expect_multicolumn_", "expect_compound_", "expect_select_"))
        if not compares:
            return self._batch_named("columns", lambda: frame_of(self.table))
        return self._batch_named("comparable", lambda: frame_of(self.table, comparable=True))

    def _batch_named(self, name: str, make: Any) -> Any:
        if name not in self._batches:
            frame: pd.DataFrame = make()
            definition = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
            self._batches[name] = definition.get_batch({"dataframe": frame})
        return self._batches[name]


class GreatExpectationsOnFile:
    """Runs expectations on a Parquet file: each reads the columns that it needs, and no more stay in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._schema = pq.read_schema(path)
        self._names: tuple[str, ...] = ()
        self._loaded: GreatExpectations | None = None

    def evaluate(self, expectation: Mapping[str, Any]) -> Outcome:
        """Run one expectation; the table of the last one is kept, in case the next one needs the same."""
        names = self._needed(expectation)
        twins = _twins(names)
        if twins and not expectation["type"].startswith(ABOUT_THE_TABLE):
            return Outcome(expectation, "error", error=_TWINS.format(*twins))
        if self._loaded is None or names != self._names:
            self._loaded = None
            self._loaded = GreatExpectations(
                canonical_table(pq.read_table(self._path, columns=list(names)).select(names))
            )
            self._names = names
        return self._loaded.evaluate(expectation)

    def _needed(self, expectation: Mapping[str, Any]) -> tuple[str, ...]:
        kind, kwargs = expectation["type"], expectation["kwargs"]
        if kind.startswith(ABOUT_THE_TABLE) or not columns_of(kwargs):
            return tuple(self._schema.names)
        wanted = {*columns_of(kwargs), *columns_of_condition(kwargs.get("row_condition"), self._schema.names)}
        return tuple(name for name in self._schema.names if name in wanted)


_TWINS = (
    "It needs the columns {0!r} and {1!r}, whose names differ in case only; Great Expectations, through which it goes, "
    "does not tell them apart. Rename one."
)


def _twins(names: Collection[str]) -> tuple[str, str] | None:
    seen: dict[str, str] = {}
    for name in names:
        if seen.setdefault(name.casefold(), name) != name:
            return seen[name.casefold()], name
    return None


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
        missing_count=_missing_count(found),
        failing=FailingRows(rows),
        details=plain({name: found[name] for name in _DETAILS if found.get(name)}),
    )


def _missing_count(found: Mapping[str, Any]) -> int | None:
    """Return how many rows were not judged; rules about a set of values call something else by this name."""
    is_about_rows = found.get("element_count") is not None and found.get("missing_count") is not None
    return int(found["missing_count"]) if is_about_rows else None


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
