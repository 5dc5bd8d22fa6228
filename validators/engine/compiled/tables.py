"""Rules about the table as a whole: its columns and its number of rows."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from validators.engine.compiled.arguments import Arguments, is_plain
from validators.engine.compiled.rules import Declined, Judgement, Rule, TableRule, Values


def column_exists(arguments: Arguments) -> Rule:
    arguments.only("column", "column_index")
    name, index, names = arguments.kwargs.get("column"), arguments.kwargs.get("column_index"), arguments.table.names
    if not isinstance(name, str) or not isinstance(index, int | None) or isinstance(index, bool):
        raise Declined
    if not index:
        return _known(Judgement(name in names))
    return _known(Judgement(-len(names) <= index < len(names) and names[index] == name))


def column_count_between(arguments: Arguments) -> Rule:
    arguments.only("min_value", "max_value")
    bounds = arguments.bounds()
    bounds.demand(int)
    bounds.demand_order()
    count = len(arguments.table.columns)
    return _known(Judgement(bounds.hold(count), observed=count))


def column_count_equals(arguments: Arguments) -> Rule:
    arguments.only("value")
    count = len(arguments.table.columns)
    return _known(Judgement(count == _whole(arguments), observed=count))


def columns_in_order(arguments: Arguments) -> Rule:
    arguments.only("column_list")
    names, expected = arguments.table.names, _names(arguments.kwargs.get("column_list"))
    mismatched = [
        {"Expected Column Position": position, "Expected": wanted, "Found": found}
        for position, (wanted, found) in enumerate(zip_longest(expected, names))
        if wanted != found
    ]
    return _known(Judgement(not mismatched, names, details=_details(mismatched)))


def columns_as_set(arguments: Arguments) -> Rule:
    arguments.only("column_set", "exact_match")
    names, expected = set(arguments.table.names), _names(arguments.kwargs.get("column_set"))
    exact = arguments.flag("exact_match", default=True)
    found = {"unexpected": sorted(names - set(expected)), "missing": sorted(set(expected) - names)}
    mismatched = {word: listed for word, listed in found.items() if listed}
    success = not mismatched if exact else not found["missing"]
    return _known(Judgement(success, sorted(names), details=_details(mismatched)))


def row_count_between(arguments: Arguments) -> Rule:
    arguments.only("min_value", "max_value", "strict_min", "strict_max")
    bounds = arguments.bounds()
    bounds.demand(int)
    bounds.demand_order()
    return TableRule(lambda values: Judgement(bounds.hold(values[0]), observed=values[0]), (_row_count(arguments),))


def row_count_equals(arguments: Arguments) -> Rule:
    arguments.only("value")
    wanted = _whole(arguments)
    return TableRule(lambda values: Judgement(values[0] == wanted, observed=values[0]), (_row_count(arguments),))


def _row_count(arguments: Arguments) -> str:
    return "count(*)" if arguments.condition is None else f"count(*) FILTER (WHERE {arguments.condition})"


def _known(judgement: Judgement) -> TableRule:
    def judge(_: Values) -> Judgement:
        return judgement

    return TableRule(judge)


def _whole(arguments: Arguments) -> int:
    value = arguments.kwargs.get("value")
    if not isinstance(value, int) or isinstance(value, bool) or not is_plain(value):
        raise Declined
    return value


def _names(names: Any) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Declined
    return names


def _details(mismatched: Any) -> dict[str, Any]:
    return {"mismatched": mismatched} if mismatched else {}
