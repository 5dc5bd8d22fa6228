"""Attributions of texts: each token with what it adds, and the words that carry most over all rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audits.engine.captions import decimals, signed
from audits.explained.one_row import OneRow
from audits.explained.overall import Importance
from audits.explained.shown import Shown

#: Tokens of a text that stand in the page at once; the rest is folded.
FOLD_AFTER = 150
#: Of this many sizes: underlined not at all, thinly, more, most.
STEPS = 3
#: A size below this share of the largest is not marked at all.
_UNMARKED = 0.05
#: A word that is seen less often than this says little about the model.
_FEWEST_TIMES = 2
#: Words that are named as speaking for the output, and against it.
_SPEAKING = 8


@dataclass(frozen=True)
class Token:
    """One token; ``css`` tells sign and size to the stylesheet, ``said`` both to who looks closer or cannot see."""

    text: str
    place: int
    value: float
    error: float
    css: str
    said: str


@dataclass(frozen=True)
class Text:
    """The tokens of one row, those that stand in the page and those that are folded."""

    tokens: tuple[Token, ...]
    folded: tuple[Token, ...]
    largest: float

    def largest_first(self, count: int) -> list[Token]:
        """Return the tokens that carry most."""
        return sorted([*self.tokens, *self.folded], key=lambda token: -abs(token.value))[:count]


def text_of(row: OneRow, tokens: Sequence[str]) -> Text:
    """Return a row's tokens with their marks; padding, which has no text, is left out."""
    known = [place for place, token in enumerate(tokens) if token]
    largest = max((abs(row.values[place]) for place in known), default=0.0)
    digits = decimals(largest)
    marked = tuple(_token(tokens[place], place, row, largest, digits) for place in known)
    return Text(marked[:FOLD_AFTER], marked[FOLD_AFTER:], largest)


@dataclass(frozen=True)
class Word:
    """What one word adds wherever it stands: the mean, and how often it was seen."""

    text: str
    mean: float
    count: int


@dataclass(frozen=True)
class Words:
    """The words of the rows shown: how large their values are, and which speak most for and against."""

    importance: list[Importance]
    towards: list[Word]
    against: list[Word]


def words_of(shown: Shown, tokens: Mapping[int, Sequence[str]]) -> Words:
    """Return how large the values of each word are over all its occurrences in the rows shown, largest first.

    The 95 % interval is over occurrences and estimator error together. Words that are seen once are left out, unless
    every word is.
    """
    values: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    numbers = shown.attributions.row_numbers[shown.places].tolist()
    for at, number in enumerate(numbers):
        row = zip(tokens.get(number, ()), shown.values[at].tolist(), shown.errors[at].tolist(), strict=False)
        for token, value, error in row:
            if token:
                values.setdefault(token, []).append(value)
                errors.setdefault(token, []).append(error)
    often = {word: seen for word, seen in values.items() if len(seen) >= _FEWEST_TIMES} or values
    sizes = [_size(word, [abs(value) for value in seen], errors[word]) for word, seen in often.items()]
    means = [Word(word, math.fsum(seen) / len(seen), len(seen)) for word, seen in often.items()]
    ordered = sorted(means, key=lambda word: (word.mean, word.text))
    return Words(
        importance=sorted(sizes, key=lambda size: (-size.value, size.feature)),
        towards=[word for word in reversed(ordered[-_SPEAKING:]) if word.mean > 0],
        against=[word for word in ordered[:_SPEAKING] if word.mean < 0],
    )


def _size(word: str, sizes: Sequence[float], errors: Sequence[float]) -> Importance:
    count = len(sizes)
    mean = math.fsum(sizes) / count
    if count == 1:
        return Importance(word, mean, None, None, 1)
    variance = math.fsum((size - mean) ** 2 for size in sizes) / (count - 1)
    half = 1.96 * math.hypot(math.sqrt(variance / count), math.fsum(errors) / count)
    return Importance(word, mean, max(0.0, mean - half), mean + half, count)


def _token(text: str, place: int, row: OneRow, largest: float, digits: int) -> Token:
    value, error = row.values[place], row.errors[place]
    share = abs(value) / largest if largest else 0.0
    step = 0 if share < _UNMARKED else min(STEPS, 1 + int(share * STEPS))
    css = f"t{'p' if value > 0 else 'm'}{step}" if step else ""
    said = f"{signed(value, digits)}, standard error {error:.2g}"
    return Token(text, place, value, error, css, said)
