"""The metadata of a text column, and its token ids: ordinary columns named ``NAME.word``.

::

    length              characters (code points)
    words               words after normalisation (``workers.datasets.texts.words``)
    control_characters  characters of the Unicode categories Cc, Cf, Co, Cs and Cn, but tabs, line ends and joiners
    repeated_lines      share of the lines with something in them that stood before; 0 for a text of different lines
    language            ISO 639 code, missing where the confidence is under 0.5
    language_confidence 0..1 in hundredths, as py3langid gives it for the first 2,000 characters
    hash                of the normalised text: equal for texts that differ in case, width or white space only

A missing text has missing metadata. ``NAME.tokens`` holds the ids of the first words, padded with 0.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from workers.datasets.canonical import tensor_array
from workers.datasets.schema import Tokens
from workers.datasets.texts.words import hash_of, id_of, normalised, words_of

#: Word -> type, in the order of the columns.
WORDS = {
    "length": "integer",
    "words": "integer",
    "control_characters": "integer",
    "repeated_lines": "float",
    "language": "category",
    "language_confidence": "float",
    "hash": "string",
}
TOKENS = "tokens"

LOWEST_CONFIDENCE = 0.5

_LANGUAGE_CHARACTERS = 2_000
_UNKNOWN = ("und", "zxx")
_CONTROL = frozenset({"Cc", "Cf", "Co", "Cs", "Cn"})
#: Control characters of ordinary texts: tab, line ends, and the joiners of emoji and of some scripts.
_ORDINARY = str.maketrans(dict.fromkeys("\t\n\r\u200c\u200d"))


def of_texts(array: pa.Array, tokens: Tokens | None = None) -> tuple[dict[str, pa.Array], pa.Array | None]:
    """Measure the texts of a string column.

    Args:
        array: texts, of which some may be missing.
        tokens: how many ids a row has and of how many, or None for no ids.

    Returns:
        Word -> column, and the array of shape (rows, length) of int32 ids.
    """
    rows: list[dict[str, Any]] = []
    ids = None if tokens is None else np.zeros((len(array), tokens.length), dtype=np.int32)
    valid = np.ones(len(array), dtype=bool)
    for row, text in enumerate(array.to_pylist()):
        if text is None:
            rows.append({})
            valid[row] = False
            continue
        normal = normalised(text)
        words = words_of(normal)
        rows.append(_measures(text, normal, words))
        if ids is not None and tokens is not None:
            kept = words[: tokens.length]
            ids[row, : len(kept)] = [id_of(word, tokens.size) for word in kept]
    columns = {word: pa.array([row.get(word) for row in rows], _ARROW[kind]) for word, kind in WORDS.items()}
    return columns, None if ids is None else tensor_array(ids, valid)


_ARROW = {"integer": pa.int64(), "float": pa.float64(), "category": pa.string(), "string": pa.string()}


def _measures(text: str, normal: str, words: list[str]) -> dict[str, Any]:
    language, confidence = _language_of(text)
    return {
        "length": len(text),
        "words": len(words),
        "control_characters": _control_characters(text.translate(_ORDINARY)),
        "repeated_lines": _repeated_lines(text),
        "language": language,
        "language_confidence": confidence,
        "hash": hash_of(normal),
    }


def _control_characters(text: str) -> int:
    return 0 if text.isprintable() else sum(unicodedata.category(character) in _CONTROL for character in text)


def _repeated_lines(text: str) -> float:
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    return round(1 - len(set(lines)) / len(lines), 6) if lines else 0.0


def _language_of(text: str) -> tuple[str | None, float]:
    language, confidence = _identifier().classify(text[:_LANGUAGE_CHARACTERS])
    is_known = confidence >= LOWEST_CONFIDENCE and language not in _UNKNOWN
    # Hundredths: what lies behind them differs between processors.
    return language if is_known else None, round(confidence, 2)


@cache
def _identifier() -> Any:
    """Load the language model that comes with py3langid; it is a file of the package, and nothing is fetched."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
