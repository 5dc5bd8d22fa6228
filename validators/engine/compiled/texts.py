"""Rules that Python decides text by text: each distinct text of a batch once, unless the batch before had it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.compiled.arguments import Arguments
from validators.engine.compiled.columns import Column
from validators.engine.compiled.rows import column_rule
from validators.engine.compiled.rules import Declined, FindFailing, Rule, Scan

#: Seconds for all texts of one expectation; only a hostile text or format needs more.
_SECONDS = 600.0


def scan_of_texts(
    column: Column, fails: Callable[[str], bool], *, only: str = "TRUE", seconds: float = _SECONDS
) -> Scan:
    """Return a scan in which the rows fail whose text does."""

    def start() -> FindFailing:
        known: dict[str, bool] = {}

        def find(arrays: Sequence[pa.Array]) -> NDArray[np.bool_]:
            nonlocal known
            encoded = pc.dictionary_encode(arrays[0])
            # What the batch before has told: dates and codes return, and no more than the texts of a batch are kept.
            known = {
                text: fails(text) if (told := known.get(text)) is None else told
                for text in encoded.dictionary.to_pylist()
            }
            failing = np.fromiter(known.values(), dtype=bool, count=len(known))
            return np.asarray(failing[encoded.indices.to_numpy(zero_copy_only=False)])

        return find

    return Scan((column,), start, only=only, seconds=seconds)


def strftime_format(arguments: Arguments) -> Rule:
    arguments.only("column", "strftime_format")
    pattern = arguments.kwargs.get("strftime_format")
    if not isinstance(pattern, str) or not pattern:
        raise Declined
    try:
        # What cannot be read back is no format, as Great Expectations has it.
        datetime.strptime(datetime(2001, 2, 3, 4, 5, 6).strftime(pattern), pattern)
    except ValueError:
        raise Declined from None

    def fails(text: str) -> bool:
        try:
            datetime.strptime(text, pattern)
        except ValueError:
            return True
        return False

    return _rule(arguments, fails)


def dateutil_parseable(arguments: Arguments) -> Rule:
    from dateutil.parser import parse  # type: ignore[import-untyped]

    arguments.only("column")

    def fails(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, OverflowError):
            return True
        return False

    return _rule(arguments, fails)


def json_parseable(arguments: Arguments) -> Rule:
    arguments.only("column")

    def fails(text: str) -> bool:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return True
        return False

    return _rule(arguments, fails)


def _rule(arguments: Arguments, fails: Callable[[str], bool]) -> Rule:
    column = arguments.column()
    if column.kind != "string":
        raise Declined
    return column_rule(arguments, column, scan_of_texts(column, fails))
