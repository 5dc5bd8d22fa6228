"""Put the rules of every kind together into the suggestions of one suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from validators.engine.sentences import sentence_of
from validators.engine.suggestion import categories, keys, missing, moments, numbers, order, pairs, shape, texts, trial
from validators.engine.suggestion.candidate import Candidate
from validators.engine.suggestion.profile import ColumnProfile, Reader, TableProfile, profile
from validators.engine.suggestion.statistics import deviations_for
from validators.engine.suites import MAX_EXPECTATIONS, SEVERITIES, is_row_rule, with_ids
from workers.datasets.schema import Schema

#: Told how far it is: done, total, what is done.
Progress = Callable[[int, int, str], None]

#: Row rules whose failing rows are no rows to put aside one by one.
_NOT_CLEANED = (
    "expect_column_values_to_be_null",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
)


def suggest(
    path: Path,
    schema: Schema,
    *,
    work: Path,
    memory_bytes: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the suggestions for a table, as the value of a suggestion job.

    Args:
        path: the canonical Parquet of a data set version.
        work: a folder for what does not fit into memory.
        progress: told the work that is done, of all, and a sentence.

    Returns:
        ``rows``, ``fit_rows``, ``holdout_rows``, ``proposed`` (rules that were tried), ``suggestions``: the rules that
        held, each with ``id``, ``column``, ``type``, ``kwargs``, ``severity``, ``meta``, ``sentence``, ``why`` and
        ``evidence``.
    """
    with Reader(path, work=work, memory_bytes=memory_bytes) as reader:
        tell = progress or _tell_nobody
        deviations = deviations_for(len(reader.names))
        table = profile(
            reader,
            schema,
            deviations=deviations,
            progress=lambda done, total: tell(done * 60 // total, 100, "reading the columns"),
        )
        tell(60, 100, "proposing rules")
        candidates = list(_candidates(table, reader))
        kept = list(
            trial.surviving(
                reader,
                candidates,
                lambda done, total: tell(75 + done * 25 // total, 100, "trying the rules on the other rows"),
            )
        )
    return {
        "rows": table.rows,
        "fit_rows": table.fit_rows,
        "holdout_rows": table.rows - table.fit_rows,
        "proposed": len(candidates),
        "suggestions": _as_json(_within_limit(kept)),
    }


def _tell_nobody(done: int, total: int, message: str) -> None:
    """Stand in for who is told how far the work is."""


def _candidates(table: TableProfile, reader: Reader) -> Iterator[Candidate]:
    yield from shape.rules(table)
    single = list(keys.single(table, reader))
    names = [candidate.column for candidate in single]
    together = [
        *single,
        *keys.compound(table, reader, names),
        *order.rules(table, reader, names),
        *pairs.rules(table, names),
    ]
    for column in table.columns:
        if column.role == "ignore":
            continue
        yield from _of_column(table, column, is_key=column.name in names)
        yield from (candidate for candidate in together if candidate.column == column.name)


def _of_column(table: TableProfile, column: ColumnProfile, *, is_key: bool) -> Iterator[Candidate]:
    """Propose the rules about one column; a key's values go on where the last ones ended, so they have no range."""
    type_rule = shape.type_rule(column)
    if type_rule is not None:
        yield type_rule
    yield from missing.rules(table, column)
    is_list = categories.is_list(table, column)
    if is_list:
        yield from categories.rules(table, column)
    if column.kind in ("integer", "number") and not is_key:
        yield from numbers.rules(table, column, is_list=is_list)
    elif column.kind == "moment":
        yield from moments.rules(column)
    elif column.kind == "text" and not is_list:
        yield from texts.rules(table, column)
    different = None if is_list or is_key else shape.different_values(column)
    if different is not None:
        yield different


def _within_limit(candidates: list[Candidate]) -> list[Candidate]:
    """Return at most as many as a suite holds; where there are more, the least grave go."""
    if len(candidates) <= MAX_EXPECTATIONS:
        return candidates
    gravest = sorted(range(len(candidates)), key=lambda place: (SEVERITIES.index(candidates[place].severity), place))
    return [candidates[place] for place in sorted(gravest[:MAX_EXPECTATIONS])]


def _as_json(candidates: list[Candidate]) -> list[dict[str, Any]]:
    entries = [
        {
            "type": candidate.kind,
            "kwargs": dict(candidate.kwargs),
            "severity": candidate.severity,
            "meta": _meta(candidate),
            "column": candidate.column,
            "sentence": sentence_of(candidate.kind, candidate.kwargs),
            "why": candidate.why,
            "evidence": dict(candidate.evidence),
        }
        for candidate in candidates
    ]
    return list(with_ids({"expectations": entries})["expectations"])


def _meta(candidate: Candidate) -> dict[str, Any]:
    """Return ``meta``: what fails a rule that every row has to meet is put aside when the data are cleaned."""
    is_cleaned = is_row_rule(candidate.kind) and candidate.mostly == 1 and candidate.kind not in _NOT_CLEANED
    return {"clean": {"action": "quarantine"}} if is_cleaned else {}
