"""The columns of a data set version: a table of all, in pieces, and one at a time with all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse

from governance.exceptions import NotFound
from governance.models import DatasetVersion
from governance.presentation.drawing import drawn
from governance.presentation.numbers import is_number, number, plural, share
from governance.views.page import draw, find, page
from validators.charts import column_spec
from validators.gates import validation_state
from validators.models import Validation
from validators.views import failures
from workers.charts import house_spec
from workers.datasets.schema import Column

#: More columns than this are shown in pieces, with a box to find one.
COLUMNS_A_PAGE = 100
#: Roles whose columns come first: what a model is fed with.
_FEATURES = ("feature",)
ROWS_ON_PAGE = 30


@dataclass(frozen=True)
class ColumnRow:
    """A column as the table of columns shows it; ``place`` is its number in the schema, counted from 0."""

    place: int
    name: str
    role: str
    type: str
    profile: Mapping[str, Any]
    missing: str
    middle: str

    @property
    def is_feature(self) -> bool:
        return self.role in _FEATURES

    @property
    def lowest(self) -> str:
        return figure(self.profile.get("lowest"))

    @property
    def highest(self) -> str:
        return figure(self.profile.get("highest"))


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:
    """Return the piece of the table that the address asks for: ``?find=`` a part of a name, ``?columns=`` a piece."""
    wanted = request.GET.get("find", "").strip()
    rows = [row for row in columns_of(version) if wanted.lower() in row.name.lower()]
    rows.sort(key=lambda row: not row.is_feature)
    piece: Page[ColumnRow] = Paginator(rows, COLUMNS_A_PAGE).get_page(request.GET.get("columns"))
    return {
        "columns": piece,
        "groups": _groups(piece),
        "find": wanted,
        "is_long": len(version.schema["columns"]) > COLUMNS_A_PAGE if version.schema else False,
    }


def columns_of(version: DatasetVersion) -> list[ColumnRow]:
    """Return every column, in the order of the schema."""
    schema = version.read_schema()
    if schema is None:
        return []
    return [
        _row(place, name, column, version.profile.get(name) or {}, version.row_count)
        for place, (name, column) in enumerate(schema.columns.items())
    ]


@page
def column(request: HttpRequest, *, name: str, number: int, place: int) -> HttpResponse:
    """Show one column: how it is spread, what is asked of it, which rows fail."""
    version = _version(name, number)
    row = _column(version, place)
    origin = version.made_from
    before = None if origin is None else origin.profile.get(row.name)
    spec = column_spec(row.profile, other=before)
    has_other = bool(before) and spec is not None
    validation = _validation_of(version)
    rules = [result for result in validation.results if _is_about(result, row.name)] if validation else []
    return draw(
        request,
        "validators/column.html",
        {
            "version": version,
            "column": row,
            "origin": origin,
            "has_other": has_other,
            "drawing": None if spec is None else drawn(spec, label=_label(row, has_other=has_other)),
            "facts": facts_of(row.profile, version.row_count, before),
            "validation": validation,
            "rules": rules,
            "failing_rows": failures.of_column(validation, row.name, limit=ROWS_ON_PAGE)
            if rules and validation
            else [],
        },
        section="data",
    )


@page
def column_chart(request: HttpRequest, *, name: str, number: int, place: int) -> HttpResponse:  # noqa: ARG001 - a view
    """Hand out the chart of a column as a Vega-Lite specification."""
    version = _version(name, number)
    row = _column(version, place)
    origin = version.made_from
    spec = column_spec(row.profile, other=None if origin is None else origin.profile.get(row.name))
    if spec is None:
        raise NotFound(f"There is no chart of the column {row.name!r} of {version.ref}.")
    response = JsonResponse(house_spec({**spec, "description": _label(row, has_other=origin is not None)}))
    response["Content-Disposition"] = f'attachment; filename="{name}-{number}-column-{place}.vl.json"'
    return response


def facts_of(
    profile: Mapping[str, Any], row_count: int | None, before: Mapping[str, Any] | None
) -> list[tuple[str, str, str]]:
    """Return what is known of a column as (words, this version, the version before; empty where there is none)."""
    facts = []
    for key, words in (
        ("missing", "missing"), ("infinite", "infinite"), ("distinct", "different values"), ("lowest", "lowest"),
        ("median", "median"), ("mean", "mean"), ("highest", "highest"), ("most_frequent", "most frequent"),
    ):  # fmt: skip
        if key in profile and profile[key] is not None:
            facts.append((words, figure(profile[key]), figure((before or {}).get(key))))
    earlier = {entry["share"]: entry["value"] for entry in (before or {}).get("quantiles") or []}
    for entry in profile.get("quantiles") or []:
        words = f"{share(entry['share'])} lie at or below"
        facts.append((words, figure(entry["value"]), figure(earlier.get(entry["share"]))))
    if row_count is not None:
        facts.insert(0, ("rows", number(row_count), ""))
    return facts


def _version(name: str, place: int) -> DatasetVersion:
    return find(
        DatasetVersion.objects.select_related("dataset__owner", "cleaned_from__dataset", "split_from__dataset"),
        f"There is no data set version {name}/{place}.",
        dataset__name=name,
        number=place,
    )


def _column(version: DatasetVersion, place: int) -> ColumnRow:
    rows = columns_of(version)
    if place >= len(rows):
        raise NotFound(f"{version.ref} has {plural(len(rows), 'column')}; there is no column {place}, counted from 0.")
    return rows[place]


def _validation_of(version: DatasetVersion) -> Validation | None:
    """Return the validation that the gate looks at, else the newest that has ended."""
    ended = Validation.objects.filter(dataset=version, success__isnull=False).select_related("suite")
    asked = validation_state(version).get("id")
    looked_at = None if asked is None else ended.filter(pk=asked).first()
    return looked_at or ended.order_by("-pk").first()


def _is_about(result: Mapping[str, Any], name: str) -> bool:
    kwargs = result.get("kwargs") or {}
    named = [kwargs.get(key) for key in ("column", "column_A", "column_B")]
    return name in named or name in (kwargs.get("column_list") or [])


def _label(row: ColumnRow, *, has_other: bool) -> str:
    both = ", in this version and in the one it was made from" if has_other else ""
    return f"How the values of {row.name} are spread{both}."


def _groups(rows: Page[ColumnRow]) -> list[tuple[str, list[ColumnRow]]]:
    features = [row for row in rows if row.is_feature]
    others = [row for row in rows if not row.is_feature]
    return [(words, group) for words, group in (("features", features), ("not features", others)) if group]


def _row(place: int, name: str, column: Column, profile: Mapping[str, Any], row_count: int | None) -> ColumnRow:
    missing = profile.get("missing")
    known = is_number(missing) and row_count
    shape = " × ".join(str(size) for size in column.shape)
    return ColumnRow(
        place=place,
        name=name,
        role=column.role,
        type=f"{column.type}, {shape}" if shape else column.type,
        profile=profile,
        missing=share(missing / row_count) if known and missing is not None and row_count else "",
        middle=_middle(profile, row_count),
    )


def _middle(profile: Mapping[str, Any], row_count: int | None) -> str:
    """Write the median of numbers, and of names the most frequent one with its share."""
    if is_number(profile.get("median")):
        return number(profile["median"])
    if row_count and profile.get("distinct") == row_count:
        return "all different"
    frequent = profile.get("most_frequent")
    if frequent is None:
        return f"mean {number(profile['mean'])}" if is_number(profile.get("mean")) else ""
    part = profile.get("most_frequent_share")
    return f"{figure(frequent)}, {share(part)}" if is_number(part) else figure(frequent)


def figure(value: Any) -> str:
    """Write a value of a profile; a day, which a profile keeps as its midnight, as a day."""
    if value is None:
        return ""
    if is_number(value):
        return number(value)
    return str(value).lower() if isinstance(value, bool) else str(value).removesuffix("T00:00:00")
