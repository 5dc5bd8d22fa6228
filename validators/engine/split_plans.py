"""A split plan: which rows of a data set are for training, for validation and for testing.

A plan says how large the parts are and what decides where a row goes::

    {"fractions": {"train": 0.8, "test": 0.2}, "by": "patient_id"}
    {"fractions": {...}, "by": "visit_id", "group": "patient_id"}     rows of one patient are kept together
    {"fractions": {...}, "time": "admitted_at"}                       the earliest rows train, the latest test
    {"cuts": {"validation": "2024-01-01", "test": "2024-07-01"}, "time": "admitted_at"}

The part follows from the value of the column alone (of the whole row where no column is named), so that rows that come
later never move those that are there. ``salt`` makes another split of the same data. The standard library is enough
here, so that the control half reads a plan too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from workers.datasets.schema import SPLITS, Schema

DEFAULT_COLUMN = "split"
_KEYS = frozenset({"fractions", "by", "group", "time", "cuts", "salt", "column", "replace"})
_LONGEST_SALT = 200


class SplitPlanError(ValueError):
    """A plan that cannot be followed; the message is a sentence."""


@dataclass(frozen=True)
class SplitPlan:
    """How rows are divided.

    Attributes:
        fractions: part -> share of the rows, in the order train, validation, test; empty where ``cuts`` are stated.
        by: the column whose value decides, None for the content of the whole row.
        group: the column whose equal values stay in one part; it then decides in place of ``by``.
        time: the column by whose order the rows are cut.
        cuts: part -> the first moment (or number) that belongs to it; found from the fractions where none are stated.
        salt: another salt, another split.
        column: what the column of the parts is called.
        replace: whether a column of role ``split`` that is there already gives way.
    """

    fractions: Mapping[str, float] = field(default_factory=dict)
    by: str | None = None
    group: str | None = None
    time: str | None = None
    cuts: Mapping[str, Any] = field(default_factory=dict)
    salt: str = ""
    column: str = DEFAULT_COLUMN
    replace: bool = False

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read a plan.

        Raises:
            SplitPlanError: with what is wrong.
        """
        for sentence in _problems(document):
            raise SplitPlanError(sentence)
        plan = dict(document)
        for name in ("fractions", "cuts"):
            plan[name] = {part: plan[name][part] for part in SPLITS if part in plan.get(name, {})}
        return cls(**plan)

    def to_json(self) -> dict[str, Any]:
        return {
            "fractions": dict(self.fractions),
            "by": self.by,
            "group": self.group,
            "time": self.time,
            "cuts": dict(self.cuts),
            "salt": self.salt,
            "column": self.column,
            "replace": self.replace,
        }

    @property
    def deciding(self) -> str | None:
        """The column whose hash decides, None for the whole row; it says nothing where time decides."""
        return self.group or self.by

    def misfits(self, schema: Schema) -> list[str]:
        """Say why a data set of this schema cannot be split so."""
        sentences = [
            f"There is no column {name!r} to split {word}."
            for word, name in (("by", self.by), ("by groups of", self.group), ("by time of", self.time))
            if name is not None and name not in schema.columns
        ]
        kept = schema.columns.get(self.time or "")
        if kept is not None and kept.type not in ("datetime", "date", "integer", "float", "decimal"):
            sentences.append(f"The column {self.time!r} holds {kept.type}, which has no order of time.")
        existing = schema.split
        if existing is not None and not self.replace:
            sentences.append(
                f"The column {existing!r} has the role `split` already; say `replace` to put this split in its place."
            )
        if self.column in schema.columns and self.column != existing:
            sentences.append(f"There is a column {self.column!r} of another role; name the column of the parts.")
        return sentences


def _problems(document: Any) -> Iterator[str]:
    if not isinstance(document, Mapping):
        yield "A split plan is an object with `fractions`, or with `time` and `cuts`."
        return
    for key in document:
        if key not in _KEYS:
            yield f"A split plan has no key {key!r}; known are {', '.join(sorted(_KEYS))}."
    for key in ("by", "group", "time", "column"):
        value = document.get(key)
        if not ((value is None and key != "column") or key not in document or (isinstance(value, str) and value)):
            yield f"`{key}` is the name of a column."
    salt = document.get("salt", "")
    if not isinstance(salt, str) or len(salt) > _LONGEST_SALT:
        yield f"`salt` is a text of at most {_LONGEST_SALT} characters."
    if not isinstance(document.get("replace", False), bool):
        yield "`replace` is true or false."
    if document.get("cuts"):
        yield from _problems_of_cuts(document)
    else:
        yield from _problems_of_fractions(document.get("fractions"))


def _problems_of_fractions(fractions: Any) -> Iterator[str]:
    if not isinstance(fractions, Mapping) or len(fractions) < 2 or not set(fractions) <= set(SPLITS):
        yield f"`fractions` gives a share for at least two of {', '.join(SPLITS)}."
        return
    for part, share in fractions.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            yield f"The share of {part} is {share!r}; a share lies between 0 and 1."
            return
    total = math.fsum(fractions.values())
    if abs(total - 1) > 1e-9:
        yield f"The shares sum to {total:g}; together they are 1."


def _problems_of_cuts(document: Mapping[str, Any]) -> Iterator[str]:
    cuts = document["cuts"]
    if document.get("fractions"):
        yield "A plan states either `fractions` or `cuts`; it has both."
    if not document.get("time"):
        yield "`cuts` are moments of a column; name it as `time`."
    if not isinstance(cuts, Mapping) or not set(cuts) <= set(SPLITS[1:]):
        yield f"`cuts` gives the first moment of {' or '.join(SPLITS[1:])}."
        return
    for part, moment in cuts.items():
        if isinstance(moment, bool) or not isinstance(moment, str | int | float):
            yield f"The cut of {part} is {moment!r}; it is a moment (ISO 8601) or a number."
