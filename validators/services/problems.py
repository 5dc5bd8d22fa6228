"""What is wrong with a document that a person wrote, as an error that they can act on."""

from __future__ import annotations

from collections.abc import Sequence

from governance.exceptions import InvalidInput
from validators.engine.suites import Problem


def refuse(what: str, problems: Sequence[Problem]) -> None:
    """Raise InvalidInput when there are problems, with one error each."""
    if problems:
        raise InvalidInput(
            f"The {what} has {len(problems)} problem{'s' * (len(problems) != 1)}; the first: {problems[0].detail}",
            errors=[{"place": problem.place, "detail": problem.detail} for problem in problems],
        )
