"""The rows that fail a validation, on its page: filtered by rule, column and row, a piece at a time."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

from validators.engine.suites import columns_of
from validators.models import Validation
from validators.rows import FailureFilter, failures

#: Lines of one piece.
LINES = 40
_LAST = 2**63 - 1


def section(validation: Validation | None, request: HttpRequest) -> dict[str, Any]:
    """Return the piece that the address asks for: ``?rule=``, ``?of=`` (a column), ``?from_row=``, ``?cursor=``."""
    if validation is None or not validation.row_count:
        return {"lines": []}
    asked = {name: request.GET.get(name, "").strip() for name in ("rule", "of", "from_row")}
    chosen = FailureFilter(
        expectation=asked["rule"] or None,
        column=asked["of"] or None,
        from_row=_number(asked["from_row"]),
    )
    lines, following = failures(validation, chosen, after=_number(request.GET.get("cursor", "")) or 0, limit=LINES)
    wanted = {name: value for name, value in asked.items() if value}
    with_rows = [result for result in validation.results if result.get("unexpected_count")]
    return {
        "lines": lines,
        "asked": asked,
        "is_filtered": bool(wanted),
        "is_later": bool(_number(request.GET.get("cursor", ""))),
        "start": urlencode(wanted),
        "next": "" if following is None else urlencode({**wanted, "cursor": following}),
        "rules": [(result["id"], result["sentence"]) for result in with_rows],
        "columns": sorted({name for result in with_rows for name in columns_of(result["kwargs"])}),
    }


def of_column(validation: Validation, name: str, *, limit: int) -> list[dict[str, Any]]:
    """Return the first rows that fail a rule about a column."""
    return failures(validation, FailureFilter(column=name), limit=limit)[0]


def _number(text: str) -> int | None:
    """Read a row number or a place in the file; what is none is as if nothing was asked."""
    return min(int(text), _LAST) if text.isascii() and text.isdigit() else None
