"""Judge rules on the table of a file: the one place where cleaning asks the validation engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from validators.engine.expectations import Evaluator, Outcome

#: Told on the way: rows that are done, rows that there are (each once a pass), and what comes.
Told = Callable[[int, int, str], None]


def judge(path: Path, rules: Sequence[Mapping[str, Any]], *, work: Path, told: Told | None = None) -> list[Outcome]:
    """Return what came of each rule on the table of a file, in the order of the rules.

    Args:
        rules: expectations (``type`` and ``kwargs``; ``id``, ``severity`` and ``meta`` where they have them).
        work: a folder for what does not fit into memory.
    """
    return Evaluator(path, work=work).evaluate_all(rules, told) if rules else []
