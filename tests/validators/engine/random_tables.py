"""Random tables and random expectations on them, for comparisons with Great Expectations; everything from one seed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

Draw = np.random.Generator

ROW_COUNTS = (0, 1, 2, 3, 8, 40, 150)
NAMES = (
    "age", "Age", "size", "mail", "a b", 'quo"ted', "it's", "new\nline", "emoji 😀", "x; DROP TABLE data; --", "c0",
    "row", "file_row_number", "ünï", "100%", "a.b",
)  # fmt: skip
FLOATS = (0.0, -0.0, 0.1, -1.5, 2.0, 3.0, 1e-300, 1e300, float("nan"), float("inf"), float("-inf"))
INTEGERS = (0, 1, 2, 3, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, -(2**63), 2**63 - 1)
TEXTS = (
    "", "a", "A", "ab", "aab", "a\nb", "a\n", "é", "É", "😀", "it's", '"', "12", "١٢", "1.5", "2020-01-31",
    "31/01/2020", '{"a": 1}', "null", "[1,", " ", "\t\x0b", "\x00",
    "x" * 40, "user1@x.org", "user2@x.org", "ß", "K", "nan", "None",
)  # fmt: skip
PATTERNS = (
    "a", "^a", "a$", "^a.b$", r"^\d+$", r"\w", r"\s", r"\S+", r"^user\d@x\.org$", "(a|b)+$", "[^a-z]", "^$", "(?i)a",
    r"\bab\b", "^(?!a)", r"(a)\1", "a{2,3}", "[[:alpha:]]", r"\D", "x{,5}y?", "é", "[à-ÿ]", "😀", "'", '"', "^.?$",
    r"\A\W", r"b\Z", "(?P<n>a)b?", "a*?$", "^[^\\n]*$", r"\x00", "$^", "a|", "(?:)", "[K]",
)  # fmt: skip


def table(draw: Draw) -> pa.Table:
    """Return a table of up to ten columns of all canonical kinds of scalars."""
    count = int(draw.choice(ROW_COUNTS))
    names = draw.permutation(NAMES)[: int(draw.integers(4, 11))]
    usual = [_floats, _integers, _integers, _texts, _texts, _booleans]
    others = [_moments, _floats, _decimals, _dates, _zoned]
    makers = [*usual, *(others[place] for place in draw.permutation(len(others)))]
    chosen = [makers[number] for number in draw.permutation(len(makers))[: len(names)]]
    arrays = [make(draw, count) for make in chosen]
    return pa.table(dict(zip(names.tolist(), arrays, strict=True)))


def _masked(draw: Draw, values: list[Any], data_type: pa.DataType) -> pa.Array:
    share = draw.choice([0.0, 0.0, 0.2, 1.0], p=[0.4, 0.2, 0.35, 0.05])
    missing = draw.random(len(values)) < share
    return pa.array([None if gone else value for gone, value in zip(missing, values, strict=True)], data_type)


def _floats(draw: Draw, count: int) -> pa.Array:
    kind = draw.integers(0, 5)
    if kind == 0:
        values = draw.choice(FLOATS, count)
    elif kind == 1:
        values = np.full(count, draw.choice([0.1, 3.0, -7.7]))
    elif kind == 2:
        values = np.round(draw.normal(size=count) * 3)
    else:
        values = draw.normal(10, 3, size=count)
        values[draw.random(count) < 0.1] = np.nan
    return _masked(draw, values.tolist(), pa.float64())


def _integers(draw: Draw, count: int) -> pa.Array:
    kind = draw.integers(0, 5)
    if kind == 0:
        values = [int(value) for value in draw.choice(np.array(INTEGERS, dtype=object), count)]
    elif kind == 1:
        values = sorted(draw.integers(0, 30, count).tolist(), reverse=bool(draw.integers(0, 2)))
    elif kind == 2:
        values = draw.permutation(count).tolist()
    else:
        values = draw.integers(-3, 6, count).tolist()
    return _masked(draw, values, pa.int64())


def _texts(draw: Draw, count: int) -> pa.Array:
    pool = draw.permutation(np.array(TEXTS, dtype=object))[: int(draw.integers(1, len(TEXTS)))]
    return _masked(draw, [str(value) for value in draw.choice(pool, count)], pa.string())


def _booleans(draw: Draw, count: int) -> pa.Array:
    return _masked(draw, (draw.random(count) < draw.choice([0.0, 0.5, 1.0])).tolist(), pa.bool_())


def _moments(draw: Draw, count: int) -> pa.Array:
    days = draw.integers(17_000, 19_000, count)
    values = np.sort(days) if draw.integers(0, 2) else days
    return _masked(draw, (values * 86_400_000_000 + draw.integers(0, 2) * 1_500_000).tolist(), pa.timestamp("us"))


def _dates(draw: Draw, count: int) -> pa.Array:
    days = draw.integers(17_000, 17_000 + int(draw.choice([3, 2_000])), count)
    return _masked(draw, (np.sort(days) if draw.integers(0, 2) else days).tolist(), pa.date32())


def _zoned(draw: Draw, count: int) -> pa.Array:
    return _moments(draw, count).cast(pa.timestamp("us", "UTC"))


def _decimals(draw: Draw, count: int) -> pa.Array:
    kind = draw.integers(0, 4)
    cents = draw.integers(-50, 1_500, count) if kind else draw.integers(-(10**18), 10**18, count)
    cents = np.sort(cents) if kind == 1 else np.full(count, 7) if kind == 2 else cents
    return _masked(draw, [Decimal(int(value)).scaleb(-2) for value in cents], pa.decimal128(38, 2))


# ---------------------------------------------------------------------------------------------------- expectations
Kwargs = dict[str, Any]


def expectation(draw: Draw, data: pa.Table, kind: str) -> dict[str, Any]:
    """Return an expectation of a kind with random arguments that mostly fit the table."""
    kwargs = ARGUMENTS[kind](draw, data)
    if "table" not in kind and kind != "expect_column_to_exist":
        if is_row_kind(kind) and draw.random() < 0.4:
            kwargs["mostly"] = float(draw.choice([0.0, 0.3, 0.5, 0.9, 1.0]))
        if draw.random() < 0.25:
            kwargs |= condition(draw, data)
    return {"type": kind, "kwargs": kwargs}


def is_row_kind(kind: str) -> bool:
    return "_values_to_" in kind and "distinct" not in kind and "proportion" not in kind and "quantile" not in kind


def condition(draw: Draw, data: pa.Table) -> Kwargs:
    """Return a row condition: an object, or a text of the pandas parser."""
    if draw.random() < 0.4:
        texts = [_condition_text(draw, data) for _ in range(int(draw.integers(1, 3)))]
        return {"row_condition": f" {draw.choice(['and', 'or'])} ".join(texts), "condition_parser": "pandas"}
    parts = [_condition_object(draw, data) for _ in range(int(draw.integers(1, 4)))]
    if len(parts) == 1:
        return {"row_condition": parts[0]}
    return {"row_condition": {"type": str(draw.choice(["and", "or"])), "conditions": parts}}


def _condition_text(draw: Draw, data: pa.Table) -> str:
    name = _name(draw, data)
    value = _value(draw, data, name)
    return f"{name} {draw.choice(['==', '!=', '<', '>='])} {value!r}"


def _condition_object(draw: Draw, data: pa.Table) -> Kwargs:
    name = _name(draw, data)
    if draw.random() < 0.3:
        return {"type": "nullity", "column": {"name": name}, "is_null": bool(draw.integers(0, 2))}
    operator = str(draw.choice(["==", "!=", "<", "<=", ">", ">=", "IN", "NOT_IN"]))
    values = [_value(draw, data, name) for _ in range(3)]
    parameter = values if operator in ("IN", "NOT_IN") else values[0]
    return {"type": "comparison", "column": {"name": name}, "operator": operator, "parameter": parameter}


def _name(draw: Draw, data: pa.Table, *kinds: str) -> str:
    fits = [name for name in data.column_names if not kinds or str(data.schema.field(name).type) in kinds]
    return str(draw.choice(fits if fits and draw.random() < 0.95 else data.column_names))


def _value(draw: Draw, data: pa.Table, name: str) -> Any:
    """Return a value of the type of a column, as JSON has it; now and then of another."""
    kind = str(data.schema.field(name).type)
    if draw.random() < 0.04:
        kind = str(draw.choice(["int64", "double", "string", "bool"]))
    if kind == "int64":
        return int(draw.choice([*range(-3, 12), 2**53, 2**62])) if draw.random() < 0.9 else float(draw.normal())
    if kind in ("double", _DECIMALS):
        choices = [0.29, 0.07] if kind == _DECIMALS and draw.random() < 0.5 else [0.0, 0.1, 2.0, -1.5, 10, 9.5, 3, 13.2]
        return choices[int(draw.integers(0, len(choices)))]
    if kind == "bool":
        return bool(draw.integers(0, 2))
    if kind in _MOMENTS:
        day = np.datetime64(int(draw.integers(17_000, 19_000)), "D")
        zone = str(draw.choice(["", "+00:00", "-03:30"])) if "tz" in kind else ""
        return str(draw.choice([f"{day}", f"{day}T00:00:00{zone}", f"{day} 12:30{zone}"]))
    return str(draw.choice(np.array(TEXTS, dtype=object)))


def _values(draw: Draw, data: pa.Table, name: str, most: int = 6) -> list[Any]:
    return [_value(draw, data, name) for _ in range(int(draw.integers(1, most)))]


_DECIMALS = "decimal128(38, 2)"
_NUMBERS = ("int64", "double", _DECIMALS)
_MOMENTS = ("timestamp[us]", "date32[day]", "timestamp[us, tz=UTC]")


def _bounds(draw: Draw, make: Callable[[], Any]) -> Kwargs:
    low, high = make(), make()
    with contextlib.suppress(TypeError):
        low, high = min(low, high), max(low, high)
    chosen: Kwargs = {}
    which = draw.integers(0, 3)
    if which != 0:
        chosen["min_value"] = low
    if which != 1:
        chosen["max_value"] = high
    for name in ("strict_min", "strict_max"):
        if draw.random() < 0.3:
            chosen[name] = bool(draw.integers(0, 2))
    return chosen


def _one_column(*kinds: str, **more: Callable[[Draw], Any]) -> Callable[[Draw, pa.Table], Kwargs]:
    def make(draw: Draw, data: pa.Table) -> Kwargs:
        return {"column": _name(draw, data, *kinds), **{name: write(draw) for name, write in more.items()}}

    return make


def _between_values(*kinds: str) -> Callable[[Draw, pa.Table], Kwargs]:
    def make(draw: Draw, data: pa.Table) -> Kwargs:
        name = _name(draw, data, *kinds)
        return {"column": name, **_bounds(draw, lambda: _value(draw, data, name))}

    return make


def _between_numbers(*kinds: str, scale: float = 10.0, whole: bool = False) -> Callable[[Draw, pa.Table], Kwargs]:
    def number(draw: Draw) -> float:
        value = draw.random() * scale
        return int(value) if whole or draw.random() < 0.3 else float(value)

    def make(draw: Draw, data: pa.Table) -> Kwargs:
        return {"column": _name(draw, data, *kinds), **_bounds(draw, lambda: number(draw))}

    return make


def _with_set(draw: Draw, data: pa.Table) -> Kwargs:
    name = _name(draw, data)
    return {"column": name, "value_set": _values(draw, data, name)}


def _ties(draw: Draw, data: pa.Table) -> Kwargs:
    return {**_with_set(draw, data), **({"ties_okay": True} if draw.integers(0, 2) else {})}


def _pair(*kinds: str) -> Callable[[Draw, pa.Table], Kwargs]:
    def make(draw: Draw, data: pa.Table) -> Kwargs:
        kwargs = {"column_A": _name(draw, data, *kinds), "column_B": _name(draw, data, *kinds)}
        if draw.random() < 0.6:
            kwargs["ignore_row_if"] = str(
                draw.choice(["both_values_are_missing", "either_value_is_missing", "neither"])
            )
        return kwargs

    return make


def _greater(draw: Draw, data: pa.Table) -> Kwargs:
    return {**_pair(*_NUMBERS)(draw, data), **({"or_equal": True} if draw.integers(0, 2) else {})}


def _pair_set(draw: Draw, data: pa.Table) -> Kwargs:
    kwargs = _pair()(draw, data)

    def cell(name: str) -> Any:
        return None if draw.random() < 0.1 else _value(draw, data, name)

    pairs = [[cell(kwargs["column_A"]), cell(kwargs["column_B"])] for _ in range(int(draw.integers(1, 12)))]
    return {**kwargs, "value_pairs_set": pairs}


def _several(*kinds: str, **more: Callable[[Draw], Any]) -> Callable[[Draw, pa.Table], Kwargs]:
    def make(draw: Draw, data: pa.Table) -> Kwargs:
        fits = [name for name in data.column_names if not kinds or str(data.schema.field(name).type) in kinds]
        pool = fits if len(fits) > 1 else data.column_names
        names = draw.permutation(pool)[: int(draw.integers(2, 5))].tolist()
        kwargs = {"column_list": names, **{name: write(draw) for name, write in more.items()}}
        if draw.random() < 0.6:
            kwargs["ignore_row_if"] = str(draw.choice(["all_values_are_missing", "any_value_is_missing", "never"]))
        return kwargs

    return make


def _one_family(draw: Draw, data: pa.Table) -> Kwargs:
    kinds = [_NUMBERS, ("string",), ("bool",), _MOMENTS, ("timestamp[us]",), ("int64",)]
    return _several(*kinds[int(draw.integers(0, len(kinds)))])(draw, data)


def _quantiles(draw: Draw, data: pa.Table) -> Kwargs:
    shares = sorted(draw.choice([0.0, 0.05, 0.07, 0.25, 0.5, 0.75, 0.9, 1.0], 3, replace=False).tolist())
    ranges = []
    for _ in shares:
        low, high = sorted(draw.normal(5, 5, 2).tolist())
        ranges.append([low if draw.random() < 0.8 else None, high if draw.random() < 0.8 else None])
    return {
        "column": _name(draw, data, *_NUMBERS),
        "quantile_ranges": {"quantiles": shares, "value_ranges": ranges},
    }


def _exists(draw: Draw, data: pa.Table) -> Kwargs:
    kwargs: Kwargs = {"column": str(draw.choice([*data.column_names, "nowhere"]))}
    if draw.random() < 0.5:
        kwargs["column_index"] = int(draw.integers(-12, 12))
    return kwargs


def _column_names(draw: Draw, data: pa.Table) -> list[str]:
    names = list(data.column_names)
    if draw.random() < 0.6:
        names = draw.permutation([*names, "nowhere"])[: int(draw.integers(1, len(names) + 2))].tolist()
    return names


def _regex_list(draw: Draw) -> list[str]:
    return draw.permutation(PATTERNS)[: int(draw.integers(1, 4))].tolist()


def _is_true(draw: Draw) -> bool:
    return bool(draw.integers(0, 2))


def _pattern(draw: Draw) -> str:
    return str(draw.choice(PATTERNS))


def _count(draw: Draw) -> int:
    return int(draw.integers(0, 12))


ARGUMENTS: dict[str, Callable[[Draw, pa.Table], Kwargs]] = {
    "expect_column_distinct_values_to_be_in_set": _with_set,
    "expect_column_distinct_values_to_contain_set": _with_set,
    "expect_column_distinct_values_to_equal_set": _with_set,
    "expect_column_max_to_be_between": _between_values(*_NUMBERS, *_MOMENTS),
    "expect_column_mean_to_be_between": _between_numbers(*_NUMBERS),
    "expect_column_median_to_be_between": _between_numbers(*_NUMBERS),
    "expect_column_min_to_be_between": _between_values(*_NUMBERS, *_MOMENTS),
    "expect_column_most_common_value_to_be_in_set": _ties,
    "expect_column_pair_values_a_to_be_greater_than_b": _greater,
    "expect_column_pair_values_to_be_equal": _pair(*_NUMBERS),
    "expect_column_pair_values_to_be_in_set": _pair_set,
    "expect_column_proportion_of_non_null_values_to_be_between": _between_numbers(scale=1.0),
    "expect_column_proportion_of_unique_values_to_be_between": _between_numbers(scale=1.0),
    "expect_column_quantile_values_to_be_between": _quantiles,
    "expect_column_stdev_to_be_between": _between_numbers(*_NUMBERS),
    "expect_column_sum_to_be_between": _between_numbers(*_NUMBERS, scale=50.0),
    "expect_column_to_exist": _exists,
    "expect_column_unique_value_count_to_be_between": _between_numbers(whole=True, scale=30),
    "expect_column_value_lengths_to_be_between": _between_numbers("string", whole=True),
    "expect_column_value_lengths_to_equal": _one_column("string", value=_count),
    "expect_column_value_z_scores_to_be_less_than": _one_column(
        *_NUMBERS, threshold=lambda draw: float(draw.choice([0.5, 1.0, 2.0, -1.0])), double_sided=_is_true
    ),
    "expect_column_values_to_be_between": _between_values(),
    "expect_column_values_to_be_dateutil_parseable": _one_column("string"),
    "expect_column_values_to_be_decreasing": _one_column(*_NUMBERS, *_MOMENTS, strictly=_is_true),
    "expect_column_values_to_be_in_set": _with_set,
    "expect_column_values_to_be_increasing": _one_column(*_NUMBERS, *_MOMENTS, strictly=_is_true),
    "expect_column_values_to_be_json_parseable": _one_column("string"),
    "expect_column_values_to_be_null": _one_column(),
    "expect_column_values_to_be_unique": _one_column(),
    "expect_column_values_to_match_regex": _one_column("string", regex=_pattern),
    "expect_column_values_to_match_regex_list": _one_column(
        "string", regex_list=_regex_list, match_on=lambda draw: str(draw.choice(["any", "all"]))
    ),
    "expect_column_values_to_match_strftime_format": _one_column(
        "string", strftime_format=lambda draw: str(draw.choice(["%Y-%m-%d", "%d/%m/%Y", "%H", "%j"]))
    ),
    "expect_column_values_to_not_be_in_set": _with_set,
    "expect_column_values_to_not_be_null": _one_column(),
    "expect_column_values_to_not_be_outliers": _one_column(
        *_NUMBERS,
        method=lambda draw: str(draw.choice(["iqr", "std"])),
        multiplier=lambda draw: float(draw.choice([0.0, 1.0, 1.5, 3.0])),
    ),
    "expect_column_values_to_not_match_regex": _one_column("string", regex=_pattern),
    "expect_column_values_to_not_match_regex_list": _one_column("string", regex_list=_regex_list),
    "expect_compound_columns_to_be_unique": _several(),
    "expect_multicolumn_sum_to_equal": _several(*_NUMBERS, sum_total=_count),
    "expect_multicolumn_values_to_be_equal": _one_family,
    "expect_select_column_values_to_be_unique_within_record": _one_family,
    "expect_table_column_count_to_be_between": lambda draw, data: _bounds(draw, lambda: _count(draw)),
    "expect_table_column_count_to_equal": lambda draw, data: {"value": _count(draw)},
    "expect_table_columns_to_match_ordered_list": lambda draw, data: {"column_list": _column_names(draw, data)},
    "expect_table_columns_to_match_set": lambda draw, data: {
        "column_set": _column_names(draw, data), "exact_match": _is_true(draw)
    },
    "expect_table_row_count_to_be_between": lambda draw, data: _bounds(draw, lambda: _count(draw)),
    "expect_table_row_count_to_equal": lambda draw, data: {"value": int(draw.choice(ROW_COUNTS))},
}  # fmt: skip
