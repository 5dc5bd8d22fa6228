"""Strict JSON costs what its length allows: many values and repeated keys are refused before they cost more."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from governance.api import parsers
from workers.artifacts import strict_json
from workers.artifacts.findings import RefusalError


class Key(str):
    """A key that counts how often it is compared with another one."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Key.comparisons += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


@pytest.mark.parametrize("read", [strict_json._object, parsers._without_repeated_keys], ids=["inspection", "API"])
def test_a_key_that_stands_twice_is_found_in_one_pass(read: Callable[[list[tuple[str, Any]]], Any]) -> None:
    count = 2000
    pairs = [(Key(f"key {number}"), None) for number in [*range(count), count - 1]]
    Key.comparisons = 0
    with pytest.raises(ValueError, match="'key 1999' stands twice"):
        read(pairs)
    assert Key.comparisons < 10 * count


@pytest.mark.parametrize("unit", [b"[],", b'{"":1},', b"1,", b'"",'])
def test_more_values_than_are_read_are_refused_before_any_is_made(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: Any, **__: Any) -> None:
        raise AssertionError("the JSON was parsed")

    monkeypatch.setattr(json, "loads", parse)
    content = b"[" + unit * 1_000_000 + b"0]"
    with pytest.raises(RefusalError, match="more than 1,000,000 values, the limit") as refusal:
        strict_json.parse(content, "header")
    assert (refusal.value.finding.id, refusal.value.finding.place) == ("ART-02.too_large", "header")


def test_as_many_values_as_are_read_are_taken() -> None:
    assert len(strict_json.parse(b"[" + b"1," * 999_999 + b"1]", "header")) == 1_000_000
