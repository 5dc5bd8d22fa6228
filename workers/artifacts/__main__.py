"""``python -m workers.artifacts inspect FILE [--limit NAME=NUMBER]``: the verdict as JSON.

Exit status: 0 registered, 1 rejected, 2 quarantined, 3 could not inspect.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits
from workers.artifacts.second_opinion import with_second_opinion

_STATUS = {"registered": 0, "rejected": 1, "quarantined": 2}
_COULD_NOT = 3


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(_COULD_NOT, f"{self.prog}: {message}\n")


def _limit(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no limit; write NAME=NUMBER, such as entries=100.")
    return name, int(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Inspect one file and return the exit status."""
    parser = _Parser(prog="python -m workers.artifacts", description=__doc__)
    parser.add_argument("verb", choices=["inspect"])
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        type=_limit,
        metavar="NAME=NUMBER",
        help="another limit, such as entries=100; may be given more than once",
    )
    parsed = parser.parse_args(arguments)
    try:
        limits = Limits.from_json(dict(parsed.limit))
    except ValueError as error:
        parser.error(str(error))
    try:
        inspection = inspect(parsed.file, filename=parsed.file.name, limits=limits)
        inspection = with_second_opinion(inspection, parsed.file, filename=parsed.file.name)
    except OSError as error:
        print(f"Could not inspect {parsed.file.name}: {error.strerror or error}.", file=sys.stderr)
        return _COULD_NOT
    print(json.dumps(inspection.to_json(), indent=2))
    return _STATUS[inspection.verdict]


if __name__ == "__main__":
    sys.exit(main())
